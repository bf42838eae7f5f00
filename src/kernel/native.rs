//! NT's own run-down protection: the arm that ours is compared with.

use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use wdk_sys::{
    EX_RUNDOWN_REF,
    ntddk::{
        ExAcquireRundownProtection, ExAcquireRundownProtectionEx, ExInitializeRundownProtection,
        ExReInitializeRundownProtection, ExReleaseRundownProtection, ExReleaseRundownProtectionEx,
        ExRundownCompleted, ExWaitForRundownProtectionRelease,
    },
};

/// An `EX_RUNDOWN_REF` that the system's routines work on.
pub(crate) struct NativeRundown(UnsafeCell<EX_RUNDOWN_REF>);

// SAFETY: the routines are made for concurrent callers; nothing else touches the word.
unsafe impl Sync for NativeRundown {}
// SAFETY: the word does not know its thread.
unsafe impl Send for NativeRundown {}

impl NativeRundown {
    /// A live reference.
    pub(crate) fn new() -> Self {
        let mut word = EX_RUNDOWN_REF::default();
        // SAFETY: valid for writes. The routine stores the initial value; the word may be moved until it is used.
        unsafe { ExInitializeRundownProtection(&raw mut word) };
        Self(UnsafeCell::new(word))
    }

    /// Takes `count` references; by the routine without a count when it is 1.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn acquire(&self, count: u32) -> bool {
        let granted = if count == 1 {
            // SAFETY: an initialised word in resident memory.
            unsafe { ExAcquireRundownProtection(self.0.get()) }
        } else {
            // SAFETY: as above.
            unsafe { ExAcquireRundownProtectionEx(self.0.get(), count) }
        };
        granted != 0
    }

    /// Gives `count` references back; by the routine without a count when it is 1.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// The caller owns so many, at least one, and gives them up.
    pub(crate) unsafe fn release(&self, count: u32) {
        if count == 1 {
            // SAFETY: an initialised word, and the caller's promise.
            unsafe { ExReleaseRundownProtection(self.0.get()) };
        } else {
            // SAFETY: as above.
            unsafe { ExReleaseRundownProtectionEx(self.0.get(), count) };
        }
    }

    /// Runs it down and waits.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// Nobody else waits, and no finished wait has left its pointer in the word.
    pub(crate) unsafe fn wait(&self) {
        // SAFETY: an initialised word, and the caller's promise.
        unsafe { ExWaitForRundownProtectionRelease(self.0.get()) };
    }

    /// Marks it as run down.
    ///
    /// # Safety
    /// No reference is out, and nobody waits.
    pub(crate) unsafe fn completed(&self) {
        // SAFETY: an initialised word, and the caller's promise.
        unsafe { ExRundownCompleted(self.0.get()) };
    }

    /// Makes it live again.
    ///
    /// # Safety
    /// No reference is out, and nobody waits.
    pub(crate) unsafe fn reinitialize(&self) {
        // SAFETY: an initialised word, and the caller's promise.
        unsafe { ExReInitializeRundownProtection(self.0.get()) };
    }

    /// The word's address, for routines that share it.
    pub(crate) fn as_ptr(&self) -> *mut usize {
        self.0.get().cast()
    }

    /// The word at this moment.
    pub(crate) fn word(&self) -> usize {
        // Relaxed: it is looked at, not followed.
        // SAFETY: an aligned word that lives as long as this, and that the system only writes by locked instructions.
        unsafe { AtomicUsize::from_ptr(self.as_ptr()) }.load(Relaxed)
    }
}
