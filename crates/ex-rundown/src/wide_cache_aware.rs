//! The wide run-down reference with a word per processor.

use core::{
    cell::UnsafeCell,
    fmt,
    panic::RefUnwindSafe,
    ptr,
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{
    AtomicPtr, AtomicUsize, MemoryError, Misuse, Parity, PoolPlatform, WayOut,
    lines::Lines,
    sync::Lifetime,
    wait_block::{NoUnwind, WaitBlock},
    word::{self, ACTIVE, COUNT_INC, Refused},
};

/// What `waiter` says while `completed` or `reinitialize` is at work. No block lies there.
const REPLACING: *mut () = ptr::without_provenance_mut(1);

/// Run-down protection for one object that all processors use all the time, at any level up to `DISPATCH_LEVEL`: acquire and release are an
/// addition that cannot fail, on a cache line of the processor's own. Ours alone: its layout is **not** NT's.
///
/// It is to the [wide reference](crate::WideRundownRef) what the [cache-aware](crate::CacheAwareRundownRef) one is to the plain one. Each processor
/// has a word that says what the wide reference's `state` says: while it is even, it is twice the number of references acquired there less those
/// released there, which may be negative; while it is odd, everything above bit 0 is noise, since a refused acquire leaves its addition there. `waiter` is
/// common to all.
///
/// # Invariants
///
/// 1. Who sets `waiter`, when it was null, has the words' changes from even to odd and back to himself. The word of processor 0 is the first to become
///    odd and the last to become even.
/// 2. A block is set before any word is odd because of it, and goes only when the last reference was released and its releaser is done. So
///    who releases a reference, finds a word odd and finds a block in `waiter`, finds the block of the waiter that counts this reference.
/// 3. A word that is odd with no block in `waiter` while a reference is out has not been re-initialised yet. Such a reference is given back in
///    another word, which is even for as long: the one that it was acquired in, if no other.
/// 4. The exchanges that make the words odd take the numbers out of them, and their sum is that of the references that are given back in the block.
/// 5. A counted acquire takes no word beyond its share of `isize::MAX`. So the sum is exact.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{WayOut, WideCacheAwareRundownRef};
/// # type Nt = rundown_std::Std;
/// let reference = WideCacheAwareRundownRef::<Nt>::new()?;
/// assert_eq!(reference.protect(|| "used"), Some("used"));
/// assert_eq!(reference.wait(), WayOut::Drained);
/// assert_eq!(reference.protect(|| "used"), None);
/// # Ok::<(), ex_rundown::MemoryError>(())
/// ```
#[repr(C)]
pub struct WideCacheAwareRundownRef<P: PoolPlatform> {
    waiter: AtomicPtr<()>,
    /// Nobody changes it. In an `UnsafeCell` for the same reason as the cache-aware reference's header.
    words: UnsafeCell<Lines<P>>,
    /// The words' memory, for loom.
    memory: Lifetime,
}

// SAFETY: an atomic word, and others that are reached by way of a table that does not change.
unsafe impl<P: PoolPlatform> Send for WideCacheAwareRundownRef<P> {}
// SAFETY: as above.
unsafe impl<P: PoolPlatform> Sync for WideCacheAwareRundownRef<P> {}
impl<P: PoolPlatform> RefUnwindSafe for WideCacheAwareRundownRef<P> {}

impl<P: PoolPlatform> WideCacheAwareRundownRef<P> {
    /// A live reference, with its words in the platform's pool until it is dropped.
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
    /// let reference = ex_rundown::WideCacheAwareRundownRef::<Nt>::new()?;
    /// assert!(reference.try_acquire().is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn new() -> Result<Self, MemoryError> {
        Self::saying(0)
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
    /// let reference = ex_rundown::WideCacheAwareRundownRef::<Nt>::new_run_down()?;
    /// assert!(!reference.acquire());
    /// reference.reinitialize();
    /// assert!(reference.try_acquire().is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn new_run_down() -> Result<Self, MemoryError> {
        Self::saying(ACTIVE)
    }

    fn saying(word: usize) -> Result<Self, MemoryError> {
        let words = Lines::new()?;
        for each in words.iter() {
            // Relaxed: nobody else has it yet.
            each.store(word, Relaxed);
        }
        Ok(Self {
            waiter: AtomicPtr::new(ptr::null_mut()),
            words: UnsafeCell::new(words),
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
    /// # use ex_rundown::{ProcessorPlatform, WideCacheAwareRundownRef};
    /// assert!(WideCacheAwareRundownRef::<Nt>::pool_bytes()? >= Nt::cache_line() * Nt::processor_count() as usize);
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn pool_bytes() -> Result<usize, MemoryError> {
        Lines::<P>::bytes()
    }

    #[inline]
    fn words(&self) -> &Lines<P> {
        // SAFETY: changed by nobody.
        unsafe { &*self.words.get() }
    }

    /// The word of the processor that this runs on, at this moment.
    #[inline]
    fn own(&self) -> &AtomicUsize {
        let processor = P::processor_number();
        let number = self.words().number();
        // As the cache-aware reference's slot: reduced for a platform that numbers its processors with gaps.
        let index = if processor < number {
            processor
        } else {
            reduced(processor, number)
        };
        // SAFETY: below the number.
        unsafe { self.words().get(index) }
    }

    /// The word that says whether all are run down.
    fn first(&self) -> &AtomicUsize {
        // SAFETY: there is one at least.
        unsafe { self.words().get(0) }
    }

    /// How many references are outstanding, as far as one look at each word tells while others count; `None` when run-down has begun.
    /// For debuggers and tests.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// let reference = ex_rundown::WideCacheAwareRundownRef::<Nt>::new()?;
    /// let _guard = reference.try_acquire();
    /// assert_eq!(reference.outstanding(), Some(1));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use]
    pub fn outstanding(&self) -> Option<usize> {
        let live = self.words().iter().all(|word| word.load(Relaxed) & ACTIVE == 0);
        live.then(|| self.words().sum() / COUNT_INC)
    }

    /// Takes a reference, unless run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::WideCacheAwareRundownRef::<Nt>::new()?;
    /// if reference.acquire() {
    ///     // SAFETY: acquired above, and released once.
    ///     unsafe { reference.release() };
    /// }
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    #[must_use = "without the reference the object may go away at any time"]
    pub fn acquire(&self) -> bool {
        // Acquire pairs with the Release of `reinitialize`: a holder sees the object as its owner set it up.
        // Refused, the addition stays.
        self.own().fetch_add(COUNT_INC, Acquire) & ACTIVE == 0
    }

    /// Gives a reference back, on whichever processor this runs, and wakes the waiter with the last one.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// The caller owns a reference, and gives it up.
    ///
    /// ```
    /// // See `acquire`.
    /// ```
    #[inline]
    pub unsafe fn release(&self) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.give_back(1) };
    }

    /// # Safety
    /// As [`release`](Self::release), for `count` references, at least one.
    #[inline]
    unsafe fn give_back(&self, count: u32) {
        self.memory.touch();
        // Release pairs with the waiter's exchange: what this holder did happens before `wait` returns. Acquire
        // pairs with the same exchange when the old value is odd: the waiter's block is then visible.
        let old = self.own().fetch_sub(count as usize * COUNT_INC, AcqRel);
        if old & ACTIVE != 0 {
            // SAFETY: the caller's promise, handed on; what was subtracted from is noise.
            unsafe { self.give_back_elsewhere(count) };
        }
    }

    /// # Safety
    /// As [`give_back`](Self::give_back).
    #[cold]
    #[inline(never)]
    unsafe fn give_back_elsewhere(&self, count: u32) {
        loop {
            self.memory.touch();
            // Acquire: what it points to is dereferenced.
            let block = self.waiter.load(Acquire);
            if !block.is_null() && block != REPLACING {
                // Unchecked, since the count may be below zero. From here on this touches none of the words.
                // SAFETY: invariants 2 and 4.
                unsafe { WaitBlock::<P::Event>::release::<P, Parity>(block.cast(), count as usize) };
                return;
            }
            // Invariant 3. The last one is the first to be re-initialised.
            if self.words().iter().rev().any(|word| less(word, count)) {
                return;
            }
            // None is even: nothing can be out, unless a waiter has come since.
            let now = self.waiter.load(Acquire);
            if now == block {
                P::misuse(Misuse::ReleaseAfterRundown, ACTIVE);
            }
        }
    }

    /// Takes `count` references, unless run-down has begun.
    ///
    /// A count of 0 changes nothing and returns whether run-down has not begun. A count for which no word has room is a
    /// [misuse](Misuse::TooManyReferences), and changes nothing.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::WideCacheAwareRundownRef::<Nt>::new()?;
    /// assert!(reference.acquire_ex(3));
    /// // SAFETY: acquired above, and released once.
    /// unsafe { reference.release_ex(3) };
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use = "without the references the object may go away at any time"]
    pub fn acquire_ex(&self, count: u32) -> bool {
        let most = isize::MAX >> (u32::BITS - self.words().number().leading_zeros());
        // Then whichever has room: one processor may acquire by the thousand million what others release.
        for word in core::iter::once(self.own()).chain(self.words().iter()) {
            match more(word, count, most) {
                Ok(()) => return true,
                Err(Refused::RunDown) => return false,
                Err(Refused::Full) => {}
            }
        }
        P::misuse(Misuse::TooManyReferences, self.own().load(Relaxed))
    }

    /// Gives `count` references back, and wakes the waiter with the last one.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// The caller owns `count` references, and gives them up.
    ///
    /// ```
    /// // See `acquire_ex`.
    /// ```
    #[inline]
    pub unsafe fn release_ex(&self, count: u32) {
        // A caller that owns nothing must not reach into a waiter's frame.
        if count != 0 {
            // SAFETY: the caller's promise, handed on.
            unsafe { self.give_back(count) };
        }
    }

    /// Begins run-down and waits until every reference is given back. As [`WideRundownRef::wait`](crate::WideRundownRef::wait).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`; beyond that as the plain reference's.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{WayOut, WideCacheAwareRundownRef};
    /// let reference = WideCacheAwareRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.wait(), WayOut::Drained);
    /// assert_eq!(reference.wait(), WayOut::Drained, "a second wait has no effect and is not an error");
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[allow(clippy::must_use_candidate, reason = "how it ended is for those who count")]
    pub fn wait(&self) -> WayOut {
        // Acquire: when it is run down, the wait returns from here.
        let word = self.first().load(Acquire);
        if word & ACTIVE != 0 {
            // Acquire pairs with the store at the end of the other wait.
            let waiter = self.waiter.load(Acquire);
            // Only what is not waited for can be re-initialised: it was run down before that began.
            if waiter.is_null() || waiter == REPLACING {
                return WayOut::Drained;
            }
            P::misuse(Misuse::ConcurrentWait, word);
        }
        let block = WaitBlock::<P::Event>::spinning();
        // Release publishes the block, Acquire pairs with the store at the end of the wait before.
        if self
            .waiter
            .compare_exchange(ptr::null_mut(), block.address(), AcqRel, Acquire)
            .is_err()
        {
            P::misuse(Misuse::ConcurrentWait, word);
        }
        let no_unwind = NoUnwind::begin();
        // When somebody has run it down meanwhile, who is done, nobody is inside.
        let sum = self.take_all().unwrap_or(0);
        if sum > isize::MAX.cast_unsigned() {
            P::misuse(Misuse::ReleaseWithoutAcquire, sum);
        }
        // Nobody was inside; or all of them have left meanwhile, and none found itself the last.
        let way_out = if sum == 0 || block.add_to_count(sum / COUNT_INC) {
            block.end();
            WayOut::Drained
        } else {
            block.wait::<P>()
        };
        // Release pairs with the Acquire of a later wait.
        self.waiter.store(ptr::null_mut(), Release);
        no_unwind.end();
        way_out
    }

    /// Makes every word odd, and gives the sum of what they said; `None` when somebody who is done has run them down meanwhile.
    fn take_all(&self) -> Option<usize> {
        let mut sum = 0_usize;
        for word in self.words().iter() {
            // Release publishes the block to the releasers that find the word odd. Acquire: references that were
            // released in it before reach the waiter by no other path.
            let old = word.swap(ACTIVE, AcqRel);
            if old & ACTIVE != 0 {
                // Invariant 1: it is the first, and the others are odd as well.
                return None;
            }
            sum = sum.wrapping_add(old);
        }
        Some(sum)
    }

    /// Marks it as run down; after a wait, and optional.
    ///
    /// It is a wait on a live reference that nobody holds, and changes nothing on one that is run down.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as its namesake.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::WideCacheAwareRundownRef;
    /// let reference = WideCacheAwareRundownRef::<Nt>::new()?;
    /// reference.wait();
    /// reference.completed();
    /// assert_eq!(reference.outstanding(), None);
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn completed(&self) {
        // Acquire: what is run down is done with.
        let word = self.first().load(Acquire);
        if !self.waiter.load(Acquire).is_null() {
            P::misuse(Misuse::CompletedInUse, word);
        }
        if word & ACTIVE == 0 {
            let sum = self.words().sum();
            if sum != 0 {
                P::misuse(Misuse::CompletedInUse, sum);
            }
            // Nothing is out, so this does not sleep; what comes in at the same moment is waited for.
            self.wait();
        }
    }

    /// Makes it live again; only after a wait.
    ///
    /// It goes from word to word, and whoever tries to acquire meanwhile is granted a word that had its turn. Such a reference may be
    /// released on any processor.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as its namesake; nothing here depends on it.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::WideCacheAwareRundownRef;
    /// let reference = WideCacheAwareRundownRef::<Nt>::new()?;
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
        if claim.is_err() {
            P::misuse(Misuse::ReinitializedInUse, ACTIVE);
        }
        // Relaxed, here: invariant 1.
        let sum = if self.first().load(Relaxed) & ACTIVE == 0 {
            // Live, and left as it is; only the sum counts.
            self.words().sum()
        } else {
            // Invariant 1: the first one last.
            for word in self.words().iter().rev() {
                // Release pairs with the Acquire of an acquire in this word. What it wipes out is noise. An exchange, as the additions are:
                // loom does not know that a store cannot come between what an addition reads and what it writes.
                word.swap(0, Release);
            }
            0
        };
        // Release pairs with the Acquire of who sets it next.
        self.waiter.store(ptr::null_mut(), Release);
        if sum != 0 {
            P::misuse(Misuse::ReinitializedInUse, sum);
        }
    }
}

#[cold]
#[inline(never)]
fn reduced(processor: u32, number: u32) -> u32 {
    processor.checked_rem(number).unwrap_or(0)
}

/// Adds references to a word that is even and has room.
fn more(word: &AtomicUsize, count: u32, most: isize) -> Result<(), Refused> {
    // Acquire as in `acquire`.
    let mut value = word.load(Acquire);
    loop {
        let next = word::acquired_ex(value, count, most)?;
        match word.compare_exchange_weak(value, next, Acquire, Acquire) {
            Ok(_) => return Ok(()),
            Err(now) => value = now,
        }
    }
}

/// Subtracts references from a word, unless it is odd.
fn less(word: &AtomicUsize, count: u32) -> bool {
    // Acquire: who finds it odd because of a new waiter looks for that one's block next.
    let mut value = word.load(Acquire);
    while value & ACTIVE == 0 {
        let next = value.wrapping_sub(count as usize * COUNT_INC);
        // Release as in `release`, and Acquire as above.
        match word.compare_exchange_weak(value, next, Release, Acquire) {
            Ok(_) => return true,
            Err(now) => value = now,
        }
    }
    false
}

#[cfg(ex_rundown_loom)]
impl<P: PoolPlatform> Drop for WideCacheAwareRundownRef<P> {
    fn drop(&mut self) {
        // A model that has failed looks at nothing any more.
        if !std::thread::panicking() {
            self.memory.end();
        }
    }
}

impl<P: PoolPlatform> fmt::Debug for WideCacheAwareRundownRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WideCacheAwareRundownRef")
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

crate::protection::protection!(
    WideCacheAwareRundownRef<P: PoolPlatform>,
    "let reference = ex_rundown::WideCacheAwareRundownRef::<Nt>::new().expect(\"memory\");"
);
