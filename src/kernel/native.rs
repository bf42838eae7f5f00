//! NT's own run-down protection: the arm that ours is compared with.

use core::cell::UnsafeCell;

use ex_rundown::WayOut;
use rundown_stress::Reference;
use wdk_sys::{
    EX_RUNDOWN_REF,
    ntddk::{
        ExAcquireRundownProtection, ExInitializeRundownProtection, ExReInitializeRundownProtection,
        ExReleaseRundownProtection, ExRundownCompleted, ExWaitForRundownProtectionRelease,
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
}

impl Reference for NativeRundown {
    fn protect(&self, body: impl FnOnce()) -> bool {
        // SAFETY: an initialised word in resident memory.
        let granted = unsafe { ExAcquireRundownProtection(self.0.get()) } != 0;
        if granted {
            body();
            // SAFETY: the reference that was just granted is given back once.
            unsafe { ExReleaseRundownProtection(self.0.get()) };
        }
        granted
    }

    fn run_down(&self) -> Option<WayOut> {
        // SAFETY: an initialised word; the engine has one owner, so this is the only wait.
        unsafe { ExWaitForRundownProtectionRelease(self.0.get()) };
        // The native routine does not tell how its wait ended.
        None
    }

    fn complete(&self) {
        // SAFETY: after a wait, so no reference is out.
        unsafe { ExRundownCompleted(self.0.get()) };
    }

    fn reinitialize(&self) {
        // SAFETY: after a wait, so no reference is out.
        unsafe { ExReInitializeRundownProtection(self.0.get()) };
    }
}
