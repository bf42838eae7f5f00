//! How far the turn is that the threads are in.

use core::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::Thread;

/// What the conductor tells the threads of a turn, on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub struct Stage {
    over: AtomicBool,
    measured: AtomicBool,
    turn: AtomicU32,
}

impl Stage {
    pub(crate) const fn new() -> Self {
        Self {
            over: AtomicBool::new(true),
            measured: AtomicBool::new(false),
            turn: AtomicU32::new(0),
        }
    }

    /// Sets up turn `turn`. The gate that the threads pass afterwards publishes it.
    pub(crate) fn begin(&self, turn: u32) {
        self.turn.store(turn, Relaxed);
        self.measured.store(false, Relaxed);
        self.over.store(false, Relaxed);
    }

    /// The warm-up is over.
    pub(crate) fn measure(&self) {
        // Relaxed: nothing travels with it.
        self.measured.store(true, Relaxed);
    }

    /// The turn is over.
    pub(crate) fn end(&self) {
        // Relaxed: nothing travels with it.
        self.measured.store(false, Relaxed);
        // Pairs with the load in `is_over`.
        self.over.store(true, Release);
    }

    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        // Pairs with the store in `end`.
        self.over.load(Acquire)
    }

    #[inline]
    pub(crate) fn is_measured(&self) -> bool {
        // Relaxed: see `measure`.
        self.measured.load(Relaxed)
    }

    pub(crate) fn turn(&self) -> u32 {
        // Relaxed: the gate published it.
        self.turn.load(Relaxed)
    }

    /// Spins for `cycles`, or until the turn is over.
    ///
    /// # IRQL
    /// Any.
    pub(crate) fn spin<T: Thread>(&self, cycles: u64) {
        let start = T::cycles();
        while T::cycles().wrapping_sub(start) < cycles && !self.is_over() {
            T::pause();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;
    use crate::script::{Clock, now};

    #[test]
    fn a_spin_ends_with_its_cycles_or_with_the_turn() {
        let stage = Stage::new();
        let looks = |cycles| {
            let begin = now();
            stage.spin::<Clock>(cycles);
            now() - begin
        };
        stage.begin(3);
        assert_eq!(stage.turn(), 3);
        assert_eq!((looks(0), looks(1), looks(2), looks(100)), (2, 2, 3, 101));
        stage.end();
        assert_eq!(looks(100), 2);
    }
}
