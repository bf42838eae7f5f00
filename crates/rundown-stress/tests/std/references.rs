//! References: ours, and some that are unsound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, DispatchRundownRef, Protection, RundownRef, WayOut,
    WideCacheAwareRundownRef, WideRundownRef,
};
use rundown_std::Std;
use rundown_stress::{Reference, Ticket};

/// Any of ours.
pub(crate) struct Ours<R>(pub(crate) R);

/// What differs between ours.
pub(crate) trait Word {
    fn word(&self) -> Option<usize>;
}

impl Word for RundownRef<Std> {
    fn word(&self) -> Option<usize> {
        Some(self.state().word())
    }
}

impl Word for WideRundownRef<Std> {
    fn word(&self) -> Option<usize> {
        None
    }
}

impl Word for AllocatedCacheAwareRundownRef<Std> {
    fn word(&self) -> Option<usize> {
        None
    }
}

impl Word for WideCacheAwareRundownRef<Std> {
    fn word(&self) -> Option<usize> {
        None
    }
}

impl Word for DispatchRundownRef<Std> {
    fn word(&self) -> Option<usize> {
        None
    }
}

impl<R: Protection + Word + Sync> Reference for Ours<R> {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, count: u32) -> bool {
        match count {
            1 => self.0.acquire(),
            count => self.0.acquire_ex(count),
        }
    }

    fn release(&self, ticket: Ticket) {
        match ticket.count() {
            // SAFETY: the engine's ticket stands for a reference of this, and is handed in once.
            1 => unsafe { self.0.release() },
            // SAFETY: as above, for so many.
            count => unsafe { self.0.release_ex(count) },
        }
    }

    fn run_down(&self) -> Option<WayOut> {
        Some(self.0.wait())
    }

    fn complete(&self) {
        self.0.completed();
    }

    fn reinitialize(&self) {
        self.0.reinitialize();
    }

    fn word(&self) -> Option<usize> {
        self.0.word()
    }
}

/// Does not tell how its waits end, as NT's.
pub(crate) struct Unknown<R>(pub(crate) R);

impl<R: Reference> Reference for Unknown<R> {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, count: u32) -> bool {
        self.0.acquire(count)
    }
    fn release(&self, ticket: Ticket) {
        self.0.release(ticket);
    }
    fn run_down(&self) -> Option<WayOut> {
        self.0.run_down();
        None
    }
    fn complete(&self) {
        self.0.complete();
    }
    fn reinitialize(&self) {
        self.0.reinitialize();
    }
    fn word(&self) -> Option<usize> {
        None
    }
}

/// Refuses as it should and never waits.
#[derive(Default)]
pub(crate) struct DoesNotWait(AtomicUsize);

impl Reference for DoesNotWait {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, _: u32) -> bool {
        self.0.load(Relaxed) == 0
    }
    fn release(&self, _: Ticket) {}
    fn run_down(&self) -> Option<WayOut> {
        self.0.store(1, Relaxed);
        None
    }
    fn complete(&self) {}
    fn reinitialize(&self) {
        self.0.store(0, Relaxed);
    }
    fn word(&self) -> Option<usize> {
        None
    }
}

/// Grants when it should refuse.
pub(crate) struct NeverRefuses;

impl Reference for NeverRefuses {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, _: u32) -> bool {
        true
    }
    fn release(&self, _: Ticket) {}
    fn run_down(&self) -> Option<WayOut> {
        None
    }
    fn complete(&self) {}
    fn reinitialize(&self) {}
    fn word(&self) -> Option<usize> {
        None
    }
}

/// Its first wait takes long, and ends by itself.
#[derive(Clone)]
pub(crate) struct Stuck {
    waits: Arc<AtomicUsize>,
    first: Duration,
}

impl Stuck {
    pub(crate) fn new(first: Duration) -> Self {
        Self {
            waits: Arc::new(AtomicUsize::new(0)),
            first,
        }
    }

    pub(crate) fn reference(&self) -> Self {
        self.clone()
    }
}

impl Reference for Stuck {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, _: u32) -> bool {
        false
    }
    fn release(&self, _: Ticket) {}
    fn run_down(&self) -> Option<WayOut> {
        if self.waits.fetch_add(1, Relaxed) == 0 {
            thread::sleep(self.first);
        }
        Some(WayOut::Event)
    }
    fn complete(&self) {}
    fn reinitialize(&self) {}
    fn word(&self) -> Option<usize> {
        Some(0x51)
    }
}
