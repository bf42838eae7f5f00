//! Events.

use core::{cell::UnsafeCell, ptr};

use wdk_sys::{
    _EVENT_TYPE::{NotificationEvent, SynchronizationEvent},
    EVENT_TYPE, KEVENT, LARGE_INTEGER, STATUS_SUCCESS,
    ntddk::{KeClearEvent, KeInitializeEvent, KeSetEvent},
};

use super::{
    PoolBox,
    wait::{self, NO},
};

// What the primitive's platform has for a KEVENT, and what bindgen has.
const _: () = assert!(size_of::<KEVENT>() == size_of::<ex_rundown_nt::Event>());

/// An event, in memory of its own: it may be moved, the `KEVENT` stays in place.
pub(crate) struct Event {
    // INVARIANT: initialised.
    event: PoolBox<UnsafeCell<KEVENT>>,
}

// SAFETY: a dispatcher object, which any thread may signal and wait for.
unsafe impl Send for Event {}
// SAFETY: as above; only the kernel's routines touch it.
unsafe impl Sync for Event {}

impl Event {
    /// An event that is not signalled, and that lets one waiter through each time that it is; `None` when there is no pool
    /// left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new() -> Option<Self> {
        Self::of(SynchronizationEvent)
    }

    /// An event that is not signalled, and that lets every waiter through while it is; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn notification() -> Option<Self> {
        Self::of(NotificationEvent)
    }

    fn of(kind: EVENT_TYPE) -> Option<Self> {
        let event = PoolBox::new(UnsafeCell::new(KEVENT::default()))?;
        // SAFETY: resident memory, in which it stays.
        unsafe { KeInitializeEvent(event.get(), kind, NO) };
        Some(Self { event })
    }

    /// Signals it: lets one waiter through, or all, now or later.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn set(&self) {
        // SAFETY: by the invariant. Wait = FALSE: nothing follows.
        unsafe { KeSetEvent(self.event.get(), 0, NO) };
    }

    /// Waits until it is set, and lets nobody else through unless it is a notification.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(crate) fn wait(&self) {
        // SAFETY: by the invariant; without a time-out it ends by the event only.
        let _ = unsafe { wait::for_object(self.event.get().cast(), ptr::null_mut()) };
    }

    /// Lets nobody through any more, until it is set again.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn clear(&self) {
        // SAFETY: by the invariant.
        unsafe { KeClearEvent(self.event.get()) };
    }

    /// As [`wait`](Self::wait), for so many microseconds at most; whether it was set.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(crate) fn wait_for(&self, microseconds: u64) -> bool {
        // In units of 100 ns, negative for a time from now.
        let mut timeout = LARGE_INTEGER {
            QuadPart: -i64::try_from(microseconds.saturating_mul(10)).unwrap_or(i64::MAX),
        };
        // SAFETY: by the invariant; the time-out is valid during the call.
        unsafe { wait::for_object(self.event.get().cast(), &raw mut timeout) == STATUS_SUCCESS }
    }
}
