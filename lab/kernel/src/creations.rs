//! Creations: whatever the driver asks for that can fail for want of resources, a pool allocation, a thread, an object of the
//! framework's. They are counted, and one of them can be made to fail.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

static COUNT: AtomicU64 = AtomicU64::new(0);
/// Which one fails, counted from 1; 0 for none. A creation that reads it too early fails at another point, which is as good.
static FAILS: AtomicU64 = AtomicU64::new(0);

/// Counts a creation by the driver; whether it has to fail.
pub fn fails() -> bool {
    COUNT.fetch_add(1, Relaxed) + 1 == FAILS.load(Relaxed)
}

/// From now on none fails.
pub fn disarm() {
    FAILS.store(0, Relaxed);
}

/// Chooses the creation that fails, counted from 1 from now on, or 0 for none; how many there were since this was done last.
pub fn arm(nth: u64) -> u64 {
    let seen = COUNT.swap(0, Relaxed);
    FAILS.store(nth, Relaxed);
    seen
}
