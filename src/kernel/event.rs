//! An event that lets one waiter through.

use core::{cell::UnsafeCell, ptr};

use wdk_sys::{
    KEVENT,
    ntddk::{KeInitializeEvent, KeSetEvent},
};

use super::{
    PoolBox,
    wait::{self, NO},
};

/// A synchronization event, in memory of its own: it may be moved, the `KEVENT` stays in place.
pub(crate) struct Event {
    // INVARIANT: initialised.
    event: PoolBox<UnsafeCell<KEVENT>>,
}

// SAFETY: a dispatcher object, which any thread may signal and wait for.
unsafe impl Send for Event {}
// SAFETY: as above; only the kernel's routines touch it.
unsafe impl Sync for Event {}

impl Event {
    /// An event that is not signalled; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new() -> Option<Self> {
        let event = PoolBox::new(UnsafeCell::new(KEVENT::default()))?;
        // SAFETY: resident memory, in which it stays.
        unsafe { KeInitializeEvent(event.get(), wdk_sys::_EVENT_TYPE::SynchronizationEvent, NO) };
        Some(Self { event })
    }

    /// Lets one waiter through, now or later.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn set(&self) {
        // SAFETY: by the invariant. Wait = FALSE: nothing follows.
        unsafe { KeSetEvent(self.event.get(), 0, NO) };
    }

    /// Waits until it is set, and resets it.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(crate) fn wait(&self) {
        // SAFETY: by the invariant; without a time-out it ends by the event only.
        let _ = unsafe { wait::for_object(self.event.get().cast(), ptr::null_mut()) };
    }
}
