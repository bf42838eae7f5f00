//! The references under stress, as the engine wants them.

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CacheAwareRundownRef, DispatchRundownRef, Protection, RundownRef, WayOut,
    WideCacheAwareRundownRef, WideRundownRef,
};
use rundown_stress::{Reference, Ticket};

use crate::kernel::{NativeCacheAware, NativeRundown, Nt, Routines};

/// One of ours.
pub(super) struct Ours<R>(R);

/// What the engine asks of ours beyond their protocol.
pub(super) trait Kind: Protection + Send + Sync + Sized {
    /// A live one; `None` when there is no pool left.
    fn new() -> Option<Self>;

    /// The word, of one that is a word of NT's layout.
    fn word(&self) -> Option<usize> {
        None
    }

    /// Bytes of pool beside the value itself.
    fn bytes() -> usize {
        0
    }
}

impl Kind for RundownRef<Nt> {
    fn new() -> Option<Self> {
        Some(Self::new())
    }

    fn word(&self) -> Option<usize> {
        Some(self.state().word())
    }
}

impl Kind for WideRundownRef<Nt> {
    fn new() -> Option<Self> {
        Some(Self::new())
    }
}

impl Kind for AllocatedCacheAwareRundownRef<Nt> {
    fn new() -> Option<Self> {
        Self::new().ok()
    }

    fn bytes() -> usize {
        CacheAwareRundownRef::<Nt>::size_of().unwrap_or(usize::MAX)
    }
}

impl Kind for WideCacheAwareRundownRef<Nt> {
    fn new() -> Option<Self> {
        Self::new().ok()
    }

    fn bytes() -> usize {
        Self::pool_bytes().unwrap_or(usize::MAX)
    }
}

/// Each operation raises the IRQL for itself, if it is not at `DISPATCH_LEVEL` already, as in DPCs it is.
impl Kind for DispatchRundownRef<Nt> {
    fn new() -> Option<Self> {
        Self::new().ok()
    }

    fn bytes() -> usize {
        Self::pool_bytes().unwrap_or(usize::MAX)
    }
}

/// A reference that can be made.
pub(super) trait New: Reference + Send + Sized {
    /// A live one; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn new() -> Option<Self>;

    /// Bytes of pool beside the value itself.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn bytes() -> usize {
        0
    }
}

impl<R: Kind> New for Ours<R> {
    fn new() -> Option<Self> {
        R::new().map(Self)
    }

    fn bytes() -> usize {
        R::bytes()
    }
}

impl<R: Kind> Reference for Ours<R> {
    // A cache-aware release looks for a slot that is live.
    const RELEASED_ANYWHERE: bool = true;

    #[inline]
    fn acquire(&self, count: u32) -> bool {
        match count {
            1 => self.0.acquire(),
            count => self.0.acquire_ex(count),
        }
    }

    #[inline]
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

/// One of the system's.
pub(super) struct Native<R>(R);

/// What the engine asks of the system's beyond their routines.
pub(super) trait NativeKind: Routines + Sized {
    /// A live one; `None` when there is no pool left.
    fn new() -> Option<Self>;

    /// The word, of one that is a word.
    fn word(&self) -> Option<usize>;

    /// Bytes of pool beside the value itself.
    fn bytes() -> usize;
}

impl NativeKind for NativeRundown {
    fn new() -> Option<Self> {
        Some(Self::new())
    }

    fn word(&self) -> Option<usize> {
        Some(self.word())
    }

    fn bytes() -> usize {
        0
    }
}

impl NativeKind for NativeCacheAware {
    fn new() -> Option<Self> {
        Self::new()
    }

    fn word(&self) -> Option<usize> {
        None
    }

    fn bytes() -> usize {
        Self::bytes()
    }
}

impl<R: NativeKind> New for Native<R> {
    fn new() -> Option<Self> {
        R::new().map(Self)
    }

    fn bytes() -> usize {
        R::bytes()
    }
}

impl<R: NativeKind> Reference for Native<R> {
    const RELEASED_ANYWHERE: bool = !R::BY_SLOT;

    #[inline]
    fn acquire(&self, count: u32) -> bool {
        self.0.acquire(count)
    }

    #[inline]
    fn release(&self, ticket: Ticket) {
        // SAFETY: the engine's ticket stands for so many references of this, and is handed in once.
        unsafe { self.0.release(ticket.count()) };
    }

    fn run_down(&self) -> Option<WayOut> {
        // SAFETY: the engine has one owner, who completes and re-initialises between two waits.
        unsafe { self.0.wait() };
        // The system's routine does not tell how its wait ended.
        None
    }

    fn complete(&self) {
        // SAFETY: after the wait, so no reference is out.
        unsafe { self.0.completed() };
    }

    fn reinitialize(&self) {
        // SAFETY: after the wait, so no reference is out.
        unsafe { self.0.reinitialize() };
    }

    fn word(&self) -> Option<usize> {
        self.0.word()
    }
}

impl New for rundown_stress::EmptyCall {
    fn new() -> Option<Self> {
        Some(Self)
    }
}

impl New for rundown_stress::LockXadd {
    fn new() -> Option<Self> {
        Some(Self::new())
    }
}
