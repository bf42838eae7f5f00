//! A routine's machine code as text.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter as _, Instruction, IntelFormatter};

use crate::hexadecimal;

/// Bytes in a row of their own column.
const COLUMN: usize = 20;

/// The routine at the start of `bytes`, an instruction a line, to the last one that can be reached without leaving it. Addresses count
/// from its first instruction. Nothing for no bytes.
pub(super) fn routine(bytes: &[u8]) -> String {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_small_hex_numbers_in_decimal(false);
    options.set_show_branch_size(false);
    options.set_rip_relative_addresses(true);
    options.set_space_after_operand_separator(true);

    let mut text = String::new();
    // The furthest place behind which nothing is known to be code.
    let mut reached = 0;
    for instruction in Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE) {
        if instruction.is_invalid() {
            text += "(what follows is not in the bytes that were told)\n";
            break;
        }
        let place = usize::try_from(instruction.ip()).unwrap_or(usize::MAX);
        let own = bytes.get(place..place + instruction.len()).unwrap_or_default();
        let mut words = String::new();
        formatter.format(&instruction, &mut words);
        let digits = hexadecimal::encode(own);
        text.extend([&format!("+0x{place:02x}  {digits:COLUMN$}"), words.as_str(), "\n"]);
        reached = reached.max(target(&instruction, bytes.len()));
        if ends(&instruction) && instruction.next_ip() > reached {
            break;
        }
    }
    text
}

/// Where a branch within the bytes goes; 0 for any other instruction.
fn target(instruction: &Instruction, length: usize) -> u64 {
    match instruction.flow_control() {
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
            if instruction.near_branch_target() < length as u64 =>
        {
            instruction.near_branch_target()
        }
        _ => 0,
    }
}

/// Whether the next instruction does not follow.
fn ends(instruction: &Instruction) -> bool {
    matches!(
        instruction.flow_control(),
        FlowControl::Return
            | FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::Interrupt
            | FlowControl::Exception
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        routine(bytes)
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn a_routine_ends_behind_its_last_branch() {
        // test al, 1; jne to the second ret; ret; xor eax, eax; ret; int3
        let bytes = [0xa8, 1, 0x75, 1, 0xc3, 0x31, 0xc0, 0xc3, 0xcc, 0xcc];
        assert_eq!(
            lines(&bytes),
            [
                "+0x00 a801 test al, 0x1",
                "+0x02 7501 jne 0x5",
                "+0x04 c3 ret",
                "+0x05 31c0 xor eax, eax",
                "+0x07 c3 ret"
            ]
        );
    }

    #[test]
    fn a_tail_call_ends_it() {
        // jmp far beyond; nop
        assert_eq!(lines(&[0xe9, 0, 1, 0, 0, 0x90]), ["+0x00 e900010000 jmp 0x105"]);
    }

    #[test]
    fn a_routine_that_is_cut_says_so() {
        // The first two bytes of lock cmpxchg.
        assert_eq!(
            lines(&[0x90, 0xf0, 0x48]),
            [
                "+0x00 90 nop",
                "(what follows is not in the bytes that were told)"
            ]
        );
        assert_eq!(routine(&[]), "");
    }
}
