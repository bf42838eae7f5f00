//! A copy of `WideRundownRef`.

use std::{
    marker::PhantomData,
    sync::atomic::Ordering::{AcqRel, Acquire, Release},
};

use crate::seam::{cell::UnsafeCell, sync::atomic::AtomicUsize};

use super::{Change, Mutation, acq_rel, block::Block, unless};
use crate::protocol::Protocol;

pub(crate) struct Wide<M> {
    state: AtomicUsize,
    /// 1 for the block, 0 for null.
    waiter: AtomicUsize,
    block: Block,
    /// The memory of the two words: as the crate's own, a release notes that it is about to touch them.
    memory: UnsafeCell<()>,
    mutation: PhantomData<fn() -> M>,
}

impl<M> Drop for Wide<M> {
    fn drop(&mut self) {
        self.memory.with_mut(|_| ());
    }
}

impl<M: Mutation> Protocol for Wide<M> {
    fn new() -> Self {
        Self {
            state: AtomicUsize::new(0),
            waiter: AtomicUsize::new(0),
            block: Block::new(),
            memory: UnsafeCell::new(()),
            mutation: PhantomData,
        }
    }

    fn acquire(&self, _who: usize) -> bool {
        let ordering = unless::<M>(Change::RelaxedAcquire, Acquire);
        self.state.fetch_add(2, ordering) & 1 == 0 || M::is(Change::GrantWhenActive)
    }

    fn release(&self, _who: usize) {
        self.memory.with(|_| ());
        let ordering = acq_rel::<M>(Change::ReleaseWithoutAcquire, Change::ReleaseWithoutRelease);
        if self.state.fetch_sub(2, ordering) & 1 == 0 {
            return;
        }
        assert_ne!(self.waiter.load(Acquire), 0, "no block");
        self.block.release::<M>();
        if M::is(Change::WordsAfterCount) {
            self.memory.with(|_| ());
        }
    }

    fn wait(&self) {
        if self.state.load(Acquire) & 1 != 0 {
            return;
        }
        self.block.prepare(1);
        if !M::is(Change::WaiterAfterState) {
            assert!(self.waiter.compare_exchange(0, 1, AcqRel, Acquire).is_ok());
        }
        let ordering = acq_rel::<M>(Change::PublishWithoutAcquire, Change::PublishWithoutRelease);
        let references = self.state.swap(1, ordering) / 2;
        if M::is(Change::WaiterAfterState) {
            self.waiter.store(1, Release);
        }
        if references == 0 || self.block.add_to_count::<M>(references) {
            self.block.end();
        } else {
            self.block.wait::<M>();
        }
        self.waiter.store(0, Release);
    }

    fn reinitialize(&self) {
        self.state
            .swap(0, unless::<M>(Change::RelaxedReinitialize, Release));
    }
}
