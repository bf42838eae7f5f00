//! The run-down reference for `DISPATCH_LEVEL`: a counter per processor, and no locked instruction.

use core::{
    cell::UnsafeCell,
    fmt,
    panic::RefUnwindSafe,
    ptr,
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{
    AtDispatchLevel, AtMostApcLevel, AtomicPtr, AtomicUsize, DispatchPlatform, Guard, MemoryError, Misuse,
    Parity, Protection, WayOut,
    lines::Lines,
    sync::Lifetime,
    wait_block::{NoUnwind, WaitBlock},
};

/// What `waiter` says while `completed` or `reinitialize` is at work. No block lies there.
const REPLACING: *mut () = ptr::without_provenance_mut(1);

/// What `run_down` says while the reference is live.
const LIVE: usize = 0;
/// What it says from the moment in which run-down begins.
const RUN_DOWN: usize = 1;

/// Run-down protection for one object that is used at `DISPATCH_LEVEL`, by as many processors as there are: acquire and release
/// are a load, a branch and an ordinary addition on a cache line that only this processor writes. Ours alone: NT has none.
///
/// What makes that possible is the caller's proof of being at `DISPATCH_LEVEL`, an [`AtDispatchLevel`]: its thread is not preempted and
/// not moved between the load and the store. The price is the owner's: [`wait`](Self::wait) disturbs every processor once.
/// `docs/dispatch.md` in the repository has the argument, and the cases in which this is the wrong reference.
///
/// | `run_down` | `waiter` | meaning |
/// |---|---|---|
/// | 0 | null | live |
/// | 0 | `B` | live; a waiter is about to begin run-down |
/// | 1 | `B` | run-down has begun; `B` is the wait block on the waiter's stack |
/// | 1 | null | run down |
/// | any | 1 | `completed` or `reinitialize` is at work |
///
/// # Invariants
///
/// 1. A section (see [`DispatchPlatform`]) that finds `run_down` clear adds to its own processor's counter, and to no other; one that finds
///    it set adds to none.
/// 2. Who sets `waiter`, when it was null, has the change from live to run down and back to himself. A block is set before `run_down`
///    is, and goes only when the last reference was released and its releaser is done.
/// 3. After the grace period that follows the setting of `run_down`, nobody writes a counter until the owner clears it, and their sum is the
///    number of references that were outstanding, plus those that were given back in the block already. Any one may be negative: a reference
///    may be released on another processor than it was acquired on.
/// 4. A counted acquire takes no counter beyond its share of `isize::MAX`. So the sum is exact.
///
/// From there on all is as in the [wide reference](crate::WideRundownRef): the waiter adds the sum to its block's count, which may be below
/// zero by then, and whoever brings that to zero is the last.
///
/// A caller that is not at `DISPATCH_LEVEL` raises the IRQL for the moment; [`Protection`]'s operations, and what is
/// [`from_below`](Self::try_acquire_from_below), do it by themselves.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{AtDispatchLevel, DispatchRundownRef, WayOut};
/// # type Nt = rundown_std::Std;
/// let reference = DispatchRundownRef::<Nt>::new()?;
///
/// // As a DPC's routine does, by `assume`.
/// // SAFETY: nothing in here lowers the IRQL.
/// let used = unsafe { AtDispatchLevel::raise(|level| reference.protect(level, || "used")) };
/// assert_eq!(used, Some("used"));
///
/// assert_eq!(reference.wait(), WayOut::Drained);
/// assert!(reference.try_acquire_from_below().is_none());
/// # Ok::<(), ex_rundown::MemoryError>(())
/// ```
#[repr(C)]
pub struct DispatchRundownRef<P: DispatchPlatform> {
    /// Read by everybody, and written by the owner only.
    run_down: AtomicUsize,
    waiter: AtomicPtr<()>,
    /// Nobody changes it. In an `UnsafeCell` for the same reason as the cache-aware reference's header: the memory may go before the
    /// release that was the last one has returned.
    counters: UnsafeCell<Lines<P>>,
    /// The words' memory, for loom.
    memory: Lifetime,
}

// SAFETY: atomic words, and counters that are reached by way of them.
unsafe impl<P: DispatchPlatform> Send for DispatchRundownRef<P> {}
// SAFETY: as above; the counters' table does not change.
unsafe impl<P: DispatchPlatform> Sync for DispatchRundownRef<P> {}
impl<P: DispatchPlatform> RefUnwindSafe for DispatchRundownRef<P> {}

impl<P: DispatchPlatform> DispatchRundownRef<P> {
    /// A live reference, with its counters in the platform's pool until it is dropped.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`] when the pool is, [`MemoryError::NoProcessors`] when the platform counts none.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`; the drop `<= DISPATCH_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// let reference = ex_rundown::DispatchRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.outstanding(), Some(0));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn new() -> Result<Self, MemoryError> {
        Self::saying(LIVE)
    }

    /// A reference that starts disabled: run down until it is [re-initialised](Self::reinitialize).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # IRQL
    /// As [`new`](Self::new).
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// let reference = ex_rundown::DispatchRundownRef::<Nt>::new_run_down()?;
    /// assert!(reference.try_acquire_from_below().is_none());
    /// reference.reinitialize();
    /// assert!(reference.try_acquire_from_below().is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn new_run_down() -> Result<Self, MemoryError> {
        Self::saying(RUN_DOWN)
    }

    fn saying(run_down: usize) -> Result<Self, MemoryError> {
        Ok(Self {
            run_down: AtomicUsize::new(run_down),
            waiter: AtomicPtr::new(ptr::null_mut()),
            counters: UnsafeCell::new(Lines::new()?),
            memory: Lifetime::new(),
        })
    }

    /// The bytes of pool that a reference takes beside itself.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{DispatchRundownRef, ProcessorPlatform};
    /// assert!(DispatchRundownRef::<Nt>::pool_bytes()? >= Nt::cache_line() * Nt::processor_count() as usize);
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn pool_bytes() -> Result<usize, MemoryError> {
        Lines::<P>::bytes()
    }

    #[inline]
    fn counters(&self) -> &Lines<P> {
        // SAFETY: changed by nobody.
        unsafe { &*self.counters.get() }
    }

    /// The counter of the processor that this is kept on.
    #[inline]
    fn own(&self, level: &AtDispatchLevel<P>) -> &AtomicUsize {
        level.debug_check();
        // SAFETY: so numbers are, says the platform.
        unsafe { self.counters().get(level.processor()) }
    }

    /// How many references are outstanding, as far as one look at each counter tells while others count; `None` when run-down has begun.
    /// For debuggers and tests.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// let reference = ex_rundown::DispatchRundownRef::<Nt>::new()?;
    /// let _guard = reference.try_acquire_from_below();
    /// assert_eq!(reference.outstanding(), Some(1));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use]
    pub fn outstanding(&self) -> Option<usize> {
        (self.run_down.load(Relaxed) == LIVE).then(|| self.counters().sum())
    }

    /// Takes a reference, unless run-down has begun.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`, as `level` proves. The reference may be kept below.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AtDispatchLevel, DispatchRundownRef};
    /// # let reference = DispatchRundownRef::<Nt>::new()?;
    /// // SAFETY: nothing in here lowers the IRQL.
    /// unsafe {
    ///     AtDispatchLevel::raise(|level| {
    ///         if reference.acquire(level) {
    ///             // Acquired above, and released once.
    ///             reference.release(level);
    ///         }
    ///     });
    /// }
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    #[must_use = "without the reference the object may go away at any time"]
    pub fn acquire(&self, level: &AtDispatchLevel<P>) -> bool {
        // Acquire pairs with the Release of `reinitialize`: a holder sees the object as its owner set it up, and the counter
        // as the owner cleared it.
        if self.run_down.load(Acquire) != LIVE {
            return refused();
        }
        let counter = self.own(level);
        // Relaxed: the section orders them, before the next one here and before the end of a grace period.
        counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
        true
    }

    /// Gives a reference back, and wakes the waiter with the last one. It may have been acquired on any processor.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`, as `level` proves.
    ///
    /// # Safety
    /// The caller owns a reference, and gives it up.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// // See `acquire`.
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AtDispatchLevel, DispatchRundownRef};
    /// # let reference = DispatchRundownRef::<Nt>::new()?;
    /// # // SAFETY: nothing in here lowers the IRQL, and what is released was acquired.
    /// # unsafe { AtDispatchLevel::raise(|level| assert!(reference.acquire(level))) };
    /// // SAFETY: nothing in here lowers the IRQL, and it was acquired before.
    /// unsafe { AtDispatchLevel::raise(|level| reference.release(level)) };
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    pub unsafe fn release(&self, level: &AtDispatchLevel<P>) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.give_back(level, 1) };
    }

    /// # Safety
    /// As [`release`](Self::release), for `count` references, at least one.
    #[inline]
    unsafe fn give_back(&self, level: &AtDispatchLevel<P>, count: u32) {
        self.memory.touch();
        // Acquire pairs with the exchange of the wait: the waiter's block is then visible.
        if self.run_down.load(Acquire) == LIVE {
            let counter = self.own(level);
            // Relaxed: as in `acquire`. What this holder did is before the section, or in it.
            counter.store(counter.load(Relaxed).wrapping_sub(count as usize), Relaxed);
        } else {
            // SAFETY: the caller's promise, handed on; the references were given back nowhere.
            unsafe { self.give_back_to_waiter(count) };
        }
    }

    /// # Safety
    /// The caller owns `count` references, at least one, and gives them up.
    #[cold]
    #[inline(never)]
    unsafe fn give_back_to_waiter(&self, count: u32) {
        self.memory.touch();
        // Acquire: what it points to is dereferenced. Invariant 2: it is the block of the waiter that counts these.
        let block = self.waiter.load(Acquire);
        if block.is_null() || block == REPLACING {
            P::misuse(Misuse::ReleaseAfterRundown, block.addr());
        }
        // Unchecked, since the count may be below zero. From here on this touches none of the words.
        // SAFETY: invariants 2 and 3.
        unsafe { WaitBlock::<P::Event>::release::<P, Parity>(block.cast(), count as usize) };
    }

    /// Takes `count` references, unless run-down has begun.
    ///
    /// A count of 0 changes nothing and returns whether run-down has not begun. A count that would take this processor's counter beyond its
    /// share of `isize::MAX` is a [misuse](Misuse::TooManyReferences) and leaves it as it is.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`, as `level` proves.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AtDispatchLevel, DispatchRundownRef};
    /// # let reference = DispatchRundownRef::<Nt>::new()?;
    /// // SAFETY: nothing in here lowers the IRQL, and what is released was acquired.
    /// unsafe {
    ///     AtDispatchLevel::raise(|level| {
    ///         assert!(reference.acquire_ex(level, 3));
    ///         reference.release_ex(level, 3);
    ///     });
    /// }
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    #[must_use = "without the references the object may go away at any time"]
    pub fn acquire_ex(&self, level: &AtDispatchLevel<P>, count: u32) -> bool {
        // Acquire as in `acquire`.
        let granted = self.run_down.load(Acquire) == LIVE;
        if granted {
            let counter = self.own(level);
            let now = counter.load(Relaxed);
            match now.cast_signed().checked_add_unsigned(count as usize) {
                // Relaxed: as in `acquire`.
                Some(more) if more <= self.most() => counter.store(more.cast_unsigned(), Relaxed),
                _ => P::misuse(Misuse::TooManyReferences, now),
            }
        }
        granted
    }

    /// What a counter may say at most after a counted acquire: by a shift, as the cache-aware reference's slots.
    fn most(&self) -> isize {
        isize::MAX >> (u32::BITS - self.counters().number().leading_zeros())
    }

    /// Gives `count` references back, and wakes the waiter with the last one.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`, as `level` proves.
    ///
    /// # Safety
    /// The caller owns `count` references, and gives them up.
    ///
    /// ```
    /// // See `acquire_ex`.
    /// ```
    #[inline]
    pub unsafe fn release_ex(&self, level: &AtDispatchLevel<P>, count: u32) {
        // A caller that owns nothing must not reach into a waiter's frame.
        if count != 0 {
            // SAFETY: the caller's promise, handed on.
            unsafe { self.give_back(level, count) };
        }
    }

    /// Takes a reference at any level up to `DISPATCH_LEVEL` and gives it back when the guard is dropped; both raise the IRQL for
    /// the moment. `None` when run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`; so is the guard's drop.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// let reference = ex_rundown::DispatchRundownRef::<Nt>::new()?;
    /// let guard = reference.try_acquire_from_below();
    /// assert!(guard.is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    pub fn try_acquire_from_below(&self) -> Option<Guard<'_, Self>> {
        Protection::acquire(self).then(|| Guard::new(self, ()))
    }

    /// Begins run-down, lets a [grace period](DispatchPlatform::grace_period) pass, and waits until every reference is given back.
    ///
    /// On a reference that is run down it returns at once. As with the others, one thread waits at a time.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, or a reference that is run down. Else it is a [misuse](Misuse::WaitAtDispatchLevel), found before run-down begins.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{DispatchRundownRef, WayOut};
    /// let reference = DispatchRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.wait(), WayOut::Drained);
    /// assert_eq!(reference.wait(), WayOut::Drained, "a second wait has no effect and is not an error");
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[allow(clippy::must_use_candidate, reason = "how it ended is for those who count")]
    pub fn wait(&self) -> WayOut {
        // Acquire: when it is run down, the wait returns from here.
        if self.run_down.load(Acquire) != LIVE {
            // Acquire pairs with the store at the end of the other wait.
            let waiter = self.waiter.load(Acquire);
            // Only what is not waited for can be re-initialised: it was run down before that began.
            if waiter.is_null() || waiter == REPLACING {
                return WayOut::Drained;
            }
            P::misuse(Misuse::ConcurrentWait, waiter.addr());
        }
        let Some(level) = AtMostApcLevel::check::<P>() else {
            P::misuse(Misuse::WaitAtDispatchLevel, LIVE);
        };
        let block = WaitBlock::<P::Event>::spinning();
        // Release publishes the block, Acquire pairs with the store at the end of the wait before.
        if let Err(waiter) = self
            .waiter
            .compare_exchange(ptr::null_mut(), block.address(), AcqRel, Acquire)
        {
            P::misuse(Misuse::ConcurrentWait, waiter.addr());
        }
        let no_unwind = NoUnwind::begin();
        // Release publishes the block to the releasers that find it set.
        let way_out = if self.run_down.swap(RUN_DOWN, AcqRel) == LIVE {
            // From its end on, nobody who has found it clear is left.
            P::grace_period(&level);
            self.wait_for_the_sum(&block)
        } else {
            // Run down meanwhile, and by somebody who is done: `waiter` was null.
            block.end();
            WayOut::Drained
        };
        // Release pairs with the Acquire of a later wait.
        self.waiter.store(ptr::null_mut(), Release);
        no_unwind.end();
        way_out
    }

    /// After the grace period: invariant 3.
    #[inline]
    fn wait_for_the_sum(&self, block: &WaitBlock<P::Event>) -> WayOut {
        let references = self.counters().sum();
        if references > isize::MAX.cast_unsigned() {
            P::misuse(Misuse::ReleaseWithoutAcquire, references);
        }
        // Nobody was inside; or all of them have left meanwhile, and none found itself the last.
        if references == 0 || block.add_to_count(references) {
            block.end();
            WayOut::Drained
        } else {
            block.wait::<P>()
        }
    }

    /// Marks it as run down; after a wait, and optional.
    ///
    /// It is a wait on a live reference that nobody holds, and changes nothing on one that is run down.
    ///
    /// # IRQL
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::DispatchRundownRef;
    /// let reference = DispatchRundownRef::<Nt>::new()?;
    /// reference.wait();
    /// reference.completed();
    /// assert_eq!(reference.outstanding(), None);
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn completed(&self) {
        // Acquire: what is run down is done with.
        let run_down = self.run_down.load(Acquire) != LIVE;
        let waiter = self.waiter.load(Acquire);
        if !waiter.is_null() {
            P::misuse(Misuse::CompletedInUse, waiter.addr());
        }
        if !run_down {
            let references = self.counters().sum();
            if references != 0 {
                P::misuse(Misuse::CompletedInUse, references);
            }
            // Nothing is out, so this does not sleep; what comes in at the same moment is waited for.
            self.wait();
        }
    }

    /// Makes it live again; only after a wait.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as its namesakes; nothing here depends on it.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::DispatchRundownRef;
    /// let reference = DispatchRundownRef::<Nt>::new()?;
    /// reference.wait();
    /// reference.reinitialize();
    /// assert_eq!(reference.outstanding(), Some(0));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn reinitialize(&self) {
        // Acquire pairs with the Release at the end of a wait, and of another one of these.
        let claim = self
            .waiter
            .compare_exchange(ptr::null_mut(), REPLACING, Acquire, Relaxed);
        if let Err(waiter) = claim {
            P::misuse(Misuse::ReinitializedInUse, waiter.addr());
        }
        // Relaxed, here and below: invariant 2.
        let references = if self.run_down.load(Relaxed) == LIVE {
            // Live, and left as it is; only the sum counts.
            self.counters().sum()
        } else {
            // Invariant 3: a wait has ended, so nobody else writes them, and nobody is counted.
            for counter in self.counters().iter() {
                counter.store(0, Relaxed);
            }
            // Release pairs with the Acquire of an acquire.
            self.run_down.store(LIVE, Release);
            0
        };
        // Release pairs with the Acquire of who sets it next.
        self.waiter.store(ptr::null_mut(), Release);
        if references != 0 {
            P::misuse(Misuse::ReinitializedInUse, references);
        }
    }
}

#[cfg(ex_rundown_loom)]
impl<P: DispatchPlatform> Drop for DispatchRundownRef<P> {
    fn drop(&mut self) {
        // A model that has failed looks at nothing any more.
        if !std::thread::panicking() {
            self.memory.end();
        }
    }
}

impl<P: DispatchPlatform> fmt::Debug for DispatchRundownRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatchRundownRef")
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

/// What a newcomer is told once run-down has begun; out of line, so that what is granted is the straight way.
#[cold]
#[inline(never)]
const fn refused() -> bool {
    false
}

/// Runs `body` in a section of its own, or as a part of the one that this is in.
#[inline]
fn from_below<P: DispatchPlatform, R>(body: impl FnOnce(&AtDispatchLevel<P>) -> R) -> R {
    // SAFETY: what this file runs in it lowers nothing.
    unsafe { AtDispatchLevel::raise(body) }
}

// SAFETY: that is what the type is for; `docs/dispatch.md` argues it, and its loom models check it.
unsafe impl<P: DispatchPlatform> Protection for DispatchRundownRef<P> {
    type Ticket = ();

    #[inline]
    fn acquire(&self) -> bool {
        from_below(|level| Self::acquire(self, level))
    }
    #[inline]
    fn acquire_ex(&self, count: u32) -> bool {
        from_below(|level| Self::acquire_ex(self, level, count))
    }
    #[inline]
    unsafe fn release_at(this: *const Self) {
        // All of it lies in `UnsafeCell`s, so that this promises nothing about its memory.
        // SAFETY: valid at this moment, says the caller.
        let this = unsafe { &*this };
        // SAFETY: the caller's promise, handed on.
        from_below(|level| unsafe { this.release(level) });
    }
    #[inline]
    unsafe fn release_ex_at(this: *const Self, count: u32) {
        // SAFETY: as in `release_at`.
        let this = unsafe { &*this };
        // SAFETY: as in `release_at`.
        from_below(|level| unsafe { this.release_ex(level, count) });
    }
    fn wait(&self) -> WayOut {
        self.wait()
    }
    fn completed(&self) {
        self.completed();
    }
    fn reinitialize(&self) {
        self.reinitialize();
    }
}
