//! Where a burst of single steps through the driver begins behind an export; [`crate::step`] carries it out.

use crate::config;
use crate::ke::thread::Thread;
use crate::rng;
use core::sync::atomic::Ordering::Relaxed;

/// One return from an export in so many begins a short burst.
const BURST_RETURNS: u64 = 12;
const LONGEST_SHORT_BURST: u64 = 200;

/// The export shim's part in chaos mode: whether the driver is stepped through behind this return.
pub fn provoke_return(thread: &Thread) -> bool {
    if !config::get().mode.provokes() {
        return false;
    }
    if thread.burst.load(Relaxed) == 0 && rng::one_in(BURST_RETURNS) {
        thread
            .burst
            .store(1 + rng::below(LONGEST_SHORT_BURST) as u32, Relaxed);
    }
    thread.burst.load(Relaxed) != 0
}
