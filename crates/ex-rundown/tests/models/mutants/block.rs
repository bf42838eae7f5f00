//! A wait block, and its hand-over.

use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

use crate::seam::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize},
    thread::{self, Thread},
};

use super::{Change, Mutation, acq_rel};

pub(crate) struct Block {
    pub(crate) count: AtomicUsize,
    pub(crate) flag: AtomicU32,
    event: UnsafeCell<Option<Thread>>,
    signalled: AtomicBool,
    frame: UnsafeCell<()>,
}

impl Block {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            flag: AtomicU32::new(0),
            event: UnsafeCell::new(None),
            signalled: AtomicBool::new(false),
            frame: UnsafeCell::new(()),
        }
    }

    /// The frame is the waiter's to make and to leave: nobody else is in it.
    pub(crate) fn end(&self) {
        self.frame.with_mut(|_| ());
    }

    fn test_and_clear<M: Mutation>(&self) -> bool {
        if M::is(Change::SplitTestAndClear) {
            let old = self.flag.load(Acquire);
            self.flag.store(0, Release);
            return old != 0;
        }
        let ordering = acq_rel::<M>(Change::FlagWithoutAcquire, Change::FlagWithoutRelease);
        self.flag.fetch_and(0, ordering) != 0
    }

    pub(crate) fn initialize_event(&self) {
        // SAFETY: no releaser looks at it yet; loom checks that.
        self.event
            .with_mut(|event| unsafe { *event = Some(thread::current()) });
    }

    pub(crate) fn sleep(&self) {
        while !self.signalled.load(Acquire) {
            thread::park();
        }
    }

    /// The waiter's side, with the flag set: no spin, which adds nothing but time to what is checked here.
    pub(crate) fn wait<M: Mutation>(&self) {
        self.initialize_event();
        if self.test_and_clear::<M>() {
            self.sleep();
        }
        self.end();
    }

    /// The count becomes known. True when that makes the waiter the last.
    pub(crate) fn add_to_count<M: Mutation>(&self, references: usize) -> bool {
        if M::is(Change::CountStoredNotAdded) {
            self.count.store(references, Release);
            return false;
        }
        let ordering = Self::count_ordering::<M>();
        self.count
            .fetch_add(references, ordering)
            .wrapping_add(references)
            == 0
    }

    fn count_ordering<M: Mutation>() -> Ordering {
        acq_rel::<M>(Change::CountWithoutAcquire, Change::CountWithoutRelease)
    }

    /// The releaser's side.
    pub(crate) fn release<M: Mutation>(&self) {
        self.frame.with(|_| ());
        if self.count.fetch_sub(1, Self::count_ordering::<M>()) != 1 {
            return;
        }
        let handed_over = self.test_and_clear::<M>();
        if M::is(Change::TouchAfterHandOver) {
            self.frame.with(|_| ());
        }
        if M::is(Change::EventInAnyCase) || (!handed_over && !M::is(Change::EventSkipped)) {
            // SAFETY: the waiter has initialised it, and waits; loom checks that.
            let waiter = self.event.with(|event| unsafe { (*event).clone() });
            self.frame.with(|_| ());
            self.signalled.store(true, Release);
            if let Some(waiter) = waiter {
                waiter.unpark();
            }
        }
    }

    /// Makes it ready for a waiter.
    pub(crate) fn prepare(&self, flag: u32) {
        self.frame.with_mut(|_| ());
        self.count.store(0, Relaxed);
        self.flag.store(flag, Relaxed);
        self.signalled.store(false, Relaxed);
    }
}
