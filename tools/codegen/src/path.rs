//! The path that a function takes when nothing unusual happens.

use std::collections::BTreeSet;

use iced_x86::{FlowControl, Formatter as _, GasFormatter, Instruction, Mnemonic, OpKind};

/// The instructions from the first to a return, or to a jump out of the function, with no conditional branch taken: the compiler lays
/// `#[cold]` code out behind a branch.
#[must_use]
pub fn fast(code: &[Instruction]) -> Vec<Instruction> {
    let mut path = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = code.first().map(Instruction::ip);
    while let Some(instruction) = next.and_then(|ip| code.iter().find(|instruction| instruction.ip() == ip)) {
        if !seen.insert(instruction.ip()) {
            break;
        }
        path.push(*instruction);
        next = match instruction.flow_control() {
            FlowControl::UnconditionalBranch => Some(instruction.near_branch_target()),
            FlowControl::Return | FlowControl::IndirectBranch | FlowControl::Exception => None,
            _ => Some(instruction.next_ip()),
        };
    }
    path
}

/// Whether the processor locks the line for it. An exchange with memory locks without the prefix.
#[must_use]
pub fn is_locked(instruction: &Instruction) -> bool {
    let memory = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
    instruction.has_lock_prefix() || (instruction.mnemonic() == Mnemonic::Xchg && memory)
}

/// As an assembler writes it, a line each.
#[must_use]
pub fn listing(code: &[Instruction]) -> String {
    let mut text = String::new();
    for instruction in code {
        let mut line = String::new();
        GasFormatter::new().format(instruction, &mut line);
        text.extend(["    ", &line, "\n"]);
    }
    text
}
