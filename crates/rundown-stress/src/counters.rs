//! What a run counts.

use core::{
    ops::Add,
    sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

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

/// What the place of a holder is.
mod place {
    /// The holder takes nothing: its turn has not begun, or is over.
    pub(super) const CLOSED: u8 = 0;
    /// There is room for a reference.
    pub(super) const EMPTY: u8 = 1;
    /// A reference lies there.
    pub(super) const PARKED: u8 = 2;
    /// The holder has the reference that lay there, and is about to release it.
    pub(super) const TAKEN: u8 = 3;
}

/// One holder's state and counters, on a cache line of their own.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Holder {
    /// True while the holder is between a granted acquire and its release.
    inside: AtomicBool,
    /// The place for a reference that the neighbour acquired, for this holder to release: one of [`place`].
    place: AtomicU8,
    /// When it was about to release last, in cycles.
    left: AtomicU64,
    pub(crate) acquires: Counter,
    pub(crate) refused: Counter,
    pub(crate) poisoned: Counter,
}

impl Holder {
    /// All zero, and outside.
    pub(crate) const fn new() -> Self {
        Self {
            inside: AtomicBool::new(false),
            place: AtomicU8::new(place::CLOSED),
            left: AtomicU64::new(0),
            acquires: Counter::new(),
            refused: Counter::new(),
            poisoned: Counter::new(),
        }
    }

    /// A reference was granted, or found here.
    pub(crate) fn enter(&self) {
        // Relaxed: like the canary's accesses, these are ordered by the reference or not at all.
        self.inside.store(true, Relaxed);
    }

    /// The reference is about to be released or parked.
    pub(crate) fn leave(&self, cycles: u64) {
        self.left.store(cycles, Relaxed);
        // Relaxed: see `enter`.
        self.inside.store(false, Relaxed);
    }

    /// When a holder was about to release last, in cycles.
    pub(crate) fn left(&self) -> u64 {
        // Relaxed: the reference orders it.
        self.left.load(Relaxed)
    }

    /// Whether the holder is inside, or a reference lies in its place.
    pub(crate) fn is_inside(&self) -> bool {
        // Relaxed: see `enter`.
        self.inside.load(Relaxed) || matches!(self.place.load(Relaxed), place::PARKED | place::TAKEN)
    }

    fn change_place(&self, from: u8, to: u8) -> bool {
        // AcqRel, each with the change before it: who takes a reference has what its acquirer saw, and who parks one has
        // what was done with the one before.
        self.place.compare_exchange(from, to, AcqRel, Relaxed).is_ok()
    }

    /// The holder takes references from now on.
    pub(crate) fn open(&self) {
        self.change_place(place::CLOSED, place::EMPTY);
    }

    /// The holder takes no references any more; `false` when one lies here.
    pub(crate) fn close(&self) -> bool {
        self.change_place(place::EMPTY, place::CLOSED)
    }

    /// The neighbour parks a reference here; `false` when there is no room.
    pub(crate) fn park(&self) -> bool {
        self.change_place(place::EMPTY, place::PARKED)
    }

    /// Whether a reference lies here that nobody has taken yet.
    pub(crate) fn has_parked(&self) -> bool {
        // Relaxed: who takes it away finds out by an exchange.
        self.place.load(Relaxed) == place::PARKED
    }

    /// The neighbour takes back what it has parked; `false` when the holder was faster.
    pub(crate) fn take_back(&self) -> bool {
        self.change_place(place::PARKED, place::EMPTY)
    }

    /// The holder takes the reference that lies here; `false` when there is none.
    pub(crate) fn take(&self) -> bool {
        self.has_parked() && self.change_place(place::PARKED, place::TAKEN)
    }

    /// The holder is about to release what it has [taken](Self::take).
    pub(crate) fn clear(&self, cycles: u64) {
        self.left.store(cycles, Relaxed);
        // Pairs with the next `park`.
        self.place.store(place::EMPTY, Release);
    }

    /// Counts an attempt.
    pub(crate) fn count(&self, granted: bool) {
        if granted {
            self.acquires.count();
        } else {
            self.refused.count();
        }
    }
}

/// The owner's counters.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Owner {
    /// Since when it has been waiting, in cycles; zero while it is not.
    waiting: AtomicU64,
    /// Whether it is re-initialising the reference.
    renewing: AtomicBool,
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
            waiting: AtomicU64::new(0),
            renewing: AtomicBool::new(false),
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

    /// Notes that it waits since `cycles`; 0 when the wait is over.
    pub(crate) fn wait_since(&self, cycles: u64) {
        // Relaxed: for the watch, which looks again.
        self.waiting.store(cycles, Relaxed);
    }

    pub(crate) fn waiting_since(&self) -> u64 {
        // Relaxed: see `wait_since`.
        self.waiting.load(Relaxed)
    }

    /// Makes the reference live again by `reinitialize`.
    pub(crate) fn renew(&self, reinitialize: impl FnOnce()) {
        // Relaxed: whoever is granted a reference meanwhile has what came before that part of the re-initialisation.
        self.renewing.store(true, Relaxed);
        reinitialize();
        // Pairs with the load in `is_renewing`.
        self.renewing.store(false, Release);
    }

    /// Whether the reference is being re-initialised. Whoever has a reference and is told `false` has what the whole
    /// re-initialisation wrote: with the reference out there is no other.
    pub(crate) fn is_renewing(&self) -> bool {
        // Pairs with the last store in `renew`.
        self.renewing.load(Acquire)
    }

    pub(crate) fn way_out(&self, way_out: WayOut) {
        match way_out {
            WayOut::Drained => &self.drained,
            WayOut::Monitorx => &self.mwaitx,
            WayOut::Pause => &self.pause,
            WayOut::Dispatch => &self.dispatch,
            WayOut::Event => &self.event,
            WayOut::Late => &self.late,
            // One that this engine does not know yet. The sum then falls short of the waits, which the verdict compares.
            _ => return,
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

/// The counters of an arm, so far or final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acquires that were granted, however many references each was for.
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

impl Tally {
    /// Acquires, granted or refused.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.acquires.wrapping_add(self.refused)
    }
}

impl Add for Waits {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            drained: self.drained + other.drained,
            mwaitx: self.mwaitx + other.mwaitx,
            pause: self.pause + other.pause,
            dispatch: self.dispatch + other.dispatch,
            event: self.event + other.event,
            late: self.late + other.late,
        }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            acquires: self.acquires + other.acquires,
            refused: self.refused + other.refused,
            generations: self.generations + other.generations,
            contested: self.contested + other.contested,
            waits: self.waits + other.waits,
            poisoned: self.poisoned + other.poisoned,
            inside: self.inside + other.inside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_begins_with_nothing() {
        let holder = Holder::new();
        assert_eq!((holder.is_inside(), holder.left()), (false, 0));
        assert!(
            !holder.park() && !holder.take() && !holder.close(),
            "its place is closed"
        );
        let owner = Owner::new();
        assert_eq!((owner.waiting_since(), owner.is_renewing()), (0, false));
        assert_eq!(owner.waits(), Waits::default());
    }

    #[test]
    fn what_lies_in_a_place_is_taken_once() {
        let holder = Holder::new();
        holder.open();
        assert!(holder.park() && holder.take());
        assert!(!holder.take() && !holder.take_back() && !holder.has_parked());
        assert!(holder.is_inside(), "until it is released");
        holder.clear(7);
        assert_eq!((holder.is_inside(), holder.left()), (false, 7));
        assert!(holder.close());
    }
}
