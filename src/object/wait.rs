//! A wait that goes on: a thread that blocks in it, and a request that may pend for it.

use core::{
    cell::Cell,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use ex_rundown::WayOut;
use rundown_abi::{Header, ObjectWaited, Refusal, WaitEnd, limits};
use zerocopy::IntoBytes;

use super::AnyReference;
use crate::{
    kernel::{Body, CurrentThread, PoolArc, SystemThread, clock::Stopwatch, stack_word},
    pended::{Pend, PendedRequest},
};

/// Waits that go on, in the whole driver.
static GOING_ON: AtomicU32 = AtomicU32::new(0);

/// How many waits go on at this moment.
pub(crate) fn going_on() -> u32 {
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

/// A wait that was begun. Dropping this waits for its end, so the object's references have to be released before.
pub(crate) struct OngoingWait {
    shared: PoolArc<Shared>,
    _thread: SystemThread,
}

/// What the thread and the object share.
struct Shared {
    object: u64,
    reference: PoolArc<AnyReference>,
    /// An address in the thread's stack, above the frame that holds the wait block; zero until the thread runs.
    stack: AtomicUsize,
    over: AtomicBool,
}

/// The thread's part: everything that goes when the wait is over.
struct Waiter {
    shared: PoolArc<Shared>,
    permit: Cell<Option<Permit>>,
    request: Cell<Option<PendedRequest>>,
}

impl OngoingWait {
    /// Begins a wait on a thread of its own, which completes the request at its end. `None` when there is no thread to be
    /// had: then the request is completed already.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    ///
    /// # Safety
    /// As [`AnyReference::wait`], for as long as it goes on.
    ///
    /// # Errors
    /// [`Refusal::TooManyWaits`], [`Refusal::Resources`], or what the queue answers; the request is the caller's then.
    pub(crate) unsafe fn begin(
        object: u64,
        reference: PoolArc<AnyReference>,
        pend: Pend<'_>,
    ) -> Result<Option<Self>, Refusal> {
        let permit = Permit::take()?;
        let shared = PoolArc::new(Shared {
            object,
            reference,
            stack: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        })
        .ok_or(Refusal::Resources)?;
        let waiter = Waiter {
            shared: shared.clone(),
            permit: Cell::new(Some(permit)),
            request: Cell::new(Some(pend.pend()?)),
        };
        Ok(SystemThread::start(waiter).map(|thread| Self {
            shared,
            _thread: thread,
        }))
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

impl Body for Waiter {
    fn run(&self, _thread: &mut CurrentThread) {
        let frame = 0_usize;
        // Release: who sees it may look below.
        self.shared
            .stack
            .store((&raw const frame).expose_provenance(), Release);
        let stopwatch = Stopwatch::start();
        // SAFETY: `begin`'s caller promises it.
        let way_out = unsafe { self.shared.reference.wait() };
        let answer = ObjectWaited {
            header: Header::of::<ObjectWaited>(),
            object: self.shared.object,
            end: end(way_out) as u32,
            reserved: 0,
            microseconds: stopwatch.microseconds(),
        };
        // All of it before the request is completed: a client that hears of the end finds the object at rest. Release
        // pairs with the Acquire of `is_over`.
        self.shared.over.store(true, Release);
        self.permit.take();
        if let Some(request) = self.request.take() {
            request.complete(answer.as_bytes());
        }
    }
}

fn end(way_out: Option<WayOut>) -> WaitEnd {
    match way_out {
        None => WaitEnd::Untold,
        Some(WayOut::Drained) => WaitEnd::Drained,
        Some(WayOut::Monitorx) => WaitEnd::Mwaitx,
        Some(WayOut::Pause) => WaitEnd::Pause,
        Some(WayOut::Dispatch) => WaitEnd::Dispatch,
        Some(WayOut::Event) => WaitEnd::Event,
        Some(WayOut::Late) => WaitEnd::Late,
    }
}
