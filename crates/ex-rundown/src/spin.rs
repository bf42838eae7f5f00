//! How a waiter spins before it sleeps, and how waits end.

use core::sync::atomic::Ordering::Acquire;

use crate::{AtomicU32, Platform};

/// How a wait ended.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{RundownRef, WayOut};
/// # type Nt = rundown_std::Std;
/// assert_eq!(RundownRef::<Nt>::new().wait(), WayOut::Drained);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WayOut {
    /// No reference was outstanding, or the object had been run down before.
    Drained,
    /// The last releaser handed over while the waiter spun with `MONITORX` and `MWAITX`.
    Monitorx,
    /// The last releaser handed over while the waiter spun with `PAUSE`.
    Pause,
    /// The last releaser handed over while the waiter polled at `DISPATCH_LEVEL`.
    Dispatch,
    /// The waiter slept, and the last releaser set the event.
    Event,
    /// The last releaser handed over after the spin had ended and before the waiter slept.
    Late,
    /// The protection does not tell: the system's own routines return nothing.
    Untold,
}

/// Bit 0 of a wait block's `SpinFlag`: the releaser may still hand over without the event.
pub(crate) const SPINNING: u32 = 1;

#[inline]
fn handed_over(flag: &AtomicU32) -> bool {
    // Pairs with the last releaser's test-and-clear: what all holders did happens before this returns true.
    flag.load(Acquire) & SPINNING == 0
}

/// Polls with no deadline: at `DISPATCH_LEVEL` there is nothing else to do.
pub(crate) fn poll<P: Platform>(flag: &AtomicU32) -> WayOut {
    while !handed_over(flag) {
        P::yield_processor();
    }
    WayOut::Dispatch
}

/// Spins for the platform's budget. `None` when it is used up, or when spinning is pointless.
pub(crate) fn spin<P: Platform>(flag: &AtomicU32) -> Option<WayOut> {
    if P::unparked_processors() <= 1 {
        None
    } else if P::has_monitorx() {
        spin_by_monitor::<P>(flag)
    } else {
        spin_by_pause::<P>(flag)
    }
}

fn spin_by_monitor<P: Platform>(flag: &AtomicU32) -> Option<WayOut> {
    let mut now = P::timestamp();
    let deadline = now.wrapping_add(u64::from(P::spin_cycles()));
    loop {
        // The monitor is armed before the flag is read: a hand-over in between still ends the wait below.
        arm::<P>(flag);
        if handed_over(flag) {
            return Some(WayOut::Monitorx);
        }
        let previous = core::mem::replace(&mut now, P::timestamp());
        // A counter that went backwards (the thread moved to another processor) would spin for too long.
        if now < previous || now >= deadline {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is left is at most the budget, a u32"
        )]
        doze::<P>((deadline - now) as u32);
    }
}

#[allow(unsafe_code, reason = "the seam's instruction that only some processors have")]
fn arm<P: Platform>(flag: &AtomicU32) {
    // SAFETY: `spin` comes here only when the platform has the instruction.
    unsafe { P::monitor(flag) }
}

#[allow(unsafe_code, reason = "the seam's instruction that only some processors have")]
fn doze<P: Platform>(cycles: u32) {
    // SAFETY: `spin` comes here only when the platform has the instruction.
    unsafe { P::monitor_wait(cycles) }
}

fn spin_by_pause<P: Platform>(flag: &AtomicU32) -> Option<WayOut> {
    let laps = P::spin_cycles() / u32::from(P::cycles_per_yield().max(1));
    for _ in 0..laps {
        if handed_over(flag) {
            return Some(WayOut::Pause);
        }
        P::yield_processor();
    }
    // NT looks once more when the laps are used up.
    handed_over(flag).then_some(WayOut::Pause)
}
