//! No way through the code may leave it unseen.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{FlowControl, Instruction, Mnemonic};

use crate::{Error, Place, Routine, decode::Decoded, place::Address};

/// Checks that instructions do not overlap, that each is followed by what it runs into, that direct branches land on
/// a listed instruction or a named routine, and that every instruction is reached.
pub(crate) fn check(rows: &BTreeMap<u64, Decoded>, routines: &[Routine]) -> Result<(), Error> {
    let mut reached: BTreeSet<u64> = routines
        .iter()
        .filter(|routine| routine.has_entry)
        .map(|routine| routine.address)
        .collect();
    // A switch reaches what cannot be seen in it.
    let mut switches = false;
    let mut previous: Option<&Decoded> = None;
    for decoded in rows.values() {
        if let Some(previous) = previous {
            no_overlap(previous, decoded)?;
        }
        previous = Some(decoded);
        if falls_through(decoded) {
            let next = decoded.row.end();
            if !rows.contains_key(&next) {
                return Err(missing(
                    decoded,
                    &format!(
                        "the instruction behind this one, at {}, is missing",
                        Address(next)
                    ),
                    routines,
                ));
            }
            reached.insert(next);
        } else if decoded.instruction.flow_control() == FlowControl::Interrupt {
            // A breakpoint may go on; a fail-fast does not.
            reached.insert(decoded.row.end());
        }
        if let Some(target) = branch_target(&decoded.instruction) {
            if rows.contains_key(&target) {
                reached.insert(target);
            } else {
                leaves(decoded, target, routines)?;
            }
        }
        switches |= decoded.instruction.flow_control() == FlowControl::IndirectBranch;
    }
    match rows
        .iter()
        .find(|(address, _)| !switches && !reached.contains(address))
    {
        Some((_, unreached)) => Err(missing(
            unreached,
            "nothing leads to this instruction: what comes before it is missing",
            routines,
        )),
        None => Ok(()),
    }
}

/// The listed instructions that the code at `entry` comes to or refers to, by address. Where an indirect branch goes is
/// not known.
pub(crate) fn reached(rows: &BTreeMap<u64, Decoded>, entry: u64) -> BTreeSet<u64> {
    let mut reached = BTreeSet::new();
    let mut work = vec![entry];
    while let Some(address) = work.pop() {
        let Some(decoded) = rows.get(&address) else {
            continue;
        };
        if !reached.insert(address) {
            continue;
        }
        let instruction = &decoded.instruction;
        work.extend(branch_target(instruction));
        if instruction.is_ip_rel_memory_operand() {
            work.push(instruction.ip_rel_memory_address());
        }
        if falls_through(decoded) {
            work.push(decoded.row.end());
        }
    }
    reached
}

/// Where a direct branch or call goes.
pub(crate) fn branch_target(instruction: &Instruction) -> Option<u64> {
    match instruction.flow_control() {
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::Call
            if instruction.near_branch_target() != 0 =>
        {
            Some(instruction.near_branch_target())
        }
        _ => None,
    }
}

fn falls_through(decoded: &Decoded) -> bool {
    match decoded.instruction.flow_control() {
        FlowControl::Next
        | FlowControl::ConditionalBranch
        | FlowControl::IndirectCall
        | FlowControl::XbeginXabortXend => true,
        // The one family of routines that does not come back and that everybody calls.
        FlowControl::Call => {
            decoded.instruction.mnemonic() != Mnemonic::Call
                || !decoded
                    .named
                    .as_ref()
                    .is_some_and(|(place, _)| place.symbol.contains("!KeBugCheck"))
        }
        FlowControl::UnconditionalBranch
        | FlowControl::IndirectBranch
        | FlowControl::Return
        | FlowControl::Interrupt
        | FlowControl::Exception => false,
    }
}

fn no_overlap(previous: &Decoded, next: &Decoded) -> Result<(), Error> {
    if previous.row.end() <= next.row.address {
        return Ok(());
    }
    Err(Error::at(
        previous.row.line.max(next.row.line),
        format!(
            "the instructions of lines {} and {} overlap",
            previous.row.line.min(next.row.line),
            previous.row.line.max(next.row.line)
        ),
        "dump all routines again, from one boot of one build",
    ))
}

/// A branch out of what is listed: fine when its target has a name of its own.
fn leaves(decoded: &Decoded, target: u64, routines: &[Routine]) -> Result<(), Error> {
    let Some((place, _)) = &decoded.named else {
        return Err(Error::at(
            decoded.row.line,
            format!(
                "this goes to {}, which is not listed and has no name",
                Address(target)
            ),
            format!(
                "load symbols (`.reload`) and dump it too: `uf {}`",
                Address(target)
            ),
        ));
    };
    let call = decoded.instruction.flow_control() == FlowControl::Call;
    let inside =
        |place: &Place| place.offset != 0 && routines.iter().any(|routine| routine.name == place.symbol);
    // With public symbols a static routine is a distance from its neighbour, and a call into the middle of one is that.
    if call || !inside(place) {
        return Ok(());
    }
    Err(missing(
        decoded,
        &format!("this goes to {place}, which is missing"),
        routines,
    ))
}

fn missing(decoded: &Decoded, what: &str, routines: &[Routine]) -> Error {
    let line = decoded.row.line;
    let name = routines
        .iter()
        .filter(|routine| (routine.first_line..=routine.last_line).contains(&line))
        .min_by_key(|routine| routine.last_line - routine.first_line)
        .map_or_else(
            || Address(decoded.row.address).to_string(),
            |routine| routine.name.clone(),
        );
    Error::at(line, what, format!("dump it again: `uf {name}`"))
}
