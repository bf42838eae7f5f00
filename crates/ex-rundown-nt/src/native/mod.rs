//! The system's own run-down protection, behind the crate's guards.

mod cache_aware;
mod plain;

use core::{
    fmt,
    sync::atomic::{
        AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use ex_rundown::{DISPATCH_LEVEL, Misuse, Platform, Protection, StaticProtection, WayOut};

pub use self::{cache_aware::CacheAware, plain::Plain};
use crate::{
    Nt,
    system::{KERNEL_MODE, KeDelayExecutionThread, KeGetCurrentIrql, NO},
};

/// The system's routines for one of its two references, as they are: with NT's rules, which the caller keeps.
///
/// # Safety
/// The methods are what `ExAcquireRundownProtection`, `ExReleaseRundownProtection`, `ExWaitForRundownProtectionRelease`,
/// `ExRundownCompleted` and `ExReInitializeRundownProtection` are documented to be; `release_at` touches the value no more once the
/// references are given back.
pub unsafe trait Routines: Send + Sync {
    /// Whether `reinitialize` makes the reference live part by part.
    const BY_SLOT: bool;

    /// Takes `count` references; by the routine without a count when it is 1. NT computes twice the count in 32 bits.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    fn acquire(&self, count: u32) -> bool;

    /// Gives `count` references back, which may be the end of `this`; by the routine without a count when it is 1.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// The caller owns so many, at least one, and gives them up; `this` is valid until then.
    unsafe fn release_at(this: *const Self, count: u32);

    /// Gives `count` references back, when `self` is known to outlive the call.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// The caller owns so many, at least one, and gives them up.
    #[inline]
    unsafe fn release(&self, count: u32) {
        // SAFETY: the caller's promise, handed on.
        unsafe { Self::release_at(self, count) };
    }

    /// Runs it down and waits.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// Nobody else waits, and no finished wait has left its pointer behind: the routine takes that for references, and hangs.
    unsafe fn wait(&self);

    /// Marks it as run down.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// No reference is out, and nobody waits.
    unsafe fn completed(&self);

    /// Makes it live again.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// No reference is out, and nobody waits.
    unsafe fn reinitialize(&self);
}

/// It is live, as far as the owner has come.
const LIVE: u32 = 0;
/// One thread waits, completes or re-initialises.
const BUSY: u32 = 1;
/// A wait has returned, and may have left its pointer behind.
const WAITED: u32 = 2;
/// It is run down, and nothing is left behind.
const COMPLETED: u32 = 3;
/// One thread re-initialises.
const RENEWING: u32 = 4;

/// How many references a counted acquire may ask for: with more, forgotten guards could wrap the system's count.
const MOST: u32 = u16::MAX as u32;

/// One of the system's references behind a safe interface: what NT answers with corruption or a hang is a
/// [misuse](Platform::misuse), or has no effect where that is documented.
///
/// Acquire and release are the system's routine and nothing else (on the cache-aware one an acquire reads a word besides). The owner's
/// operations take one exchange more, by which it is known where the owner is: NT's word does not tell a wait that goes on from one that
/// has returned.
///
/// # Invariants
///
/// 1. Only the thread that made `stage` busy or renewing calls the system's wait, completed or re-initialise, and only from the stage
///    that the routine's rules ask for.
/// 2. Of a reference that is renewed slot by slot, no acquire returns granted before all slots are live.
///
/// ```no_run
/// use ex_rundown_nt::NativeRundown;
/// use ex_rundown::Protection;
///
/// let reference = NativeRundown::new();
/// {
///     let _guard = reference.try_acquire().expect("live");
/// }
/// reference.wait();
/// assert!(reference.try_acquire().is_none());
/// ```
pub struct Native<R: Routines> {
    routines: R,
    stage: AtomicU32,
}

/// `EX_RUNDOWN_REF` and its routines as a [`Protection`].
pub type NativeRundown = Native<Plain>;

/// `EX_RUNDOWN_REF_CACHE_AWARE` and its routines as a [`Protection`].
///
/// The system's re-initialise goes from slot to slot, and a reference that is granted meanwhile and released on another processor would
/// follow a null pointer. So an acquire in that moment is refused at `DISPATCH_LEVEL`, and below it sleeps until the owner
/// is through.
pub type NativeCacheAware = Native<CacheAware>;

impl NativeRundown {
    /// A live reference.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: just made.
        unsafe { Self::over(Plain::new()) }
    }

    /// A reference that is run down: in a `static`, until the owner re-initialises it.
    ///
    /// # IRQL
    /// Any.
    #[must_use]
    pub const fn new_run_down() -> Self {
        Self {
            routines: Plain::run_down(),
            stage: AtomicU32::new(COMPLETED),
        }
    }
}

impl Default for NativeRundown {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: it is run down.
unsafe impl StaticProtection for NativeRundown {
    const RUN_DOWN: Self = Self::new_run_down();
}

impl NativeCacheAware {
    /// A live reference; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    #[must_use]
    pub fn new() -> Option<Self> {
        // SAFETY: just made.
        CacheAware::new().map(|routines| unsafe { Self::over(routines) })
    }
}

impl<R: Routines> Native<R> {
    /// A reference over any routines.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// `routines` is live: no reference is out, nobody waits, and an acquire is granted.
    pub const unsafe fn over(routines: R) -> Self {
        Self {
            routines,
            stage: AtomicU32::new(LIVE),
        }
    }

    /// The system's routines without the checks, and what they work on.
    ///
    /// ```no_run
    /// use ex_rundown_nt::NativeRundown;
    /// static REFERENCE: NativeRundown = NativeRundown::new_run_down();
    /// assert_eq!(REFERENCE.routines().word(), 1);
    /// ```
    pub const fn routines(&self) -> &R {
        &self.routines
    }

    /// Makes the stage `to`, if it is `from`; otherwise what it is.
    fn claim(&self, from: u32, to: u32) -> Result<(), u32> {
        // Acquire pairs with the Release of the thread that was busy before.
        self.stage.compare_exchange(from, to, AcqRel, Acquire).map(|_| ())
    }

    /// A granted acquire of a reference that may be renewed slot by slot at this moment. Whether it stays granted.
    #[cold]
    fn granted_while_renewed(&self, count: u32) -> bool {
        // SAFETY: no preconditions.
        if unsafe { KeGetCurrentIrql() } >= DISPATCH_LEVEL {
            if count != 0 {
                // SAFETY: granted, and given back in the slot that it was granted in: at this level nobody changes the processor.
                unsafe { self.routines.release(count) };
            }
            return false;
        }
        // The owner may be a thread of this processor that needs it.
        // Acquire pairs with the Release of `reinitialize`.
        while self.stage.load(Acquire) == RENEWING {
            // The shortest there is: the clock's next tick.
            let mut interval = -1;
            // SAFETY: below DISPATCH_LEVEL; the interval is read. Not alertable.
            let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &raw mut interval) };
        }
        true
    }

    fn misuse(&self, misuse: Misuse) -> ! {
        // Relaxed: for a report.
        Nt::misuse(misuse, self.stage.load(Relaxed) as usize)
    }
}

impl<R: Routines> fmt::Debug for Native<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: it is looked at, not followed.
        let stage = match self.stage.load(Relaxed) {
            LIVE => "live",
            BUSY => "busy",
            RENEWING => "renewing",
            _ => "run down",
        };
        f.debug_tuple("Native").field(&stage).finish()
    }
}

// SAFETY: 1, 2, 3 and 5 are the contract of the system's routines, whose rules invariants 1 and 2 keep; their counts cannot wrap, since
// they are at most `MOST` at a time. 4: the routines are behind `&R`, whose owner's operations are unsafe.
unsafe impl<R: Routines> Protection for Native<R> {
    type Ticket = ();

    #[inline]
    fn acquire(&self) -> bool {
        // Relaxed, ordered by the acquire before it, which has read what the owner's re-initialise has written there after it had
        // said `RENEWING`.
        self.routines.acquire(1)
            && (!R::BY_SLOT || self.stage.load(Relaxed) != RENEWING || self.granted_while_renewed(1))
    }

    /// As the trait's; more than 65535 are a [misuse](Misuse::TooManyReferences).
    fn acquire_ex(&self, count: u32) -> bool {
        if count > MOST {
            self.misuse(Misuse::TooManyReferences);
        }
        self.routines.acquire(count)
            && (!R::BY_SLOT || self.stage.load(Relaxed) != RENEWING || self.granted_while_renewed(count))
    }

    #[inline]
    unsafe fn release_at(this: *const Self) {
        // SAFETY: valid at this moment, says the caller; a field of it.
        let routines = unsafe { &raw const (*this).routines };
        // SAFETY: the caller's promise, handed on.
        unsafe { R::release_at(routines, 1) };
    }

    #[inline]
    unsafe fn release_ex_at(this: *const Self, count: u32) {
        if count != 0 {
            // SAFETY: as in `release_at`.
            let routines = unsafe { &raw const (*this).routines };
            // SAFETY: as in `release_at`.
            unsafe { R::release_at(routines, count) };
        }
    }

    /// As the trait's. The system does not tell how its wait ended, so the answer is [`WayOut::Untold`] after a wait.
    ///
    /// A wait while another thread waits is a [misuse](Misuse::ConcurrentWait).
    fn wait(&self) -> WayOut {
        match self.claim(LIVE, BUSY) {
            Ok(()) => {
                // SAFETY: live, so that no finished wait has left anything; nobody else waits (invariant 1).
                unsafe { self.routines.wait() };
                // Release pairs with the next claim.
                self.stage.store(WAITED, Release);
                WayOut::Untold
            }
            // As documented, a second wait has no effect and is not an error.
            Err(WAITED | COMPLETED) => WayOut::Drained,
            Err(_) => self.misuse(Misuse::ConcurrentWait),
        }
    }

    /// As the trait's, after a wait; before one it is a [misuse](Misuse::CompletedInUse), since the system does not say whether
    /// references are out.
    fn completed(&self) {
        match self.claim(WAITED, BUSY) {
            Ok(()) => {
                // SAFETY: the wait has returned, so no reference is out, and nobody waits (invariant 1).
                unsafe { self.routines.completed() };
                // Release pairs with the next claim.
                self.stage.store(COMPLETED, Release);
            }
            Err(COMPLETED) => {}
            Err(_) => self.misuse(Misuse::CompletedInUse),
        }
    }

    /// As the trait's; of a live reference it is a [misuse](Misuse::ReinitializedInUse).
    fn reinitialize(&self) {
        if self
            .claim(WAITED, RENEWING)
            .or_else(|_| self.claim(COMPLETED, RENEWING))
            .is_err()
        {
            self.misuse(Misuse::ReinitializedInUse);
        }
        // SAFETY: the wait has returned, so no reference is out, and nobody waits (invariant 1).
        unsafe { self.routines.reinitialize() };
        // Release pairs with the next claim, and with those whose acquire was granted meanwhile.
        self.stage.store(LIVE, Release);
    }
}
