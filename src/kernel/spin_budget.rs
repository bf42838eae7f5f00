//! How long a wait spins before it sleeps: the administrator's word, and a run's.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub(crate) use ex_rundown_nt::spin_budget::get;
use ex_rundown_nt::spin_budget::set;

/// The administrator's; zero for NT's.
static DEFAULT: AtomicU32 = AtomicU32::new(0);

/// Sets the budget for a run; zero brings the default back.
pub(crate) fn set_for_run(cycles: u32) {
    set(match cycles {
        // Relaxed: a plain setting, made when the driver was loaded.
        0 => DEFAULT.load(Relaxed),
        cycles => cycles,
    });
}

/// Sets the default; zero brings NT's back.
pub(crate) fn set_default(cycles: u32) {
    // Relaxed: see above.
    DEFAULT.store(cycles, Relaxed);
    set(cycles);
}
