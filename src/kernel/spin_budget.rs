//! How long a wait spins before it sleeps: NT's `ExpSpinCycleCount`, ours to set.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::processors;

/// NT's value on a machine with more than one processor, in TSC cycles.
const MULTIPROCESSOR: u32 = 10_240;

/// Zero while the default is in force.
static CYCLES: AtomicU32 = AtomicU32::new(0);

/// The budget in force, in TSC cycles.
pub(crate) fn get() -> u32 {
    // Relaxed: a plain setting; no other memory depends on it.
    match CYCLES.load(Relaxed) {
        0 if processors::active() > 1 => MULTIPROCESSOR,
        cycles => cycles,
    }
}

/// Sets the budget; zero brings NT's back.
pub(crate) fn set(cycles: u32) {
    // Relaxed: see `get`.
    CYCLES.store(cycles, Relaxed);
}
