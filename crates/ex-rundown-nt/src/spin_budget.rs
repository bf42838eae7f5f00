//! How long a wait spins before it sleeps: NT's `ExpSpinCycleCount`, the driver's to set.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::processors;

/// NT's value on a machine with more than one processor, in TSC cycles.
const MULTIPROCESSOR: u32 = 10_240;

/// The driver's; zero for NT's.
static CYCLES: AtomicU32 = AtomicU32::new(0);

/// The budget in force, in cycles of the time stamp counter.
///
/// # IRQL
/// Any.
#[must_use]
pub fn get() -> u32 {
    // Relaxed: a plain setting; no other memory depends on it.
    match CYCLES.load(Relaxed) {
        0 if processors::active() > 1 => MULTIPROCESSOR,
        cycles => cycles,
    }
}

/// Sets the budget of the whole driver, for waits that begin from now on; zero brings NT's back, which is 10240 with more than
/// one processor, and otherwise not to spin.
///
/// # IRQL
/// Any.
pub fn set(cycles: u32) {
    // Relaxed: see `get`.
    CYCLES.store(cycles, Relaxed);
}
