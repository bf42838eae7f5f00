//! The plain run-down reference: one word.

use core::{
    marker::PhantomData,
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{
    AtomicUsize, Check, Misuse, Platform, State, Strict, WayOut, arch,
    sync::{Lifetime, constructor, fence},
    wait_block::{NoUnwind, WaitBlock},
    word::{self, ACTIVE},
};

/// Run-down protection for one object: an `EX_RUNDOWN_REF`, the same pointer-sized word with the same values.
///
/// `P` is the system that it runs on, `C` the [check policy](Check).
///
/// # Invariants
///
/// 1. While the word is live, it is twice the number of references outstanding.
/// 2. While it is `P | 1` and a wait is going on, `P` points to a live wait block, whose count is the number of
///    references outstanding.
/// 3. Under [`Strict`], `P | 1` means that a wait is going on.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::RundownRef;
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt>::new();
/// assert_eq!(reference.protect(|| "used"), Some("used"));
/// reference.wait();
/// assert_eq!(reference.protect(|| "used"), None);
/// ```
#[cfg_attr(not(ex_rundown_loom), repr(transparent))]
pub struct RundownRef<P, C = Strict> {
    pub(crate) word: AtomicUsize,
    /// The word's memory, for loom.
    pub(crate) memory: Lifetime,
    policy: PhantomData<fn() -> (P, C)>,
}

// The word is shared with C code.
#[cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
const _: () = {
    struct Nowhere;
    assert!(size_of::<RundownRef<Nowhere>>() == size_of::<usize>());
    assert!(align_of::<RundownRef<Nowhere>>() == align_of::<usize>());
};

impl<P> RundownRef<P> {
    constructor! {
        /// A live reference (`ExInitializeRundownProtection`).
        ///
        /// # IRQL
        /// Any.
        ///
        /// ```
        /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
        /// # type Nt = rundown_std::Std;
        /// use ex_rundown::{RundownRef, State};
        ///
        /// static DEVICE: RundownRef<Nt> = RundownRef::new();
        /// assert_eq!(DEVICE.state(), State::Live(0));
        /// ```
        #[must_use]
        pub const fn new() -> Self {
            Self::saying(State::Live(0))
        }
    }

    constructor! {
        /// A reference that starts disabled: run down until it is [re-initialised](Self::reinitialize).
        ///
        /// # IRQL
        /// Any.
        ///
        /// ```
        /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
        /// # type Nt = rundown_std::Std;
        /// # use ex_rundown::RundownRef;
        /// static DEVICE: RundownRef<Nt> = RundownRef::new_run_down();
        /// assert!(!DEVICE.acquire());
        /// DEVICE.reinitialize();
        /// assert!(DEVICE.try_acquire().is_some());
        /// ```
        #[must_use]
        pub const fn new_run_down() -> Self {
            Self::saying(State::RunDown)
        }
    }
}

impl<P, C> RundownRef<P, C> {
    constructor! {
        /// A live reference under any policy.
        ///
        /// # IRQL
        /// Any.
        ///
        /// # Safety
        /// Under [`Parity`](crate::Parity) whoever can reach the reference keeps the [rules](crate::Parity#rules).
        /// Under [`Strict`] there is nothing to keep.
        ///
        /// ```
        /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
        /// # type Nt = rundown_std::Std;
        /// use ex_rundown::{Parity, RundownRef, State};
        ///
        /// // SAFETY: nobody else has it, and it is acquired and released once.
        /// let reference = unsafe { RundownRef::<Nt, Parity>::with_policy() };
        /// assert!(reference.acquire());
        /// // SAFETY: acquired above.
        /// unsafe { reference.release() };
        /// ```
        #[must_use]
        pub const unsafe fn with_policy() -> Self {
            Self::saying(State::Live(0))
        }
    }

    constructor! {
        pub(crate) const fn saying(state: State) -> Self {
            Self {
                word: AtomicUsize::new(state.word()),
                memory: Lifetime::new(),
                policy: PhantomData,
            }
        }
    }

    /// What the word says at this moment; it may say something else at the next. For debuggers and tests.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the word is resident.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{RundownRef, State};
    /// let reference = RundownRef::<Nt>::new();
    /// let _guard = reference.try_acquire();
    /// assert_eq!(reference.state(), State::Live(1));
    /// ```
    #[must_use]
    pub fn state(&self) -> State {
        State::of(self.word.load(Relaxed))
    }
}

#[cfg(ex_rundown_loom)]
impl<P, C> Drop for RundownRef<P, C> {
    fn drop(&mut self) {
        self.memory.end();
    }
}

impl<P> Default for RundownRef<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P, C> core::fmt::Debug for RundownRef<P, C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("RundownRef").field(&self.state()).finish()
    }
}

impl<P: Platform, C: Check> RundownRef<P, C> {
    /// Takes a reference, unless run-down has begun (`ExAcquireRundownProtection`).
    ///
    /// `false` means: treat the object as gone. Hold a reference in a critical or guarded region, or at
    /// `DISPATCH_LEVEL`, when the waiter's time matters: a suspended holder suspends the waiter.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the word is resident.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::RundownRef;
    /// let reference = RundownRef::<Nt>::new();
    /// if reference.acquire() {
    ///     // ... use the object ...
    ///     // SAFETY: acquired above, and released once.
    ///     unsafe { reference.release() };
    /// }
    /// ```
    #[inline]
    #[must_use = "without the reference the object may go away at any time"]
    pub fn acquire(&self) -> bool {
        if C::CHECKED && word::IS_NARROW {
            return self.acquire_ex(1);
        }
        arch::prefetch_for_write(&self.word);
        match self.acquire_once() {
            Ok(_) => true,
            Err(now) => self.acquire_slow(now),
        }
    }

    /// One exchange: `Ok` of the old word if a reference was taken, else `Err` of the current one.
    #[inline]
    fn acquire_once(&self) -> Result<usize, usize> {
        let live = word::assume_live(self.word.load(Relaxed));
        // Acquire pairs with the Release of `reinitialize`: a holder sees the object as its owner set it up. A refusal
        // is Acquire too. Safety does not need it, but what the owner wrote before its wait is then visible to those
        // that it refuses.
        self.word
            .compare_exchange(live, live.wrapping_add(word::COUNT_INC), Acquire, Acquire)
    }

    /// A live word has only been won by another processor. It is left alone with it for one pause: two that fight for the
    /// line at every instruction get less done together.
    #[cold]
    #[inline(never)]
    fn acquire_slow(&self, mut value: usize) -> bool {
        while word::acquired(value).is_some() {
            arch::pause();
            match self.acquire_once() {
                Ok(_) => return true,
                Err(now) => value = now,
            }
        }
        false
    }

    /// Gives a reference back (`ExReleaseRundownProtection`), and wakes the waiter with the last one.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the word is resident.
    ///
    /// # Safety
    /// The caller owns a reference from [`acquire`](Self::acquire), its own or one handed to it, and gives it up.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::RundownRef;
    /// let reference = RundownRef::<Nt>::new();
    /// assert!(reference.acquire());
    /// std::thread::scope(|scope| {
    ///     // SAFETY: acquired above; this thread is handed the reference and releases it once.
    ///     scope.spawn(|| unsafe { reference.release() });
    ///     reference.wait();
    /// });
    /// ```
    #[inline]
    pub unsafe fn release(&self) {
        if let Err(now) = self.release_fast() {
            // SAFETY: the caller's promise, handed on; the exchange has not happened.
            unsafe { self.release_slow(now) };
        }
    }

    /// What a release does when nobody is in its way: `Ok` of the old word if the reference was given back, else `Err` of
    /// the current one.
    #[inline]
    pub(crate) fn release_fast(&self) -> Result<usize, usize> {
        self.memory.touch();
        arch::prefetch_for_write(&self.word);
        self.release_once()
    }

    /// One exchange at most: `Ok` of the old word if the reference was given back, else `Err` of the current one. A checking
    /// policy exchanges no word without a reference.
    #[inline]
    fn release_once(&self) -> Result<usize, usize> {
        let seen = self.word.load(Relaxed);
        let live = if C::CHECKED {
            // The one branch tells run-down as well, so what was read is expected as it is: the exchange waits for
            // the load alone, and not for an `and` behind it.
            if !word::is_held(seen) {
                // The pointer that may be in it is dereferenced: pairs with the waiter's exchange, which published
                // what it points to.
                fence(Acquire);
                return Err(seen);
            }
            seen
        } else {
            word::assume_live(seen)
        };
        // Release pairs with the waiter's exchange: what this holder did happens before `wait` returns. Failure is
        // Acquire for the same pointer's sake.
        self.word
            .compare_exchange(live, word::released(live), Release, Acquire)
    }

    /// # Safety
    /// As [`release`](Self::release); `value` is from [`release_once`](Self::release_once).
    #[cold]
    #[inline(never)]
    unsafe fn release_slow(&self, value: usize) {
        // SAFETY: the caller's promise, handed on.
        if unsafe { !self.release_unless_run_down(value) } {
            // Under both policies: NT goes on with the null pointer and crashes, which in Rust would be undefined
            // behaviour.
            P::misuse(Misuse::ReleaseAfterRundown, ACTIVE);
        }
    }

    /// Gives a reference back, unless the word says that it is run down: then `false`, and nothing has happened. The caller
    /// has just lost an exchange, or found nothing to exchange: hence the pause before each try.
    ///
    /// # Safety
    /// As [`release`](Self::release); `value` is what the word said.
    #[inline]
    pub(crate) unsafe fn release_unless_run_down(&self, mut value: usize) -> bool {
        loop {
            let block = match State::of(value) {
                State::Live(0) if C::CHECKED => P::misuse(Misuse::ReleaseWithoutAcquire, value),
                State::RunDown => return false,
                State::Live(_) => {
                    // As in `acquire_slow`.
                    arch::pause();
                    match self.release_once() {
                        Ok(_) => return true,
                        Err(now) => {
                            value = now;
                            continue;
                        }
                    }
                }
                State::Waiting(block) => block,
            };
            // SAFETY: invariant 2: the caller's reference is one of those that the block counts, since it was
            // not released on the word.
            unsafe { WaitBlock::release::<P, C>(WaitBlock::from_word(block), 1) };
            return true;
        }
    }

    /// Begins run-down and waits until every reference is given back (`ExWaitForRundownProtectionRelease`).
    ///
    /// From its first moment every acquire is refused, and that stays so when it has returned. On a reference that
    /// is run down it returns at once. Only one thread may wait at a time, and one that holds a reference itself
    /// waits for ever.
    ///
    /// Returns how the wait ended; useful for statistics.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as Microsoft documents it. Like NT's it also works at `DISPATCH_LEVEL`, beyond what the
    /// documentation allows, where it polls with no deadline: its holders must run on other processors, and for
    /// less time than the DPC watchdog grants.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{RundownRef, WayOut};
    /// let reference = RundownRef::<Nt>::new();
    /// assert_eq!(reference.wait(), WayOut::Drained);
    /// assert_eq!(reference.wait(), WayOut::Drained, "a second wait has no effect and is not an error");
    /// ```
    #[allow(clippy::must_use_candidate, reason = "how it ended is for those who count")]
    pub fn wait(&self) -> WayOut {
        // Success: AcqRel, Acquire for the references released on the word before, Release as every exchange that
        // begins run-down. Failure: Acquire, since an old value of 1 returns at once.
        match self
            .word
            .compare_exchange(State::Live(0).word(), ACTIVE, AcqRel, Acquire)
        {
            Ok(_) | Err(ACTIVE) => WayOut::Drained,
            Err(value) => self.wait_slow(value),
        }
    }

    #[cold]
    #[inline(never)]
    fn wait_slow(&self, mut value: usize) -> WayOut {
        let block = WaitBlock::<P::Event>::spinning();
        let published = block.word();
        let references = loop {
            if C::CHECKED && matches!(State::of(value), State::Waiting(_)) {
                P::misuse(Misuse::ConcurrentWait, value);
            }
            let references = value >> 1;
            block.set_count(references);
            // Release publishes the block to the releasers. Acquire: references that were released on the word
            // before this reach the waiter by no other path.
            match self.word.compare_exchange_weak(value, published, AcqRel, Relaxed) {
                Ok(_) => break references,
                Err(now) => value = now,
            }
        };
        let no_unwind = NoUnwind::begin();
        let way_out = if references == 0 {
            WayOut::Drained
        } else {
            block.wait::<P>()
        };
        if C::CHECKED {
            // Invariant 3. Release pairs with the Acquire of a later wait, which returns at once. It fails when
            // the reference was completed or re-initialised meanwhile, which those two report.
            let _ = self.word.compare_exchange(published, ACTIVE, Release, Relaxed);
        }
        no_unwind.end();
        way_out
    }

    /// Marks the reference as run down (`ExRundownCompleted`); after a wait, and optional.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as Microsoft documents it; nothing here depends on it.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{RundownRef, State};
    /// let reference = RundownRef::<Nt>::new();
    /// reference.wait();
    /// reference.completed();
    /// assert_eq!(reference.state(), State::RunDown);
    /// ```
    pub fn completed(&self) {
        self.replace(State::RunDown, Misuse::CompletedInUse);
    }

    /// Makes the reference live again (`ExReInitializeRundownProtection`); only after a wait.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as Microsoft documents it; nothing here depends on it.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::RundownRef;
    /// let reference = RundownRef::<Nt>::new();
    /// reference.wait();
    /// reference.reinitialize();
    /// assert!(reference.try_acquire().is_some());
    /// ```
    pub fn reinitialize(&self) {
        self.replace(State::Live(0), Misuse::ReinitializedInUse);
    }

    fn replace(&self, state: State, misuse: Misuse) {
        if !C::CHECKED {
            // Release pairs with the Acquire of an acquire, granted or refused: it sees what the owner wrote before.
            self.word.swap(state.word(), Release);
            return;
        }
        // Checked before the exchange: misuse leaves the word as it was found.
        let mut value = self.word.load(Relaxed);
        while matches!(State::of(value), State::Live(0) | State::RunDown) {
            // Release as above.
            match self
                .word
                .compare_exchange_weak(value, state.word(), Release, Relaxed)
            {
                Ok(_) => return,
                Err(now) => value = now,
            }
        }
        P::misuse(misuse, value);
    }
}

crate::protection::protection!(
    RundownRef<P: Platform>,
    "let reference = ex_rundown::RundownRef::<Nt>::new();"
);

// SAFETY: its word says that it is run down.
#[cfg(not(ex_rundown_loom))]
unsafe impl<P: Platform> crate::StaticProtection for RundownRef<P> {
    const RUN_DOWN: Self = Self::new_run_down();
}
