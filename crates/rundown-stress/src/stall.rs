//! Waits that last too long. They are reported and left alone: what would end one would hide its cause.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A wait that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Since when, in cycles.
    pub since: u64,
    /// The generation that it waits for.
    pub generation: u64,
    /// The holders inside, a bit each.
    pub holders: u64,
    /// The reference's address.
    pub object: usize,
    /// Its word; `None` when it is not one word of NT's layout.
    pub word: Option<usize>,
}

/// The longest of the waits that stalled; of those that a holder was seen to hold up, if there was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// How many waits stalled.
    pub waits: u64,
    /// The arm of the longest, as a number below that of the arms.
    pub arm: usize,
    /// How long it lasted, so far, in cycles.
    pub cycles: u64,
    /// The generation that it waited for.
    pub generation: u64,
    /// The holders that were inside when it was looked at last, a bit each.
    pub holders: u64,
    /// The word then; `None` when it is not one word of NT's layout.
    pub word: Option<usize>,
}

/// In place of a word that there is not. No word is like this: a wait block is aligned.
const NO_WORD: usize = usize::MAX;

/// What the watch has seen. The conductor writes, others read; a reading that falls between two stores is a mixture, which
/// the next one is not.
#[derive(Debug)]
pub(crate) struct Stalls {
    waits: AtomicU64,
    arm: AtomicU64,
    cycles: AtomicU64,
    generation: AtomicU64,
    holders: AtomicU64,
    word: AtomicUsize,
    /// The wait that was seen last: when it began.
    seen: AtomicU64,
}

impl Stalls {
    pub(crate) const fn new() -> Self {
        Self {
            waits: AtomicU64::new(0),
            arm: AtomicU64::new(0),
            cycles: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            holders: AtomicU64::new(0),
            word: AtomicUsize::new(NO_WORD),
            seen: AtomicU64::new(0),
        }
    }

    /// Notes that a wait of `arm` has lasted for `cycles`; whether it is one that was not noted before.
    pub(crate) fn note(&self, arm: usize, waiting: &Waiting, cycles: u64) -> bool {
        // Relaxed, all of them: see the type.
        let first = self.seen.swap(waiting.since, Relaxed) != waiting.since;
        if first {
            self.waits.fetch_add(1, Relaxed);
        }
        // A wait without holders is over, and its thread has only no processor yet: that is the machine's business.
        let rank = |holders: u64, cycles: u64| (holders != 0, cycles);
        if rank(waiting.holders, cycles) > rank(self.holders.load(Relaxed), self.cycles.load(Relaxed)) {
            self.cycles.store(cycles, Relaxed);
            self.arm.store(arm as u64, Relaxed);
            self.generation.store(waiting.generation, Relaxed);
            self.holders.store(waiting.holders, Relaxed);
            self.word.store(waiting.word.unwrap_or(NO_WORD), Relaxed);
        }
        first
    }

    /// The longest.
    pub(crate) fn longest(&self) -> Stall {
        // Relaxed: see the type.
        let read = |cell: &AtomicU64| cell.load(Relaxed);
        Stall {
            waits: read(&self.waits),
            arm: usize::try_from(read(&self.arm)).unwrap_or(usize::MAX),
            cycles: read(&self.cycles),
            generation: read(&self.generation),
            holders: read(&self.holders),
            word: Some(self.word.load(Relaxed)).filter(|&word| word != NO_WORD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Stalls, Waiting};

    #[test]
    fn the_longest_is_one_that_was_held_up() {
        let stalls = Stalls::new();
        let wait = |since, holders| Waiting {
            since,
            generation: since,
            holders,
            object: 8,
            word: None,
        };
        for (since, holders, cycles, first, longest) in [
            (1, 0, 50, true, 1),
            (2, 1, 10, true, 2),
            (2, 1, 20, false, 2),
            (3, 0, 90, true, 2),
            (4, 4, 15, true, 2),
            (5, 2, 21, true, 5),
        ] {
            assert_eq!(stalls.note(0, &wait(since, holders), cycles), first, "{since}");
            assert_eq!(stalls.longest().generation, longest, "after {since}");
        }
        assert_eq!((stalls.longest().waits, stalls.longest().holders), (5, 2));
    }
}
