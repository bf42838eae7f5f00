//! Events that threads of a run block on.

use core::cell::UnsafeCell;

use rundown_stress::Signals;
use wdk_sys::{
    _EVENT_TYPE::{NotificationEvent, SynchronizationEvent},
    EVENT_TYPE, KEVENT, LARGE_INTEGER, STATUS_SUCCESS,
    ntddk::{KeClearEvent, KeInitializeEvent, KeSetEvent},
};

use super::{
    PoolBox,
    wait::{self, NO},
};

/// An event in resident memory that it does not leave.
struct Event(UnsafeCell<KEVENT>);

// SAFETY: the kernel's routines on an event are made for concurrent callers; nothing else touches it.
unsafe impl Sync for Event {}
// SAFETY: an event does not know its thread.
unsafe impl Send for Event {}

impl Event {
    fn uninitialized() -> Self {
        Self(UnsafeCell::new(KEVENT::default()))
    }

    /// # Safety
    /// It is in its place, and nobody uses it yet.
    unsafe fn initialize(&self, kind: EVENT_TYPE) {
        // SAFETY: valid for writes, and in place from now on, says the caller.
        unsafe { KeInitializeEvent(self.0.get(), kind, NO) };
    }

    fn set(&self) {
        // SAFETY: initialised, and alive as long as the borrow. Wait = FALSE: nothing follows.
        unsafe { KeSetEvent(self.0.get(), 0, NO) };
    }

    fn clear(&self) {
        // SAFETY: initialised.
        unsafe { KeClearEvent(self.0.get()) };
    }

    /// Waits for it, up to `microseconds` when given; whether it was set.
    fn wait(&self, microseconds: Option<u64>) -> bool {
        // In units of 100 ns, negative for a time from now.
        let mut timeout = LARGE_INTEGER {
            QuadPart: microseconds.map_or(0, |time| {
                -i64::try_from(time.saturating_mul(10)).unwrap_or(i64::MAX)
            }),
        };
        let timeout = match microseconds {
            Some(_) => &raw mut timeout,
            None => core::ptr::null_mut(),
        };
        // SAFETY: an initialised event that lives as long as the borrow; the time-out is null or valid.
        unsafe { wait::for_object(self.0.get().cast(), timeout) == STATUS_SUCCESS }
    }
}

/// The gates of a run, and its conductor's alarm clock.
pub(crate) struct Events(PoolBox<[Event]>);

// The events' places in `Events`.
/// The gates of even and of odd turns. Of turn *n* everybody is through when turn *n* + 1 is opened, so that its gate
/// can be closed for turn *n* + 2.
const GATES: [usize; 2] = [0, 1];
const ARRIVED: usize = 2;
const WAKE: usize = 3;

impl Events {
    /// None of them is set; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new() -> Option<Self> {
        let events = PoolBox::from_fn(4, |_| Event::uninitialized())?;
        for (event, kind) in events.iter().zip([
            NotificationEvent,
            NotificationEvent,
            SynchronizationEvent,
            NotificationEvent,
        ]) {
            // SAFETY: in pool, and not used yet.
            unsafe { event.initialize(kind) };
        }
        Some(Self(events))
    }

    fn gate(&self, turn: u32) -> &Event {
        &self.0[GATES[(turn % 2) as usize]]
    }
}

impl Signals for Events {
    fn open(&self, turn: u32) {
        self.gate(turn + 1).clear();
        self.gate(turn).set();
    }

    fn pass(&self, turn: u32) {
        self.gate(turn).wait(None);
    }

    fn all_arrived(&self) {
        self.0[ARRIVED].set();
    }

    fn await_arrival(&self, microseconds: u64) -> bool {
        self.0[ARRIVED].wait(Some(microseconds))
    }

    fn wake(&self) {
        self.0[WAKE].set();
    }

    fn sleep(&self, microseconds: u64) {
        self.0[WAKE].wait(Some(microseconds));
    }
}
