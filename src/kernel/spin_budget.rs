//! How long a wait spins before it sleeps: NT's `ExpSpinCycleCount`, ours to set.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::processors;

/// NT's value on a machine with more than one processor, in TSC cycles.
const MULTIPROCESSOR: u32 = 10_240;

/// The administrator's; zero for NT's.
static DEFAULT: AtomicU32 = AtomicU32::new(0);
/// The last run's; zero for the default.
static OF_RUN: AtomicU32 = AtomicU32::new(0);

/// The budget in force, in TSC cycles.
pub(crate) fn get() -> u32 {
    // Relaxed: plain settings; no other memory depends on them.
    match (OF_RUN.load(Relaxed), DEFAULT.load(Relaxed)) {
        (0, 0) if processors::active() > 1 => MULTIPROCESSOR,
        (0, default) => default,
        (cycles, _) => cycles,
    }
}

/// Sets the budget for a run; zero brings the default back.
pub(crate) fn set_for_run(cycles: u32) {
    // Relaxed: see `get`.
    OF_RUN.store(cycles, Relaxed);
}

/// Sets the default; zero brings NT's back.
pub(crate) fn set_default(cycles: u32) {
    // Relaxed: see `get`.
    DEFAULT.store(cycles, Relaxed);
}
