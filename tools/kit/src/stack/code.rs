//! Whom a function calls, and what it takes from the stack outside its prologue, from its machine code.

use std::collections::BTreeSet;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

/// A stretch of code, all of one function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<'a> {
    pub(super) bytes: &'a [u8],
    /// The address of the first byte, relative to the image's base.
    pub(super) begin: u32,
    /// Where its prologue ends, whose allocations are in its unwind data.
    pub(super) prologue_end: u32,
}

/// What a stretch does with the stack.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// What it calls.
    pub(super) calls: BTreeSet<Target>,
    /// What it jumps to outside itself.
    pub(super) jumps: BTreeSet<Target>,
    /// Bytes that it takes from the stack outside its prologue, at most.
    pub(super) extra: u32,
}

/// Where a call or a jump goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// To an address.
    At(u32),
    /// Through the pointer at an address: an import's slot, Control Flow Guard's.
    Through(u32),
    /// Through the pointer at an offset in a table, whose address lies at an address.
    Table { at: u32, offset: u32 },
    /// To where only the program's run can tell, from the instruction at this address.
    Unknown(u32),
}

/// Looks at a stretch of code. `guard`: the slots of Control Flow Guard's two routines; the target of a call through the
/// second is in RAX.
///
/// # Errors
///
/// If there is something else than code, or the frame's size is not a constant.
pub(super) fn behaviour<'a>(
    stretch: Stretch<'_>,
    guard: [u32; 2],
    at: &impl Fn(u32) -> Option<&'a [u8]>,
) -> Result<Behaviour, String> {
    let decoder = Decoder::with_ip(64, stretch.bytes, stretch.begin.into(), DecoderOptions::NONE);
    let code: Vec<Instruction> = decoder.into_iter().collect();
    if let Some(bad) = code.iter().find(|instruction| instruction.is_invalid()) {
        return Err(format!("{:#x} is no instruction", bad.ip()));
    }
    let function = Function::new(&code, at);
    let inside = stretch.begin..stretch.begin + length(stretch.bytes);
    let mut found = Behaviour::default();
    for (index, instruction) in code.iter().enumerate() {
        found.extra += extra(instruction, stretch.prologue_end)?;
        match instruction.flow_control() {
            FlowControl::Call => {
                found
                    .calls
                    .insert(address(instruction.near_branch_target()).into());
            }
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                let target = address(instruction.near_branch_target());
                if !inside.contains(&target) {
                    found.jumps.insert(target.into());
                }
            }
            FlowControl::IndirectCall => {
                let targets = function.targets(index, guard);
                // The first of the two looks at a pointer and returns; the call itself comes after it.
                found.calls.extend(
                    targets
                        .into_iter()
                        .filter(|target| *target != Target::Through(guard[0])),
                );
            }
            FlowControl::IndirectBranch if !function.switches.contains(&index) => {
                found.jumps.extend(function.targets(index, guard));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A value of which nothing is known; whoever uses it says where.
const UNKNOWN: Target = Target::Unknown(0);

impl From<u32> for Target {
    fn from(address: u32) -> Self {
        Self::At(address)
    }
}

/// Bytes that an instruction outside the prologue takes from the stack; what it gives back is not counted.
fn extra(instruction: &Instruction, prologue_end: u32) -> Result<u32, String> {
    if address(instruction.ip()) < prologue_end {
        return Ok(0);
    }
    let to_stack_pointer = instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() == Register::RSP;
    match instruction.mnemonic() {
        Mnemonic::Push | Mnemonic::Pushfq => Ok(8),
        // Aligns the frame further than the 16 bytes that it has by itself.
        Mnemonic::And if to_stack_pointer => {
            let mask = instruction.immediate(1).cast_signed();
            u32::try_from(-mask - 16)
                .map_err(|_| format!("{:#x} is no alignment of the frame", instruction.ip()))
        }
        // The end of the frame.
        Mnemonic::Add | Mnemonic::Lea | Mnemonic::Pop if to_stack_pointer => Ok(0),
        Mnemonic::Mov if to_stack_pointer && instruction.op1_kind() == OpKind::Register => Ok(0),
        _ if to_stack_pointer
            && instruction.mnemonic() != Mnemonic::Cmp
            && instruction.mnemonic() != Mnemonic::Test =>
        {
            Err(format!(
                "the instruction at {:#x} takes what only the run can tell from the stack",
                instruction.ip()
            ))
        }
        _ => Ok(0),
    }
}

/// A stretch's instructions, and what they say about the value of a register.
struct Function<'a> {
    code: &'a [Instruction],
    /// For each instruction those that can come before it; `None` if there may be others.
    before: Vec<Option<BTreeSet<usize>>>,
    /// For each instruction the registers that it writes, as their 64-bit forms.
    writes: Vec<Vec<Register>>,
    /// The indirect jumps that are switches.
    switches: BTreeSet<usize>,
}

impl<'a> Function<'a> {
    fn new<'b>(code: &'a [Instruction], at: &impl Fn(u32) -> Option<&'b [u8]>) -> Self {
        let mut factory = InstructionInfoFactory::new();
        let writes = code.iter().map(|instruction| {
            let used = factory.info(instruction).used_registers();
            let written = used.iter().filter(|used| {
                !matches!(
                    used.access(),
                    OpAccess::None | OpAccess::Read | OpAccess::CondRead
                )
            });
            written.map(|used| used.register().full_register()).collect()
        });
        let mut function = Self {
            code,
            before: Vec::new(),
            writes: writes.collect(),
            switches: BTreeSet::new(),
        };
        function.before = function.order(at);
        function
    }

    /// For each instruction those that can come before it.
    fn order<'b>(&mut self, at: &impl Fn(u32) -> Option<&'b [u8]>) -> Vec<Option<BTreeSet<usize>>> {
        let index_of = |address: u64| self.code.binary_search_by_key(&address, Instruction::ip).ok();
        let mut before = vec![Some(BTreeSet::new()); self.code.len()];
        // By its caller.
        if let Some(first) = before.first_mut() {
            *first = None;
        }
        let mut follows = |index: usize, to: Option<usize>| {
            if let Some(Some(before)) = to.and_then(|to| before.get_mut(to)) {
                before.insert(index);
            }
        };
        let mut jumps = Vec::new();
        for (index, instruction) in self.code.iter().enumerate() {
            let flow = instruction.flow_control();
            if matches!(
                flow,
                FlowControl::Next
                    | FlowControl::ConditionalBranch
                    | FlowControl::Call
                    | FlowControl::IndirectCall
            ) {
                follows(index, Some(index + 1));
            }
            if matches!(
                flow,
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
            ) {
                follows(index, index_of(instruction.near_branch_target()));
            }
            if flow == FlowControl::IndirectBranch && instruction.op0_kind() == OpKind::Register {
                jumps.push(index);
            }
        }
        let mut hidden = false;
        for index in jumps {
            let Some(sum) = self.above(self.code[index].op0_register(), index) else {
                continue;
            };
            // The address of a table and one of its offsets, which no pointer to a function is.
            if self.code[sum].mnemonic() != Mnemonic::Add {
                continue;
            }
            self.switches.insert(index);
            let targets = self.table(sum).map(|table| offsets(table, at));
            hidden |= targets.is_none();
            for target in targets.into_iter().flatten() {
                follows(index, index_of(target));
            }
        }
        if hidden {
            for (index, before) in before.iter_mut().enumerate() {
                let falls = index.checked_sub(1).map(|index| BTreeSet::from([index]));
                if before.is_some() && *before != falls {
                    *before = None;
                }
            }
        }
        before
    }

    /// The instruction that writes a register last above another, if they are in a straight line.
    fn above(&self, register: Register, index: usize) -> Option<usize> {
        let line = (0..index)
            .rev()
            .take_while(|&at| self.code[at].flow_control() == FlowControl::Next);
        line.into_iter().find(|&at| self.writes[at].contains(&register))
    }

    /// The table of a switch, by the sum that it jumps to.
    fn table(&self, sum: usize) -> Option<u32> {
        let mut found = BTreeSet::new();
        for register in [self.code[sum].op0_register(), self.code[sum].op1_register()] {
            let table = |&at: &usize| {
                let instruction = &self.code[at];
                let is_address =
                    instruction.mnemonic() == Mnemonic::Lea && instruction.is_ip_rel_memory_operand();
                is_address && self.writes[at].contains(&register)
            };
            match self.above(register, sum) {
                Some(above) => found.extend(Some(above).filter(table)),
                // Loaded before a loop.
                None => found.extend((0..self.code.len()).filter(table)),
            }
        }
        let addresses: BTreeSet<u64> = found
            .iter()
            .map(|&at| self.code[at].memory_displacement64())
            .collect();
        let mut addresses = addresses.into_iter();
        let first = addresses.next();
        first.filter(|_| addresses.next().is_none()).map(address)
    }

    /// Where the indirect call or jump at `index` goes.
    fn targets(&self, index: usize, [_, dispatch]: [u32; 2]) -> BTreeSet<Target> {
        let instruction = &self.code[index];
        let pointers = if instruction.op0_kind() == OpKind::Register {
            self.values(instruction.op0_register(), index)
        } else {
            self.loaded(instruction, index, &mut BTreeSet::new())
        };
        let pointers = if pointers == BTreeSet::from([Target::Through(dispatch)]) {
            self.values(Register::RAX, index)
        } else {
            pointers
        };
        let here = Target::Unknown(address(instruction.ip()));
        pointers
            .into_iter()
            .map(|pointer| if pointer == UNKNOWN { here } else { pointer })
            .collect()
    }

    /// What a register can hold before the instruction at `index`.
    fn values(&self, register: Register, index: usize) -> BTreeSet<Target> {
        self.values_but(register, index, &mut BTreeSet::new())
    }

    /// The same, without where one has already looked.
    fn values_but(
        &self,
        register: Register,
        index: usize,
        seen: &mut BTreeSet<(usize, Register)>,
    ) -> BTreeSet<Target> {
        let mut values = BTreeSet::new();
        let mut open = vec![index];
        while let Some(index) = open.pop() {
            let Some(before) = &self.before[index] else {
                values.insert(UNKNOWN);
                continue;
            };
            for &at in before {
                if !seen.insert((at, register)) {
                    continue;
                }
                let instruction = &self.code[at];
                if self.writes[at].contains(&register) {
                    values.extend(self.written(instruction, at, seen));
                } else if is_call(instruction) && is_volatile(register) {
                    values.insert(UNKNOWN);
                } else {
                    open.push(at);
                }
            }
        }
        values
    }

    /// What an instruction writes to a register.
    fn written(
        &self,
        instruction: &Instruction,
        index: usize,
        seen: &mut BTreeSet<(usize, Register)>,
    ) -> BTreeSet<Target> {
        match (instruction.mnemonic(), instruction.op1_kind()) {
            (Mnemonic::Mov, OpKind::Register) => self.values_but(instruction.op1_register(), index, seen),
            (Mnemonic::Mov, OpKind::Memory) => self.loaded(instruction, index, seen),
            (Mnemonic::Lea, OpKind::Memory) if instruction.is_ip_rel_memory_operand() => {
                BTreeSet::from([Target::At(address(instruction.memory_displacement64()))])
            }
            _ => BTreeSet::from([UNKNOWN]),
        }
    }

    /// What the memory operand of the instruction at `index` holds.
    fn loaded(
        &self,
        instruction: &Instruction,
        index: usize,
        seen: &mut BTreeSet<(usize, Register)>,
    ) -> BTreeSet<Target> {
        if instruction.is_ip_rel_memory_operand() {
            return BTreeSet::from([Target::Through(address(instruction.memory_displacement64()))]);
        }
        let unknown = BTreeSet::from([UNKNOWN]);
        let Ok(offset) = u32::try_from(instruction.memory_displacement64()) else {
            return unknown;
        };
        if instruction.memory_index() != Register::None || instruction.segment_prefix() != Register::None {
            return unknown;
        }
        let tables = self.values_but(instruction.memory_base(), index, seen);
        let in_table = |table| match table {
            Target::Through(at) => Target::Table { at, offset },
            _ => UNKNOWN,
        };
        tables.into_iter().map(in_table).collect()
    }
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(
        instruction.flow_control(),
        FlowControl::Call | FlowControl::IndirectCall
    )
}

/// Whether a call may change a register (<https://learn.microsoft.com/cpp/build/x64-software-conventions>).
fn is_volatile(register: Register) -> bool {
    matches!(
        register,
        Register::RAX
            | Register::RCX
            | Register::RDX
            | Register::R8
            | Register::R9
            | Register::R10
            | Register::R11
    )
}

/// The addresses that code takes, of functions, of switches' tables and of other data.
pub(super) fn taken(code: &[u8], begin: u32) -> impl Iterator<Item = u32> {
    let code = Decoder::with_ip(64, code, begin.into(), DecoderOptions::NONE).into_iter();
    code.filter(|instruction| {
        instruction.mnemonic() == Mnemonic::Lea && instruction.is_ip_rel_memory_operand()
    })
    .map(|instruction| address(instruction.memory_displacement64()))
}

/// As much of the bytes at an address as can belong to what begins there: something else begins at the next one that is taken.
pub(super) fn up_to_next<'a>(taken: &BTreeSet<u32>, address: u32, bytes: &'a [u8]) -> &'a [u8] {
    let next = taken.range(address.saturating_add(1)..).next();
    let most = next.and_then(|next| usize::try_from(next - address).ok());
    &bytes[..most.map_or(bytes.len(), |most| most.min(bytes.len()))]
}

/// The targets in a switch's table, and what follows it: where a table ends is not said. It has offsets from itself.
fn offsets<'b>(table: u32, at: &impl Fn(u32) -> Option<&'b [u8]>) -> BTreeSet<u64> {
    const MOST: usize = 512;
    let words = at(table).unwrap_or_default().chunks_exact(4).take(MOST);
    let offsets = words.filter_map(|word| word.try_into().ok().map(i32::from_le_bytes));
    offsets
        .filter_map(|offset| table.checked_add_signed(offset))
        .map(u64::from)
        .collect()
}

fn address(absolute: u64) -> u32 {
    // Addresses are relative to the image's base, and an image is smaller than 4 GB.
    u32::try_from(absolute).unwrap_or(u32::MAX)
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: u32 = 0x1000;
    const GUARD: [u32; 2] = [0x4000, 0x4008];
    const SLOT: u32 = 0x3000;
    const SWITCH: u32 = 0x2000;

    /// Machine code at [`BEGIN`]: bytes, and addresses relative to the end of their instruction.
    enum Piece {
        Bytes(&'static [u8]),
        Address(u32),
    }
    use Piece::{Address, Bytes};

    const MOV_RAX_FROM: Piece = Bytes(&[0x48, 0x8B, 0x05]);
    const MOV_RBX_FROM: Piece = Bytes(&[0x48, 0x8B, 0x1D]);
    const CALL: Piece = Bytes(&[0xE8]);
    const CALL_RAX: Piece = Bytes(&[0xFF, 0xD0]);
    const CALL_RBX: Piece = Bytes(&[0xFF, 0xD3]);
    const CALL_THROUGH: Piece = Bytes(&[0xFF, 0x15]);
    const RET: Piece = Bytes(&[0xC3]);

    fn assemble(code: &[Piece]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in code {
            match piece {
                Bytes(more) => bytes.extend(*more),
                Address(address) => {
                    let end = BEGIN + length(&bytes) + 4;
                    bytes.extend(address.wrapping_sub(end).to_le_bytes());
                }
            }
        }
        bytes
    }

    fn calls(code: &[Piece]) -> Vec<Target> {
        // The switch has one case, `CASE`.
        calls_with(code, &CASE.wrapping_sub(SWITCH).to_le_bytes())
    }

    fn calls_with(code: &[Piece], table: &[u8]) -> Vec<Target> {
        let bytes = assemble(code);
        let stretch = Stretch {
            bytes: &bytes,
            begin: BEGIN,
            prologue_end: BEGIN,
        };
        let at = |address| (address == SWITCH).then_some(table);
        behaviour(stretch, GUARD, &at)
            .unwrap()
            .calls
            .into_iter()
            .collect()
    }

    #[test]
    fn a_pointer_of_the_callers_is_unknown() {
        assert_eq!(calls(&[CALL_RAX, RET]), [Target::Unknown(BEGIN)]);
    }

    #[test]
    fn a_call_keeps_some_registers() {
        let other = Target::At(0x8000);
        assert_eq!(
            calls(&[MOV_RAX_FROM, Address(SLOT), CALL, Address(0x8000), CALL_RAX, RET]),
            [other, Target::Unknown(BEGIN + 12)]
        );
        assert_eq!(
            calls(&[MOV_RBX_FROM, Address(SLOT), CALL, Address(0x8000), CALL_RBX, RET]),
            [other, Target::Through(SLOT)]
        );
    }

    #[test]
    fn a_guarded_call_goes_where_rax_says() {
        // Through the framework's table, after the routine that only checks.
        let code = [
            CALL_THROUGH,
            Address(GUARD[0]),
            MOV_RAX_FROM,
            Address(SLOT),
            Bytes(&[0x48, 0x8B, 0x80, 0xD8, 0x02, 0, 0]),
            CALL_THROUGH,
            Address(GUARD[1]),
            RET,
        ];
        assert_eq!(
            calls(&code),
            [Target::Table {
                at: SLOT,
                offset: 0x2D8
            }]
        );
    }

    /// Where the case of the switch begins.
    const CASE: u32 = BEGIN + 0x17;

    #[test]
    fn a_switch_leads_to_its_cases() {
        let switch = |table: &'static [u8]| {
            [
                MOV_RBX_FROM,
                Address(SLOT),
                Bytes(table),
                Address(SWITCH),
                // movsxd rax, dword ptr [rcx+rdx*4]; add rax, rcx; jmp rax
                Bytes(&[0x48, 0x63, 0x04, 0x91, 0x48, 0x01, 0xC8, 0xFF, 0xE0]),
                CALL_RBX,
                RET,
            ]
        };
        // lea rcx, [table]
        assert_eq!(calls(&switch(&[0x48, 0x8D, 0x0D])), [Target::Through(SLOT)]);
        // mov rcx, [table]: which cases it has cannot be told.
        assert_eq!(calls(&switch(&[0x48, 0x8B, 0x0D])), [Target::Unknown(CASE)]);
    }

    #[test]
    fn what_lies_behind_a_table_is_no_case() {
        const CALL: u32 = BEGIN + 0x17;
        // lea rcx, [table]; movsxd rax, dword ptr [rcx+rdx*4]; add rax, rcx; jmp rax; the case
        let code = [
            Bytes(&[0x48, 0x8D, 0x0D]),
            Address(SWITCH),
            Bytes(&[0x48, 0x63, 0x04, 0x91, 0x48, 0x01, 0xC8, 0xFF, 0xE0]),
            MOV_RBX_FROM,
            Address(SLOT),
            CALL_RBX,
            RET,
        ];
        let both: Vec<u8> = [BEGIN + 0x10, CALL]
            .iter()
            .flat_map(|case| case.wrapping_sub(SWITCH).to_le_bytes())
            .collect();
        let unknown = [Target::Through(SLOT), Target::Unknown(CALL)];
        assert_eq!(calls_with(&code, &both), unknown);

        let mut addresses: BTreeSet<u32> = taken(&assemble(&code), BEGIN).collect();
        assert_eq!(addresses, BTreeSet::from([SWITCH]));
        assert_eq!(up_to_next(&addresses, SWITCH, &both), both);
        addresses.insert(SWITCH + 4);
        let one = up_to_next(&addresses, SWITCH, &both);
        assert_eq!(calls_with(&code, one), [Target::Through(SLOT)]);
    }
}
