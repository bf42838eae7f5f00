//! A one-shot event whose setter is done with it before the waiter can run.

use std::{
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
    thread::{self, Thread},
};

/// A synchronization event for one waiter, the thread that made it.
#[derive(Debug)]
pub struct Event {
    signalled: AtomicBool,
    waiter: Thread,
}

impl Event {
    pub(crate) fn new() -> Self {
        Self {
            signalled: AtomicBool::new(false),
            waiter: thread::current(),
        }
    }

    pub(crate) fn wait(&self) {
        // Pairs with the store in `set`.
        while !self.signalled.load(Acquire) {
            thread::park();
        }
    }

    /// # Safety
    /// `event` is valid until it is signalled here; it may be gone right after.
    pub(crate) unsafe fn set(event: *const Self) {
        // The handle is cloned first: from the store on, the waiter may return and take the event with it.
        // SAFETY: not signalled yet, so still valid.
        let waiter = unsafe { (*event).waiter.clone() };
        // Pairs with the load in `wait`.
        // SAFETY: as above.
        unsafe { (*event).signalled.store(true, Release) };
        waiter.unpark();
    }
}
