//! Both sides, over one word.

use std::{
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use ex_rundown::{Check, RundownRef, State, WayOut};

use crate::Host;

/// An `EX_RUNDOWN_REF` that both sides work on, on a cache line of its own.
///
/// # Invariants
/// Whoever can reach it keeps the [rules](ex_rundown::Parity#rules) of `Parity`, which are NT's.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Word(AtomicUsize);

impl Word {
    /// A live one.
    ///
    /// # Safety
    /// Whoever can reach it keeps the [rules](ex_rundown::Parity#rules) of `Parity`: one thread waits, completes and re-initialises.
    #[must_use]
    pub const unsafe fn new() -> Self {
        // INVARIANT: the caller promises it.
        Self(AtomicUsize::new(0))
    }

    /// As C has it.
    #[must_use]
    pub fn as_ptr(&self) -> *mut usize {
        self.0.as_ptr()
    }

    /// As ours.
    #[must_use]
    pub fn as_ours<C>(&self) -> &RundownRef<Host, C> {
        let word = (&raw const self.0).cast::<RundownRef<Host, C>>();
        // SAFETY: a `RundownRef` is a transparent `AtomicUsize`, and all words are valid to it; the invariant is what a policy asks for.
        unsafe { &*word }
    }

    /// What it says.
    #[must_use]
    pub fn state(&self) -> State {
        // Relaxed: it is looked at, not followed.
        State::of(self.0.load(Relaxed))
    }
}

/// An implementation of the three routines.
pub trait Arm: Sync {
    /// For reports.
    fn name(&self) -> &'static str;

    /// `ExAcquireRundownProtection`.
    fn acquire(&self, word: &Word) -> bool;

    /// `ExReleaseRundownProtection`.
    ///
    /// # Safety
    /// The caller gives up a reference of the word, whoever acquired it.
    unsafe fn release(&self, word: &Word);

    /// `ExWaitForRundownProtectionRelease`, and how it ended.
    fn wait(&self, word: &Word) -> WayOut;
}

/// Ours, under a check policy.
pub struct Ours<C>(PhantomData<fn() -> C>);

impl<C> Ours<C> {
    /// Ours.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C> Default for Ours<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Ours<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ours")
    }
}

impl<C: Check> Arm for Ours<C> {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn acquire(&self, word: &Word) -> bool {
        word.as_ours::<C>().acquire()
    }

    unsafe fn release(&self, word: &Word) {
        // SAFETY: the caller's promise.
        unsafe { word.as_ours::<C>().release() };
    }

    fn wait(&self, word: &Word) -> WayOut {
        word.as_ours::<C>().wait()
    }
}
