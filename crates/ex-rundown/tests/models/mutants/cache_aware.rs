//! A copy of `CacheAwareRundownRef` with two slots.

use std::{
    marker::PhantomData,
    sync::atomic::Ordering::{Acquire, Release},
};

use crate::seam::sync::atomic::AtomicUsize;

use super::{Change, Mutation, acq_rel, block::Block, unless};
use crate::protocol::Protocol;

/// `3` stands for the block's address with bit 0 set.
const PUBLISHED: usize = 3;

pub(crate) struct CacheAware<M> {
    slots: [AtomicUsize; 2],
    block: Block,
    mutation: PhantomData<fn() -> M>,
}

impl<M: Mutation> Protocol for CacheAware<M> {
    fn new() -> Self {
        Self {
            slots: [AtomicUsize::new(0), AtomicUsize::new(0)],
            block: Block::new(),
            mutation: PhantomData,
        }
    }

    fn acquire(&self, who: usize) -> bool {
        let more =
            |word: usize| (word & 1 == 0 || M::is(Change::GrantWhenActive)).then_some(word.wrapping_add(2));
        let granted = unless::<M>(Change::RelaxedAcquire, Acquire);
        self.slots[who % 2].fetch_update(granted, Acquire, more).is_ok()
    }

    fn release(&self, who: usize) {
        let released = unless::<M>(Change::ReleaseWithoutRelease, Release);
        let less = |word: usize| (word & 1 == 0).then(|| word.wrapping_sub(2));
        // A slot that says 1 is not re-initialised yet: then the other one.
        for slot in [who % 2, (who + 1) % 2] {
            match self.slots[slot].fetch_update(released, Acquire, less) {
                Ok(_) => return,
                Err(1) if !M::is(Change::OwnSlotOnly) => {}
                Err(value) => {
                    assert_ne!(value, 1, "released after run-down");
                    return self.block.release::<M>();
                }
            }
        }
        panic!("released after run-down");
    }

    fn wait(&self) {
        self.block.prepare(u32::from(M::is(Change::SpinFlagSet)));
        let mut sum = 0_usize;
        for slot in &self.slots {
            let old = slot.swap(
                PUBLISHED,
                acq_rel::<M>(Change::PublishWithoutAcquire, Change::PublishWithoutRelease),
            );
            sum = sum.wrapping_add(old);
        }
        if sum != 0 {
            self.block.initialize_event();
            if !self.block.add_to_count::<M>(sum >> 1) {
                self.block.sleep();
            }
        }
        self.block.end();
        for slot in &self.slots {
            if !M::is(Change::StaleAtReinitialize) {
                slot.store(1, Release);
            }
        }
    }

    fn reinitialize(&self) {
        for slot in &self.slots {
            slot.swap(0, unless::<M>(Change::RelaxedReinitialize, Release));
        }
    }
}
