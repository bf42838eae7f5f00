//! The driver's spin locks that a thread holds.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many locks are followed at once; deeper ones are not.
const DEEPEST: usize = 8;

/// The addresses of the locks that a thread holds, in the order taken, 0 for none. Only the thread itself, or a DPC above it,
/// reads or writes.
#[derive(Default)]
pub struct Held([AtomicU64; DEEPEST]);

impl Held {
    /// The locks.
    pub fn locks(&self) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .map(|slot| slot.load(Relaxed))
            .filter(|&lock| lock != 0)
    }

    /// Adds one, if there is room.
    pub fn push(&self, lock: u64) {
        self.replace(0, lock);
    }

    /// Takes one out.
    pub fn remove(&self, lock: u64) {
        self.replace(lock, 0);
    }

    fn replace(&self, old: u64, new: u64) {
        if let Some(slot) = self.0.iter().find(|slot| slot.load(Relaxed) == old) {
            slot.store(new, Relaxed);
        }
    }
}
