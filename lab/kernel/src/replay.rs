//! The digest of a run: what happened, when, and in which order, as one number. Two runs of mode `replay` with one seed and one script
//! have the same; [`note`] is called where runs would differ first.

use crate::config::{self, Mode};
use crate::hal::cpu;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Events noted.
pub static EVENTS: AtomicU64 = AtomicU64::new(0);
/// FNV-1a over them. One virtual processor runs at a time in this mode, and a handler in between is an event like any other.
pub static DIGEST: AtomicU64 = AtomicU64::new(0xCBF2_9CE4_8422_2325);
const PRIME: u64 = 0x0100_0000_01B3;

/// Notes an event: what, and the time-stamp counter.
pub fn note(what: u64) {
    if config::get().mode != Mode::Replay {
        return;
    }
    EVENTS.fetch_add(1, Relaxed);
    for value in [what, cpu::rdtsc()] {
        let digest = (DIGEST.load(Relaxed) ^ value).wrapping_mul(PRIME);
        DIGEST.store(digest ^ digest >> 29, Relaxed);
    }
}
