//! The object behind the reference: a word that is only right while the object lives.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const POISON: u64 = 0xdead_dead_dead_dead;
const LIVING: u64 = 0x4c49_5645_0000_0000;
const GENERATION: u64 = 0xffff_ffff;

/// The canary. All accesses are relaxed: nothing but the run-down reference orders them, so a missing barrier
/// there shows here.
#[derive(Debug)]
pub(crate) struct Canary(AtomicU64);

impl Canary {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(LIVING))
    }

    /// What a holder sees: the generation that lives, or `None` for a dead object.
    pub(crate) fn generation(&self) -> Option<u64> {
        let value = self.0.load(Relaxed);
        (value & !GENERATION == LIVING).then_some(value & GENERATION)
    }

    pub(crate) fn poison(&self) {
        self.0.store(POISON, Relaxed);
    }

    pub(crate) fn revive(&self, generation: u64) {
        self.0.store(LIVING | (generation & GENERATION), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Canary;

    #[test]
    fn poison_is_no_generation() {
        let canary = Canary::new();
        assert_eq!(canary.generation(), Some(0));
        canary.poison();
        assert_eq!(canary.generation(), None);
        canary.revive(0x1_0000_0007);
        assert_eq!(canary.generation(), Some(7));
    }
}
