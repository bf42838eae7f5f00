//! The number of the processor that a thread runs on, or claims to.

use std::cell::Cell;

/// No processor is claimed. Not an `Option`: this is read at each cache-aware operation, and so it is one comparison.
const NONE: u32 = u32::MAX;

thread_local! {
    static CLAIMED: Cell<u32> = const { Cell::new(NONE) };
}

/// Claims a processor, or none.
pub(crate) fn claim(processor: Option<u32>) {
    CLAIMED.set(processor.unwrap_or(NONE));
}

/// The claimed number, else the real one.
#[inline]
pub(crate) fn current() -> u32 {
    match CLAIMED.get() {
        NONE => number(),
        claimed => claimed,
    }
}

/// The number, as the kernel keeps it up to date in the thread's restartable-sequences area (`struct rseq`), which
/// glibc registers from 2.35 on. One load, like NT's from the processor's control block.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri)))]
#[inline]
fn number() -> u32 {
    unsafe extern "C" {
        /// From the thread pointer to the area.
        #[link_name = "__rseq_offset"]
        static RSEQ_OFFSET: isize;
    }
    /// `cpu_id_start` in `struct rseq`: the number, or 0 when the area is not registered.
    const CPU_ID_START: isize = 0;

    // SAFETY: glibc's constant, initialised before main.
    let offset = unsafe { RSEQ_OFFSET };
    let number: u32;
    // SAFETY: glibc keeps the area at this offset in every thread's control block, registered or not.
    unsafe {
        core::arch::asm!(
            "mov {number:e}, dword ptr fs:[{address}]",
            number = out(reg) number,
            address = in(reg) offset + CPU_ID_START,
            options(nostack, preserves_flags, readonly),
        );
    };
    number
}

/// A number per thread: enough to spread threads over the slots.
#[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri))))]
#[inline]
fn number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static NUMBER: u32 = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}
