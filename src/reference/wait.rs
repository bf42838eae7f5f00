//! Waits that block, each in a thread of its own.

use core::{
    cell::Cell,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use ex_rundown::WayOut;
use rundown_abi::{Refusal, limits};

use crate::kernel::{Body, CurrentThread, PoolArc, SystemThread, clock::Stopwatch, stack_word};

/// What can be waited for.
pub(crate) trait Wait: Send + Sync {
    /// Runs it down and waits; how that ended, where the routine tells.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// Nobody else waits, and no finished wait has left its pointer where the routine would take it for references.
    unsafe fn wait(&self) -> Option<WayOut>;
}

/// Waits that go on, in the whole driver.
static GOING_ON: AtomicU32 = AtomicU32::new(0);

/// How many waits go on at this moment.
pub(crate) fn going_on() -> u32 {
    // Relaxed: it only counts.
    GOING_ON.load(Relaxed)
}

/// Leave for one more thread that waits; given back when it is dropped.
pub(crate) struct Permit(());

impl Permit {
    /// # Errors
    /// [`Refusal::TooManyWaits`].
    pub(crate) fn take() -> Result<Self, Refusal> {
        // Relaxed: it only counts.
        GOING_ON
            .fetch_update(Relaxed, Relaxed, |now| (now < limits::WAITS).then(|| now + 1))
            .map(|_| Self(()))
            .map_err(|_| Refusal::TooManyWaits)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Relaxed: it only counts.
        GOING_ON.fetch_sub(1, Relaxed);
    }
}

/// A wait that was begun. Dropping this waits for its end, so the references have to be released before.
pub(crate) struct BlockingWait<W: Wait> {
    shared: PoolArc<Shared<W>>,
    _thread: SystemThread,
}

/// What the waiting thread and the others share.
struct Shared<W> {
    reference: PoolArc<W>,
    /// An address in the thread's stack, above the frame that holds the wait block; zero until the thread runs.
    stack: AtomicUsize,
    over: AtomicBool,
}

/// The thread's part.
struct Waiter<W, F> {
    shared: PoolArc<Shared<W>>,
    then: Cell<Option<F>>,
}

impl<W: Wait> BlockingWait<W> {
    /// Begins a wait on a thread of its own, which calls `then` when the wait is over: with the way in which it ended, and
    /// the microseconds that it took. `None`, with `then` dropped, when there is no pool or thread to be had.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    ///
    /// # Safety
    /// As [`Wait::wait`], for as long as it goes on.
    pub(crate) unsafe fn begin(
        reference: PoolArc<W>,
        then: impl FnOnce(Option<WayOut>, u64) + Send,
    ) -> Option<Self> {
        let shared = PoolArc::new(Shared {
            reference,
            stack: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        })?;
        let waiter = Waiter {
            shared: shared.clone(),
            then: Cell::new(Some(then)),
        };
        Some(Self {
            shared,
            _thread: SystemThread::start(waiter)?,
        })
    }

    /// Whether the wait has returned. The thread may have a few instructions left.
    pub(crate) fn is_over(&self) -> bool {
        // Acquire pairs with the thread's Release: who sees it sees what the wait did.
        self.shared.over.load(Acquire)
    }

    /// The count in the waiter's block at this address; zero if no block can be there.
    ///
    /// # Safety
    /// The waiter does not return meanwhile: a reference is out, and stays so.
    pub(crate) unsafe fn count_of(&self, block: usize) -> u64 {
        // Acquire pairs with the thread's Release.
        let stack = self.shared.stack.load(Acquire);
        // SAFETY: `stack` is an address in the stack of the thread, which waits for as long as the caller promises.
        unsafe { stack_word(stack, block) }
    }
}

impl<W: Wait, F: FnOnce(Option<WayOut>, u64) + Send> Body for Waiter<W, F> {
    fn run(&self, _thread: &mut CurrentThread) {
        let frame = 0_usize;
        // Release: who sees it may look below.
        self.shared
            .stack
            .store((&raw const frame).expose_provenance(), Release);
        let stopwatch = Stopwatch::start();
        // SAFETY: `begin`'s caller promises it.
        let way_out = unsafe { below(&*self.shared.reference) };
        let microseconds = stopwatch.microseconds();
        // Release pairs with the Acquire of `is_over`.
        self.shared.over.store(true, Release);
        if let Some(then) = self.then.take() {
            then(way_out, microseconds);
        }
    }
}

/// Waits in a frame of its own, with the block in it or below it: inlined, the block could lie above the mark in `run`.
///
/// # Safety
/// As [`Wait::wait`].
#[inline(never)]
unsafe fn below<W: Wait>(reference: &W) -> Option<WayOut> {
    // SAFETY: the caller's promise.
    unsafe { reference.wait() }
}
