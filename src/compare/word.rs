//! A word that ours and the system's routines work on, and who waits for it.

use ex_rundown::{Parity, RundownRef, WayOut};

use crate::{
    kernel::{NativeRundown, Nt, PoolArc, Routines},
    reference::Wait,
};

/// A word that both work on.
pub(super) struct SharedWord(NativeRundown);

impl SharedWord {
    pub(super) fn new() -> Self {
        Self(NativeRundown::new())
    }

    /// The word as the system's.
    pub(super) const fn native(&self) -> &NativeRundown {
        &self.0
    }

    /// The word as ours.
    pub(super) fn ours(&self) -> &RundownRef<Nt, Parity> {
        // SAFETY: initialised, and borrowed for as long; only run-down routines change it. The one who compares keeps the rules of
        // `Parity`: one wait at a time, and a re-initialise after it.
        let ours = unsafe { RundownRef::from_ptr(self.0.as_ptr()) };
        // Neither null nor misaligned: it is a field.
        ours.unwrap_or_else(|_| unreachable!())
    }
}

/// The word, waited for by the system's routine.
pub(super) struct Native(pub(super) PoolArc<SharedWord>);
/// The word, waited for by ours.
pub(super) struct Ours(pub(super) PoolArc<SharedWord>);

impl Wait for Native {
    unsafe fn wait(&self) -> Option<WayOut> {
        // SAFETY: the caller's promise.
        unsafe { self.0.native().wait() };
        None
    }
}

impl Wait for Ours {
    unsafe fn wait(&self) -> Option<WayOut> {
        Some(self.0.ours().wait())
    }
}
