//! The instructions behind the spin loops and the prefetch.
//!
//! Platforms build on them; elsewhere than on x86-64 they fall back to what the language offers.

use crate::AtomicUsize;

/// Fetches the word's cache line for writing, ahead of the locked instruction (`prefetchw`).
///
/// # IRQL
/// Any.
///
/// ```
/// # use ex_rundown::{AtomicUsize, arch};
/// arch::prefetch_for_write(&AtomicUsize::new(0));
/// ```
#[inline]
pub fn prefetch_for_write(word: &AtomicUsize) {
    // `_mm_prefetch` with the ET0 hint becomes prefetcht0 on baseline x86-64, hence the instruction itself.
    // It is a hint, 3DNow!'s before it was AMD64's, and a no-op on processors without it.
    #[cfg(all(target_arch = "x86_64", not(ex_rundown_loom), not(miri)))]
    // SAFETY: a prefetch neither faults nor changes memory, registers or flags, whatever the address.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) word, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(ex_rundown_loom), not(miri))))]
    let _ = word;
}

/// Leaves a contended line to the processor that has won it, for a moment (`pause`). Nothing under loom, which would take it
/// for a wish to be scheduled last and leave interleavings out.
///
/// # IRQL
/// Any.
///
/// ```
/// ex_rundown::arch::pause();
/// ```
#[inline]
pub fn pause() {
    #[cfg(not(ex_rundown_loom))]
    core::hint::spin_loop();
}

/// The address of the code that this is inlined into, which debuggers turn into a function and a line; 0 where it cannot be told.
///
/// # IRQL
/// Any.
///
/// ```
/// # #[cfg(target_arch = "x86_64")]
/// assert_ne!(ex_rundown::arch::program_counter(), ex_rundown::arch::program_counter());
/// ```
#[expect(clippy::inline_always, reason = "what it says is where it is")]
#[inline(always)]
#[must_use]
pub fn program_counter() -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let address: usize;
        // SAFETY: it reads its own address, and no memory.
        unsafe {
            core::arch::asm!("lea {}, [rip]", out(reg) address, options(nomem, nostack, preserves_flags));
        };
        address
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let address: usize;
        // SAFETY: it reads its own address, and no memory.
        unsafe {
            core::arch::asm!("adr {}, .", out(reg) address, options(nomem, nostack, preserves_flags));
        };
        address
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    0
}

/// The time stamp counter (`rdtsc`).
///
/// # IRQL
/// Any.
///
/// ```
/// # #[cfg(target_arch = "x86_64")]
/// assert_ne!(ex_rundown::arch::timestamp(), 0);
/// ```
#[cfg(target_arch = "x86_64")]
#[inline]
#[must_use]
pub fn timestamp() -> u64 {
    // SAFETY: every x86-64 processor has rdtsc, and it changes no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Arms the monitor on the line at `address` (`MONITORX`, no extensions, no hints).
///
/// # IRQL
/// Any.
///
/// # Safety
/// The processor has `MONITORX` (CPUID `8000_0001h`, ECX bit 29), and `address` is readable.
///
/// ```
/// # #[cfg(target_arch = "x86_64")]
/// # {
/// use ex_rundown::{AtomicU32, arch};
/// # use std::sync::atomic::Ordering::Acquire;
///
/// fn doze_while_set(flag: &AtomicU32, has_monitorx: bool) {
///     while flag.load(Acquire) != 0 {
///         if has_monitorx {
///             // SAFETY: the processor has it, and the flag is readable.
///             unsafe { arch::monitorx(flag.as_ptr()) };
///             if flag.load(Acquire) == 0 {
///                 return;
///             }
///             // SAFETY: the processor has it.
///             unsafe { arch::mwaitx(1_000) };
///         }
///     }
/// }
/// doze_while_set(&AtomicU32::new(0), false);
/// # }
/// ```
#[cfg(target_arch = "x86_64")]
#[inline]
pub unsafe fn monitorx(address: *const u32) {
    // SAFETY: the caller promises that the instruction exists and that the address is readable. It only arms the
    // processor's monitor; without `nomem` the poll that follows is not moved before it.
    unsafe {
        core::arch::asm!("monitorx", in("rax") address, in("ecx") 0, in("edx") 0, options(nostack, preserves_flags));
    }
}

/// Waits for a write to the monitored line or for `cycles` of the time stamp counter (`MWAITX`, ECX = 2).
///
/// # IRQL
/// Any.
///
/// # Safety
/// The processor has `MWAITX` (CPUID `8000_0001h`, ECX bit 29).
///
/// ```
/// // See [`monitorx`]: the flag is read between the two.
/// # #[cfg(target_arch = "x86_64")]
/// let doze: unsafe fn(u32) = ex_rundown::arch::mwaitx;
/// ```
#[cfg(target_arch = "x86_64")]
#[inline]
pub unsafe fn mwaitx(cycles: u32) {
    // SAFETY: the caller promises that the instruction exists. EBX carries the time, and LLVM keeps rbx to
    // itself, so it is exchanged around the instruction and is as before afterwards.
    unsafe {
        core::arch::asm!(
            "xchg {cycles}, rbx",
            "mwaitx",
            "xchg {cycles}, rbx",
            cycles = inout(reg) u64::from(cycles) => _,
            in("eax") 0,
            in("ecx") 2,
            options(nostack, preserves_flags),
        );
    }
}

// Miri has no such instruction.
#[cfg(all(
    test,
    target_arch = "x86_64",
    not(any(ex_rundown_loom, ex_rundown_shuttle, miri))
))]
mod tests {
    use super::*;

    #[test]
    fn the_counter_counts() {
        let first = timestamp();
        let mut later = timestamp();
        // It may stand still for two readings, and under a hypervisor for some more.
        for _ in 0..1_000_000 {
            if later > first {
                break;
            }
            later = timestamp();
        }
        assert!(first > 1 && later > first, "{first}, then {later}");
    }
}
