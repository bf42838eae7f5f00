//! Trials, for the kernel's test of itself: what would end the run is returned instead.

use crate::hal::cpu;
use crate::ke::{irql, stay, thread};
use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The bug check in which a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The code.
    pub code: u32,
    /// The first parameter.
    pub first: u64,
}

/// The thread that is on trial, 0 for none; and RSP where it goes on.
static THREAD: AtomicU64 = AtomicU64::new(0);
static STACK: AtomicU64 = AtomicU64::new(0);
static CODE: AtomicU32 = AtomicU32::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);

/// Calls `routine`, a win64 function without arguments, at `level`; the bug check that it ends in, if it does. What it held then
/// is lost. One trial at a time, at `PASSIVE_LEVEL`.
///
/// # Safety
/// Such a function lies at `routine`, and the caller is right to call it.
pub unsafe fn at(level: u8, routine: u64) -> Option<Verdict> {
    let thread = thread::current();
    let depth = thread.depth();
    let interrupts = cpu::interrupts_enabled();
    let before = irql::current();
    THREAD.store(thread.address(), Relaxed);
    cpu::write_cr8(level);
    // SAFETY: the caller promises the routine, and `STACK` is this trial's until `THREAD` is 0.
    let guilty = unsafe { attempt(routine, STACK.as_ptr()) } != 0;
    stay::lower(before);
    THREAD.store(0, Relaxed);
    cpu::restore_interrupts(interrupts);
    thread.set_depth(depth);
    guilty.then(|| Verdict {
        code: CODE.load(Relaxed),
        first: FIRST.load(Relaxed),
    })
}

/// The judge's part: ends the trial, if the running thread is on trial.
pub(super) fn end(code: u32, first: u64) {
    if THREAD.load(Relaxed) == thread::current().address() {
        CODE.store(code, Relaxed);
        FIRST.store(first, Relaxed);
        // SAFETY: `attempt` stored where it is, further up this very stack, and has not returned.
        unsafe { resume(STACK.load(Relaxed)) }
    }
}

/// Calls the routine and returns 0; or returns 1 where [`resume`] is called.
#[unsafe(naked)]
unsafe extern "C" fn attempt(routine: u64, stack: *mut u64) -> u64 {
    naked_asm!(
        "push rbp; push rbx; push r12; push r13; push r14; push r15",
        "mov [rsi], rsp",
        // The home area, and RSP a multiple of 16.
        "sub rsp, 40",
        "call rdi",
        "add rsp, 40",
        "xor eax, eax",
        "pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp",
        "ret",
    )
}

#[unsafe(naked)]
unsafe extern "C" fn resume(stack: u64) -> ! {
    naked_asm!(
        "mov rsp, rdi",
        "mov eax, 1",
        "pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp",
        "ret",
    )
}
