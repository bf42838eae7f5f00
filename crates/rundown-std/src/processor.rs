//! The number of the processor that a thread runs on.

/// The number, as the kernel keeps it up to date in the thread's restartable-sequences area (`struct rseq`), which
/// glibc registers from 2.35 on. One load, like NT's from the processor's control block.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri)))]
#[inline]
pub(crate) fn number() -> u32 {
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

/// A number per thread: as good, for what it is used for.
#[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri))))]
#[inline]
pub(crate) fn number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static NUMBER: u32 = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}
