//! What a run counts.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use ex_rundown::WayOut;

/// A counter that one thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one. Not a locked instruction: there is one writer.
    pub(crate) fn count(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One holder's counters, on a cache line of their own.
#[derive(Debug)]
#[repr(align(64))]
pub struct Holder {
    /// True while the holder is between a granted acquire and its release.
    pub(crate) inside: AtomicBool,
    pub(crate) acquires: Counter,
    pub(crate) refused: Counter,
    pub(crate) poisoned: Counter,
}

impl Default for Holder {
    fn default() -> Self {
        Self::new()
    }
}

impl Holder {
    /// All zero, and outside.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            inside: AtomicBool::new(false),
            acquires: Counter::new(),
            refused: Counter::new(),
            poisoned: Counter::new(),
        }
    }
}

/// The owner's counters.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Owner {
    pub(crate) generations: Counter,
    pub(crate) contested: Counter,
    pub(crate) inside: Counter,
    drained: Counter,
    mwaitx: Counter,
    pause: Counter,
    dispatch: Counter,
    event: Counter,
    late: Counter,
}

impl Owner {
    pub(crate) const fn new() -> Self {
        Self {
            generations: Counter::new(),
            contested: Counter::new(),
            inside: Counter::new(),
            drained: Counter::new(),
            mwaitx: Counter::new(),
            pause: Counter::new(),
            dispatch: Counter::new(),
            event: Counter::new(),
            late: Counter::new(),
        }
    }

    pub(crate) fn way_out(&self, way_out: WayOut) {
        match way_out {
            WayOut::Drained => &self.drained,
            WayOut::Monitorx => &self.mwaitx,
            WayOut::Pause => &self.pause,
            WayOut::Dispatch => &self.dispatch,
            WayOut::Event => &self.event,
            WayOut::Late => &self.late,
        }
        .count();
    }

    pub(crate) fn waits(&self) -> Waits {
        Waits {
            drained: self.drained.get(),
            mwaitx: self.mwaitx.get(),
            pause: self.pause.get(),
            dispatch: self.dispatch.get(),
            event: self.event.get(),
            late: self.late.get(),
        }
    }
}

/// Waits by [way out](WayOut).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are WayOut's")]
pub struct Waits {
    pub drained: u64,
    pub mwaitx: u64,
    pub pause: u64,
    pub dispatch: u64,
    pub event: u64,
    pub late: u64,
}

/// The counters of a run, so far or final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acquires that were granted.
    pub acquires: u64,
    /// Acquires that were refused.
    pub refused: u64,
    /// Times that the object was run down, waited for, completed and re-initialised.
    pub generations: u64,
    /// Generations in which a holder was inside when the wait began.
    pub contested: u64,
    /// Waits by way out; all zero when the reference does not tell.
    pub waits: Waits,
    /// Violation: holds that saw anything but one living object from beginning to end.
    pub poisoned: u64,
    /// Violation: waits that returned with a holder inside.
    pub inside: u64,
}
