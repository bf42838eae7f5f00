//! Copies of the three algorithms, small enough to break in one place each.
//!
//! A copy that is faithful must hold in the scenes, like the crate's own; each mutant breaks one invariant and must
//! fail at the bound that is used for the original. What differs from the originals is only that blocks live beside
//! the word, so that a mutant that touches a dead one is caught by loom's cell and not by the process' own death.

mod block;
pub(crate) mod cache_aware;
pub(crate) mod plain;
pub(crate) mod undo;
pub(crate) mod wide;

use std::sync::atomic::Ordering;

pub(crate) trait Mutation: 'static {
    const CHANGE: Change;

    fn is(change: Change) -> bool {
        Self::CHANGE == change
    }
}

/// An ordering, or Relaxed in the mutant that weakens it.
pub(crate) fn unless<M: Mutation>(relaxed: Change, ordering: Ordering) -> Ordering {
    if M::is(relaxed) {
        Ordering::Relaxed
    } else {
        ordering
    }
}

/// `AcqRel`, or one half of it in the mutants that lack the other.
pub(crate) fn acq_rel<M: Mutation>(without_acquire: Change, without_release: Change) -> Ordering {
    if M::is(without_acquire) {
        Ordering::Release
    } else if M::is(without_release) {
        Ordering::Acquire
    } else {
        Ordering::AcqRel
    }
}

macro_rules! mutations {
    ($($name:ident),* $(,)?) => {
        /// What a mutant does otherwise than the original.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Change {
            $($name),*
        }

        $(
            pub(crate) struct $name;
            impl Mutation for $name {
                const CHANGE: Change = Change::$name;
            }
        )*
    };
}

mutations! {
    Nothing,
    // No lost wake.
    EventSkipped,
    SplitTestAndClear,
    CountAfterPublishing,
    CountStoredNotAdded,
    SpinFlagSet,
    WaiterAfterState,
    // No touch after the hand-over.
    TouchAfterHandOver,
    EventInAnyCase,
    WordsAfterCount,
    // No grant after publishing.
    GrantWhenActive,
    // No release lost while the slots are re-initialised one by one.
    OwnSlotOnly,
    StaleAtReinitialize,
    TestThenAdd,
    // Happens-before from every release to the waiter's return, and from re-initialise to every grant.
    ReleaseWithoutAcquire,
    ReleaseWithoutRelease,
    PublishWithoutAcquire,
    PublishWithoutRelease,
    CountWithoutAcquire,
    CountWithoutRelease,
    FlagWithoutAcquire,
    FlagWithoutRelease,
    RelaxedReinitialize,
    RelaxedAcquire,
}
