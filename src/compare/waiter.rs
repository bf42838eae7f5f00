//! A thread that waits again and again: making one for each wait would take most of a comparison's time.

use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Release},
};

use crate::{
    kernel::{Body, CurrentThread, Event, PoolArc, SystemThread, stack_word},
    reference::Wait,
};

/// A waiter of a reference. Dropping it ends its thread, so a wait that goes on has to be let end before.
pub(super) struct Waiter<W: Wait> {
    shared: PoolArc<Shared<W>>,
    _thread: SystemThread,
}

/// What the thread and its owner share.
struct Shared<W> {
    reference: PoolArc<W>,
    /// Set to begin a wait, or to end the thread.
    go: Event,
    /// Set when a wait has returned.
    done: Event,
    over: AtomicBool,
    quit: AtomicBool,
    /// An address in the thread's stack, above the frame that holds the wait block; zero until the thread runs.
    stack: AtomicUsize,
}

struct Thread<W>(PoolArc<Shared<W>>);

impl<W: Wait> Waiter<W> {
    /// A waiter that does nothing yet; `None` when there is no pool or thread to be had.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(super) fn new(reference: PoolArc<W>) -> Option<Self> {
        let shared = PoolArc::new(Shared {
            reference,
            go: Event::new()?,
            done: Event::new()?,
            over: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            stack: AtomicUsize::new(0),
        })?;
        Some(Self {
            _thread: SystemThread::start(Thread(shared.clone()))?,
            shared,
        })
    }

    /// Begins a wait. [`join`](Self::join) comes before the next one.
    ///
    /// # Safety
    /// As [`Wait::wait`], for as long as it goes on.
    pub(super) unsafe fn begin(&self) {
        // Release: before the event, so the thread's store comes after it.
        self.shared.over.store(false, Release);
        self.shared.go.set();
    }

    /// Waits until the wait that was begun has returned.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(super) fn join(&self) {
        self.shared.done.wait();
    }

    /// Whether the wait that was begun has returned.
    pub(super) fn is_over(&self) -> bool {
        // Acquire pairs with the thread's Release: who sees it sees what the wait did.
        self.shared.over.load(Acquire)
    }

    /// A word of the waiter's block at this address; zero if no block can be there.
    ///
    /// # Safety
    /// The waiter does not return meanwhile: a reference is out, and stays so.
    pub(super) unsafe fn block_word(&self, block: usize, index: usize) -> u64 {
        // Acquire pairs with the thread's Release.
        let stack = self.shared.stack.load(Acquire);
        // SAFETY: `stack` is an address in the stack of the thread, which waits for as long as the caller promises.
        unsafe { stack_word(stack, block.wrapping_add(index * size_of::<usize>())) }
    }

    /// The count in the waiter's block at this address; zero if no block can be there.
    ///
    /// # Safety
    /// As [`block_word`](Self::block_word).
    pub(super) unsafe fn count_of(&self, block: usize) -> u64 {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.block_word(block, 0) }
    }
}

impl<W: Wait> Drop for Waiter<W> {
    fn drop(&mut self) {
        // Release pairs with the thread's Acquire; the thread is joined when the fields are dropped.
        self.shared.quit.store(true, Release);
        self.shared.go.set();
    }
}

impl<W: Wait> Body for Thread<W> {
    fn run(&self, _thread: &mut CurrentThread) {
        let frame = 0_usize;
        let shared = &self.0;
        // Release: who sees it may look below.
        shared
            .stack
            .store((&raw const frame).expose_provenance(), Release);
        loop {
            shared.go.wait();
            // Acquire pairs with the owner's Release.
            if shared.quit.load(Acquire) {
                return;
            }
            // SAFETY: `begin`'s caller promises it.
            let _ = unsafe { shared.reference.wait() };
            // Release pairs with the Acquire of `is_over`.
            shared.over.store(true, Release);
            shared.done.set();
        }
    }
}
