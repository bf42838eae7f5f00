//! The fast paths where they were inlined: in a driver's own functions.

use std::path::Path;

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};
use object::read::File;
use rundown_lab::{driver::DriverFile, symbols::DriverSymbols};

use crate::{
    image::decode_relative,
    path::{is_locked, listing},
};

/// How far before its exchange a word may be fetched.
const WINDOW: usize = 16;

/// What was found in a driver.
#[derive(Debug, Default)]
pub struct Found {
    /// Fast paths: `prefetchw`, and then a `lock cmpxchg`.
    pub prefetched: usize,
    /// Those without the `prefetchw`, each in words with the code before the exchange.
    pub faults: Vec<String>,
}

/// Looks at each `lock cmpxchg` of `sys` that the PDB says came from the exchange of an acquire's or a release's fast path.
///
/// # Errors
/// One line that names the file.
pub fn fast_paths(sys: &Path, pdb: &Path) -> Result<Found, String> {
    let driver = DriverFile::read(sys)?;
    let symbols = DriverSymbols::read(pdb, &driver)?;
    let file = File::parse(&*driver.bytes).map_err(|error| error.to_string())?;
    let mut found = Found::default();
    for function in symbols.functions()? {
        // A function without bytes in the file is none of the driver's code.
        let Some(code) = decode_relative(&file, function.start.into(), function.end.into()) else {
            continue;
        };
        let exchanges: Vec<usize> = (0..code.len())
            .filter(|&index| code[index].mnemonic() == Mnemonic::Cmpxchg && is_locked(&code[index]))
            .collect();
        let addresses: Vec<u32> = exchanges
            .iter()
            .filter_map(|&index| u32::try_from(code[index].ip()).ok())
            .collect();
        for (index, frames) in exchanges.into_iter().zip(symbols.locate(&addresses)) {
            let names: Vec<&str> = frames
                .iter()
                .filter_map(|frame| frame.function.as_deref())
                .collect();
            if !is_fast_path(&names) {
                continue;
            }
            if is_prefetched(&code, index) {
                found.prefetched += 1;
            } else {
                let before = &code[index.saturating_sub(WINDOW)..=index];
                found.faults.push(format!(
                    "the exchange at {:#x}, {}, is not after a prefetchw\n{}",
                    code[index].ip(),
                    names.join(" in "),
                    listing(before)
                ));
            }
        }
    }
    Ok(found)
}

/// By the functions that an instruction came from, the innermost first.
fn is_fast_path(names: &[&str]) -> bool {
    let came_from = |method: &str| {
        names
            .iter()
            .any(|name| name.starts_with("ex_rundown::rundown_ref::RundownRef<") && name.contains(method))
    };
    (came_from(">::acquire_once") && !came_from(">::acquire_slow"))
        || (came_from(">::release_once") && !came_from(">::release_unless_run_down"))
}

/// Whether a word was fetched shortly before the exchange at `index`, and nothing was locked or called since.
fn is_prefetched(code: &[Instruction], index: usize) -> bool {
    code[..index]
        .iter()
        .rev()
        .take(WINDOW)
        .take_while(|instruction| {
            !is_locked(instruction)
                && matches!(
                    instruction.flow_control(),
                    FlowControl::Next | FlowControl::ConditionalBranch
                )
        })
        .any(|instruction| instruction.mnemonic() == Mnemonic::Prefetchw)
}

/// What was found of the reference for `DISPATCH_LEVEL` in a driver.
#[derive(Debug, Default)]
pub struct WithoutLock {
    /// Additions to a counter in memory.
    pub additions: usize,
    /// Locked instructions of an acquire or a release, each in words.
    pub faults: Vec<String>,
}

/// Looks at what the PDB says came from its acquire and its release, but for the part that reaches a waiter's block.
///
/// # Errors
/// One line that names the file.
pub fn without_lock(sys: &Path, pdb: &Path) -> Result<WithoutLock, String> {
    let driver = DriverFile::read(sys)?;
    let symbols = DriverSymbols::read(pdb, &driver)?;
    let file = File::parse(&*driver.bytes).map_err(|error| error.to_string())?;
    let mut found = WithoutLock::default();
    for function in symbols.functions()? {
        let Some(code) = decode_relative(&file, function.start.into(), function.end.into()) else {
            continue;
        };
        let writes: Vec<&Instruction> = code
            .iter()
            .filter(|instruction| is_locked(instruction) || is_addition_to_memory(instruction))
            .collect();
        let addresses: Vec<u32> = writes
            .iter()
            .filter_map(|instruction| u32::try_from(instruction.ip()).ok())
            .collect();
        for (instruction, frames) in writes.into_iter().zip(symbols.locate(&addresses)) {
            let names: Vec<&str> = frames
                .iter()
                .filter_map(|frame| frame.function.as_deref())
                .collect();
            if !is_without_lock(&names) {
                continue;
            }
            if is_locked(instruction) {
                found.faults.push(format!(
                    "{instruction} at {:#x}, {}, is locked",
                    instruction.ip(),
                    names.join(" in ")
                ));
            } else {
                found.additions += 1;
            }
        }
    }
    Ok(found)
}

fn is_without_lock(names: &[&str]) -> bool {
    let came_from = |method: &str| {
        names.iter().any(|name| {
            name.starts_with("ex_rundown::dispatch::DispatchRundownRef<") && name.ends_with(method)
        })
    };
    came_from(">::acquire") || came_from(">::acquire_ex") || came_from(">::give_back")
}

fn is_addition_to_memory(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Add | Mnemonic::Sub | Mnemonic::Inc | Mnemonic::Dec | Mnemonic::Mov
    ) && instruction.op0_kind() == OpKind::Memory
}
