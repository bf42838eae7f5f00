//! The figures of turns that are over.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::Memory;

/// One turn of one arm, without its warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Acquires of all holders, granted or refused.
    pub operations: u64,
    /// Times that the object was run down.
    pub generations: u64,
    /// How long it lasted, in nanoseconds.
    pub nanoseconds: u64,
    /// How long it lasted, in cycles.
    pub cycles: u64,
}

/// A turn as the conductor writes it.
#[derive(Debug)]
pub(crate) struct Record([AtomicU64; 4]);

impl Record {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 4])
    }
}

/// The turns of a run, in their order. One thread adds, others read.
pub(crate) struct Turns<M: Memory> {
    records: M::Slice<Record>,
    done: AtomicU32,
}

impl<M: Memory> Turns<M> {
    pub(crate) fn new(count: u32) -> Option<Self> {
        Some(Self {
            records: M::slice(count as usize, |_| Some(Record::new()))?,
            done: AtomicU32::new(0),
        })
    }

    /// Adds the next one. There is room for as many as were asked for.
    pub(crate) fn add(&self, turn: Turn) {
        let done = self.done.load(Relaxed);
        if let Some(record) = self.records.get(done as usize) {
            let fields = [turn.operations, turn.generations, turn.nanoseconds, turn.cycles];
            for (cell, field) in record.0.iter().zip(fields) {
                // Relaxed: published below.
                cell.store(field, Relaxed);
            }
            // Pairs with the load in `done`.
            self.done.store(done + 1, Release);
        }
    }

    /// How many are over.
    pub(crate) fn done(&self) -> u32 {
        // Pairs with the store in `add`.
        self.done.load(Acquire)
    }

    /// The figures of a turn that is over; `None` for the others.
    pub(crate) fn get(&self, turn: u32) -> Option<Turn> {
        if turn >= self.done() {
            return None;
        }
        // Relaxed: published by `done`, and not written again.
        let [operations, generations, nanoseconds, cycles] = self.records[turn as usize]
            .0
            .each_ref()
            .map(|cell| cell.load(Relaxed));
        Some(Turn {
            operations,
            generations,
            nanoseconds,
            cycles,
        })
    }
}
