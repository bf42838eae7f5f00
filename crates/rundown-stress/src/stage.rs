//! How far the turn is that the threads are in.

use core::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// What the conductor tells the threads of a turn, on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub struct Stage {
    over: AtomicBool,
    measured: AtomicBool,
    turn: AtomicU32,
    /// Holders that may still acquire in this turn.
    acquiring: AtomicU32,
}

impl Stage {
    pub(crate) const fn new() -> Self {
        Self {
            over: AtomicBool::new(true),
            measured: AtomicBool::new(false),
            turn: AtomicU32::new(0),
            acquiring: AtomicU32::new(0),
        }
    }

    /// Sets up turn `turn`. The gate that the threads pass afterwards publishes it.
    pub(crate) fn begin(&self, turn: u32, holders: u32) {
        self.turn.store(turn, Relaxed);
        self.acquiring.store(holders, Relaxed);
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

    /// A holder will not acquire any more in this turn.
    pub(crate) fn stop_acquiring(&self) {
        // AcqRel pairs with the load in `is_anyone_acquiring`: what this holder left to its neighbour is visible by then.
        self.acquiring.fetch_sub(1, AcqRel);
    }

    pub(crate) fn is_anyone_acquiring(&self) -> bool {
        // Pairs with `stop_acquiring`.
        self.acquiring.load(Acquire) > 0
    }
}
