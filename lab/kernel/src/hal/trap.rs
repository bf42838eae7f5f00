//! Traps and interrupts: the stubs, and the frame that they save. Where each vector goes is [`crate::vectors`]'s business.

use core::arch::{global_asm, naked_asm};
use x86_64::VirtAddr;

/// Vector of the dispatch interrupt: delivered when the IRQL is below `DISPATCH_LEVEL` (priority class 2).
pub const DISPATCH_VECTOR: u8 = 0x2F;
/// Vector of COM1 (priority class 4).
pub const SERIAL_VECTOR: u8 = 0x41;
/// Vector of the clock (priority class 13, as `CLOCK_LEVEL`).
pub const CLOCK_VECTOR: u8 = 0xD1;
/// Vector of spurious interrupts; not acknowledged.
pub const SPURIOUS_VECTOR: u8 = 0xFF;

/// RFLAGS.TF: trap after the next instruction.
pub const TRAP_FLAG: u64 = 1 << 8;
/// RFLAGS.IF: interrupts are enabled.
pub const INTERRUPT_FLAG: u64 = 1 << 9;
/// RFLAGS.RF: no instruction breakpoint for the next instruction.
pub const RESUME_FLAG: u64 = 1 << 16;

/// What a stub saved, in the order of memory.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "registers, named as the processor's manual does")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// How the registers of [`TrapFrame::registers`] are called in reports, in their order.
pub const REGISTERS: [&str; 20] = [
    "rip", "rsp", "rflags", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12",
    "r13", "r14", "r15", "cs", "ss",
];

impl TrapFrame {
    /// The interrupted code's registers; their names are [`REGISTERS`].
    pub fn registers(&self) -> [u64; REGISTERS.len()] {
        [
            self.rip,
            self.rsp,
            self.rflags,
            self.rax,
            self.rbx,
            self.rcx,
            self.rdx,
            self.rsi,
            self.rdi,
            self.rbp,
            self.r8,
            self.r9,
            self.r10,
            self.r11,
            self.r12,
            self.r13,
            self.r14,
            self.r15,
            self.cs,
            self.ss,
        ]
    }

    /// Whether the interrupted code ran with interrupts enabled.
    pub fn interrupts(&self) -> bool {
        self.rflags & INTERRUPT_FLAG != 0
    }
}

// One stub of 16 bytes per vector: push a zero where the processor pushes no error code, push the vector, go on.
global_asm!(
    ".text",
    ".balign 16",
    "interrupt_stubs:",
    ".set vector, 0",
    ".rept 256",
    "  .balign 16",
    "  .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)",
    "    push 0",
    "  .endif",
    "  push vector",
    "  jmp {common}",
    "  .set vector, vector + 1",
    ".endr",
    common = sym common,
);

unsafe extern "C" {
    static interrupt_stubs: u8;
    /// Takes every vector where it belongs; runs with interrupts disabled ([`crate::vectors`]).
    fn rundown_lab_dispatch(frame: &mut TrapFrame);
}

/// The address of a vector's stub.
pub(super) fn stub(vector: u8) -> VirtAddr {
    VirtAddr::from_ptr((&raw const interrupt_stubs).wrapping_add(usize::from(vector) * 16))
}

/// Saves the general registers, calls `dispatch`, and returns from the interrupt. The processor aligned RSP to 16
/// before it pushed five words; 17 more make 22, so the call finds the stack aligned.
#[unsafe(naked)]
unsafe extern "C" fn common() {
    naked_asm!(
        "push rax; push rbx; push rcx; push rdx; push rsi; push rdi; push rbp",
        "push r8; push r9; push r10; push r11; push r12; push r13; push r14; push r15",
        "cld",
        "mov rdi, rsp",
        "call {dispatch}",
        "pop r15; pop r14; pop r13; pop r12; pop r11; pop r10; pop r9; pop r8",
        "pop rbp; pop rdi; pop rsi; pop rdx; pop rcx; pop rbx; pop rax",
        "add rsp, 16",
        "iretq",
        dispatch = sym rundown_lab_dispatch,
    )
}
