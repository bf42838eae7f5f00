//! How the driver's frames are left, as DWARF's call frame information: from the unwind codes of `.pdata` and `.xdata` (Microsoft, "x64 exception
//! handling"), which say what each prologue did, and from the epilogues, for which they leave it to the unwinder to read the instructions.

use crate::driver::{self, DriverFile};
use gimli::write::{
    Address, CallFrameInstruction as Cfi, CommonInformationEntry, DebugFrame, EndianVec,
    FrameDescriptionEntry, FrameTable,
};
use gimli::{Encoding, Format, LittleEndian, Register, X86_64};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register as Iced};
use object::{Object, ObjectSection};
use pe_unwind_info::x86_64::{
    FunctionTableEntries, Register as Pe, UnwindInfo, UnwindInfoTrailer, UnwindOperation,
};

const ENCODING: Encoding = Encoding {
    format: Format::Dwarf32,
    version: 4,
    address_size: 8,
};
/// The return address alone.
const ENTRY: i32 = 8;
/// As deep as chains of unwind information are followed: none is deeper than a function's hot part, its cold one, and a piece of that.
const CHAIN: usize = 8;

/// `.debug_frame` for the driver at `base`.
///
/// # Errors
/// One line if it does not fit.
pub(super) fn frames(image: &DriverFile, base: u64) -> Result<Vec<u8>, String> {
    let mut table = FrameTable::default();
    let mut common = CommonInformationEntry::new(ENCODING, 1, -8, X86_64::RA);
    common.add_instruction(Cfi::Cfa(X86_64::RSP, ENTRY));
    common.add_instruction(Cfi::Offset(X86_64::RA, -8));
    let common = table.add_cie(common);
    let pe = object::read::pe::PeFile64::parse(&*image.bytes).map_err(|e| e.to_string())?;
    let data = pe
        .section_by_name(".pdata")
        .and_then(|section| section.data().ok());
    let functions = FunctionTableEntries::parse(data.unwrap_or_default())
        .functions()
        .unwrap_or_default();
    for function in functions {
        let (start, end) = (function.begin_address.get(), function.end_address.get());
        // The section is filled up with entries of nothing.
        let Some(frame) = end
            .checked_sub(start)
            .filter(|&length| length != 0)
            .and_then(|_| Frame::read(&image.bytes, function.unwind_info_address.get()))
        else {
            continue;
        };
        let mut entry = FrameDescriptionEntry::new(Address::Constant(base + u64::from(start)), end - start);
        let mut instructions = frame.rules();
        if let Some(code) = driver::code(&image.bytes, start, end) {
            instructions.extend(epilogues(code));
        }
        for (offset, instruction) in instructions {
            entry.add_instruction(offset, instruction);
        }
        table.add_fde(common, entry);
    }
    let mut section = DebugFrame(EndianVec::new(LittleEndian));
    table
        .write_debug_frame(&mut section)
        .map_err(|e| format!("the frames do not fit into DWARF: {e}"))?;
    Ok(section.0.into_vec())
}

/// What a prologue does to one register or to the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Push(Register),
    Allocate(i32),
    /// The frame register is set, so far above RSP.
    Frame(Register, i32),
    /// A register is stored, so far above where RSP is behind the prologue.
    Save(Register, i32),
}

/// What a prologue does, in its order; each step with the offset of the instruction behind it.
struct Frame(Vec<(u32, Step)>);

impl Frame {
    /// Reads the unwind information at `address`, and what it is chained to; none if the code is entered by the processor.
    fn read(file: &[u8], address: u32) -> Option<Self> {
        let mut steps = Vec::new();
        let mut next = Some(address);
        for chained in 0..CHAIN {
            let Some(address) = next else { break };
            let information = UnwindInfo::parse(driver::behind(file, address)?)?;
            for (offset, operation) in information.unwind_operations() {
                // The prologue of what it is chained to lies elsewhere, and is over.
                let offset = if chained == 0 { offset.into() } else { 0 };
                let step = match operation {
                    UnwindOperation::PopNonVolatile(register) => Step::Push(dwarf(register)),
                    UnwindOperation::UnStackAlloc(bytes) => Step::Allocate(bytes.try_into().ok()?),
                    UnwindOperation::RestoreSPFromFP => Step::Frame(
                        dwarf(information.frame_register()?),
                        information.frame_register_offset().into(),
                    ),
                    UnwindOperation::ReadNonVolatile(register, above) => {
                        let above =
                            information.resolve_offset(|_| information.frame_register_offset().into(), above);
                        Step::Save(dwarf(register), above.try_into().ok()?)
                    }
                    // A debugger shows them as they are.
                    UnwindOperation::ReadXMM(..) | UnwindOperation::EpilogInformation(_) => continue,
                    UnwindOperation::PopMachineFrame { .. } => return None,
                };
                steps.push((offset, step));
            }
            next = match information.trailer() {
                Some(UnwindInfoTrailer::ChainedUnwindInfo { chained }) => {
                    Some(chained.unwind_info_address.get())
                }
                _ => None,
            };
        }
        steps.reverse();
        Some(Self(steps))
    }

    /// The rules that the steps come to.
    fn rules(&self) -> Vec<(u32, Cfi)> {
        let pushed = self.0.iter().map(|(_, step)| match step {
            Step::Push(_) => 8,
            Step::Allocate(bytes) => *bytes,
            Step::Frame(..) | Step::Save(..) => 0,
        });
        let whole = ENTRY + pushed.sum::<i32>();
        let (mut depth, mut by_rsp) = (ENTRY, true);
        let mut rules = Vec::new();
        for &(offset, step) in &self.0 {
            match step {
                Step::Push(register) => {
                    depth += 8;
                    rules.push((offset, Cfi::Offset(register, -depth)));
                }
                Step::Allocate(bytes) => depth += bytes,
                Step::Frame(register, above) => {
                    by_rsp = false;
                    rules.push((offset, Cfi::Cfa(register, depth - above)));
                }
                Step::Save(register, above) => rules.push((offset, Cfi::Offset(register, above - whole))),
            }
            if by_rsp && matches!(step, Step::Push(_) | Step::Allocate(_)) {
                rules.push((offset, Cfi::CfaOffset(depth)));
            }
        }
        rules
    }
}

/// The rules at the ends of a function: what is left of its frame behind `add rsp` or `lea rsp`, pop by pop, until it returns or jumps to another one.
fn epilogues(code: &[u8]) -> Vec<(u32, Cfi)> {
    let decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let instructions: Vec<Instruction> = decoder.into_iter().collect();
    let mut rules = Vec::new();
    let mut place = |instruction: &Instruction, rule| {
        if let Ok(offset) = u32::try_from(instruction.ip()) {
            rules.push((offset, rule));
        }
    };
    for (index, _) in instructions
        .iter()
        .enumerate()
        .filter(|(_, last)| leaves(last, code.len()))
    {
        let pops = instructions[..index]
            .iter()
            .rev()
            .take_while(|pop| popped(pop).is_some())
            .count();
        let first = index - pops;
        let frees = first
            .checked_sub(1)
            .is_some_and(|before| sets_rsp(&instructions[before]));
        // A frame of nothing is left as it was entered.
        if pops == 0 && !frees {
            continue;
        }
        place(&instructions[first], Cfi::RememberState);
        let mut left = ENTRY + 8 * i32::try_from(pops).unwrap_or(0);
        place(&instructions[first], Cfi::Cfa(X86_64::RSP, left));
        for (pop, behind) in instructions[first..=index]
            .iter()
            .zip(&instructions[first + 1..=index])
        {
            left -= 8;
            place(behind, Cfi::CfaOffset(left));
            if let Some(register) = popped(pop) {
                place(behind, Cfi::SameValue(register));
            }
        }
        if let Some(behind) = instructions.get(index + 1) {
            place(behind, Cfi::RestoreState);
        }
    }
    rules
}

/// Whether a function of `length` bytes is left by the instruction.
fn leaves(instruction: &Instruction, length: usize) -> bool {
    match instruction.flow_control() {
        FlowControl::Return => true,
        FlowControl::UnconditionalBranch => instruction.near_branch_target() >= length as u64,
        FlowControl::IndirectBranch => {
            instruction.op0_kind() == OpKind::Memory && instruction.is_ip_rel_memory_operand()
        }
        _ => false,
    }
}

fn sets_rsp(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Add | Mnemonic::Lea | Mnemonic::Mov
    ) && instruction.op0_register() == Iced::RSP
}

/// The register that is popped.
fn popped(instruction: &Instruction) -> Option<Register> {
    (instruction.code() == Code::Pop_r64).then(|| dwarf_of(instruction.op0_register().number()))
}

/// DWARF's number of a register (System V ABI, AMD64, figure 3.36).
fn dwarf(register: Pe) -> Register {
    dwarf_of(register as usize)
}

/// The same by the processor's own number.
fn dwarf_of(number: usize) -> Register {
    const LOW: [Register; 8] = [
        X86_64::RAX,
        X86_64::RCX,
        X86_64::RDX,
        X86_64::RBX,
        X86_64::RSP,
        X86_64::RBP,
        X86_64::RSI,
        X86_64::RDI,
    ];
    let high = Register(u16::try_from(number).unwrap_or(0));
    LOW.get(number).copied().unwrap_or(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prologue_is_followed_step_by_step() {
        // push rbp; push rsi; sub rsp, 0x40; lea rbp, [rsp+0x30]; mov [rsp+0x20], rbx
        let frame = Frame(vec![
            (1, Step::Push(X86_64::RBP)),
            (2, Step::Push(X86_64::RSI)),
            (6, Step::Allocate(0x40)),
            (11, Step::Frame(X86_64::RBP, 0x30)),
            (16, Step::Save(X86_64::RBX, 0x20)),
        ]);
        assert_eq!(
            frame.rules(),
            [
                (1, Cfi::Offset(X86_64::RBP, -16)),
                (1, Cfi::CfaOffset(16)),
                (2, Cfi::Offset(X86_64::RSI, -24)),
                (2, Cfi::CfaOffset(24)),
                (6, Cfi::CfaOffset(0x58)),
                (11, Cfi::Cfa(X86_64::RBP, 0x28)),
                (16, Cfi::Offset(X86_64::RBX, -0x38)),
            ]
        );
    }

    #[test]
    fn an_epilogue_is_followed_pop_by_pop() {
        let code = [
            0x48, 0x83, 0xC4, 0x28, // add rsp, 28h
            0x5B, // pop rbx
            0x41, 0x5F, // pop r15
            0xC3, // ret
            0x90, // nop
        ];
        assert_eq!(
            epilogues(&code),
            [
                (4, Cfi::RememberState),
                (4, Cfi::Cfa(X86_64::RSP, 24)),
                (5, Cfi::CfaOffset(16)),
                (5, Cfi::SameValue(X86_64::RBX)),
                (7, Cfi::CfaOffset(8)),
                (7, Cfi::SameValue(X86_64::R15)),
                (8, Cfi::RestoreState),
            ]
        );
        // A jump to another function ends this one; one within it does not, and a leaf has nothing to give back.
        assert_eq!(epilogues(&[0x5B, 0xE9, 0x10, 0, 0, 0]).len(), 4);
        assert_eq!(epilogues(&[0x5B, 0xEB, 0xFD]), []);
        assert_eq!(epilogues(&[0xC3]), []);
    }
}
