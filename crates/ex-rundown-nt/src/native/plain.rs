//! The plain reference's routines.

use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::system::{
    EX_RUNDOWN_ACTIVE, ExAcquireRundownProtection, ExAcquireRundownProtectionEx,
    ExInitializeRundownProtection, ExReInitializeRundownProtection, ExReleaseRundownProtection,
    ExReleaseRundownProtectionEx, ExRundownCompleted, ExWaitForRundownProtectionRelease,
};

use super::Routines;

/// An `EX_RUNDOWN_REF` that the system's routines work on.
///
/// Nothing is checked here: the rules are the [routines'](Routines). What keeps them is [`NativeRundown`](super::NativeRundown).
pub struct Plain(UnsafeCell<usize>);

// SAFETY: the routines are made for concurrent callers; nothing else touches the word.
unsafe impl Sync for Plain {}
// SAFETY: the word does not know its thread.
unsafe impl Send for Plain {}

impl Plain {
    /// A live reference.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    #[must_use]
    pub fn new() -> Self {
        let mut word = 0;
        // SAFETY: valid for writes. The routine stores the initial value; the word may be moved until it is used.
        unsafe { ExInitializeRundownProtection(&raw mut word) };
        Self(UnsafeCell::new(word))
    }

    /// A reference that is run down, as `ExRundownCompleted` leaves it: `EX_RUNDOWN_ACTIVE` (`wdm.h`).
    ///
    /// # IRQL
    /// Any.
    #[must_use]
    pub const fn run_down() -> Self {
        Self(UnsafeCell::new(EX_RUNDOWN_ACTIVE))
    }

    /// The word's address, for routines that share it.
    ///
    /// # IRQL
    /// Any.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut usize {
        self.0.get()
    }

    /// The word at this moment.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if it is resident.
    #[must_use]
    pub fn word(&self) -> usize {
        // Relaxed: it is looked at, not followed.
        // SAFETY: an aligned word that lives as long as this, and that the system only writes by locked instructions.
        unsafe { AtomicUsize::from_ptr(self.as_ptr()) }.load(Relaxed)
    }
}

impl Default for Plain {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each method is the system's routine of that name, on an initialised word.
unsafe impl Routines for Plain {
    const BY_SLOT: bool = false;

    #[inline]
    fn acquire(&self, count: u32) -> bool {
        if count == 1 {
            // SAFETY: an initialised word in resident memory.
            unsafe { ExAcquireRundownProtection(self.0.get()) != 0 }
        } else {
            // SAFETY: as above.
            unsafe { ExAcquireRundownProtectionEx(self.0.get(), count) != 0 }
        }
    }

    #[inline]
    unsafe fn release_at(this: *const Self, count: u32) {
        let word = UnsafeCell::raw_get(this.cast());
        if count == 1 {
            // SAFETY: an initialised word, and the caller's promise.
            unsafe { ExReleaseRundownProtection(word) };
        } else {
            // SAFETY: as above.
            unsafe { ExReleaseRundownProtectionEx(word, count) };
        }
    }

    unsafe fn wait(&self) {
        // SAFETY: an initialised word, and the caller's promise.
        unsafe { ExWaitForRundownProtectionRelease(self.0.get()) };
    }

    unsafe fn completed(&self) {
        // SAFETY: an initialised word, and the caller's promise.
        unsafe { ExRundownCompleted(self.0.get()) };
    }

    unsafe fn reinitialize(&self) {
        // SAFETY: an initialised word, and the caller's promise.
        unsafe { ExReInitializeRundownProtection(self.0.get()) };
    }
}
