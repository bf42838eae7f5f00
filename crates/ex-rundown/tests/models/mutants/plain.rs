//! A copy of `RundownRef`.

use std::{
    marker::PhantomData,
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::seam::sync::atomic::AtomicUsize;

use super::{Change, Mutation, acq_rel, block::Block, unless};
use crate::protocol::Protocol;

/// `3` stands for the block's address with bit 0 set.
const PUBLISHED: usize = 3;

pub(crate) struct Plain<M> {
    word: AtomicUsize,
    block: Block,
    mutation: PhantomData<fn() -> M>,
}

impl<M: Mutation> Protocol for Plain<M> {
    fn new() -> Self {
        Self {
            word: AtomicUsize::new(0),
            block: Block::new(),
            mutation: PhantomData,
        }
    }

    fn acquire(&self, _who: usize) -> bool {
        let ordering = unless::<M>(Change::RelaxedAcquire, Acquire);
        if M::is(Change::TestThenAdd) {
            let live = self.word.load(Acquire) & 1 == 0;
            if live {
                self.word.fetch_add(2, ordering);
            }
            return live;
        }
        let more = |word: usize| (word & 1 == 0 || M::is(Change::GrantWhenActive)).then_some(word + 2);
        self.word.fetch_update(ordering, Acquire, more).is_ok()
    }

    fn release(&self, _who: usize) {
        let success = unless::<M>(Change::ReleaseWithoutRelease, Release);
        let less = |word: usize| (word & 1 == 0).then(|| word.wrapping_sub(2));
        if self.word.fetch_update(success, Acquire, less).is_err() {
            self.block.release::<M>();
        }
    }

    fn wait(&self) {
        self.block.prepare(1);
        let Err(mut value) = self.word.compare_exchange(0, 1, AcqRel, Acquire) else {
            return;
        };
        if value == 1 {
            return;
        }
        let references = loop {
            if !M::is(Change::CountAfterPublishing) {
                self.block.count.store(value / 2, Relaxed);
            }
            let ordering = acq_rel::<M>(Change::PublishWithoutAcquire, Change::PublishWithoutRelease);
            match self.word.compare_exchange(value, PUBLISHED, ordering, Relaxed) {
                Ok(_) => break value / 2,
                Err(now) => value = now,
            }
        };
        if M::is(Change::CountAfterPublishing) {
            self.block.count.store(references, Relaxed);
        }
        if references != 0 {
            self.block.wait::<M>();
        }
        let _ = self.word.compare_exchange(PUBLISHED, 1, Release, Relaxed);
    }

    fn reinitialize(&self) {
        self.word
            .swap(0, unless::<M>(Change::RelaxedReinitialize, Release));
    }
}
