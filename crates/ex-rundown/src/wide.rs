//! The wide run-down reference: two words, and one unconditional addition per operation.

use core::{
    marker::PhantomData,
    ptr,
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{
    AtomicPtr, AtomicUsize, Check, Misuse, Platform, Strict, WayOut,
    sync::{Lifetime, constructor},
    wait_block::{NoUnwind, WaitBlock},
    word::{self, ACTIVE, COUNT_INC, Refused},
};

/// What `waiter` says while `completed` or `reinitialize` is at work. No block lies there.
const REPLACING: *mut () = ptr::without_provenance_mut(1);

/// Run-down protection for one object in two words, of which acquire and release touch one, once each, by an
/// addition that cannot fail. Ours alone: its layout is **not** NT's.
///
/// | `state` | `waiter` | meaning |
/// |---|---|---|
/// | `2n` | null | live, with `n` references outstanding |
/// | `2n` | `B` | live; a waiter is about to begin run-down |
/// | odd | `B` | run-down has begun; `B` is the wait block on the waiter's stack |
/// | odd | null | run down |
/// | any | 1 | `completed` or `reinitialize` is at work |
///
/// While `state` is odd, everything above bit 0 is noise: a refused acquire leaves its addition there and undoes
/// nothing. Additions of 2 never change bit 0, so the noise may wrap, and re-initialise wipes it out. The obvious
/// design, which undoes, is wrong: `docs/wide.md` in the repository tells why.
///
/// # Invariants
///
/// 1. While `state` is even, it is twice the number of references outstanding.
/// 2. `waiter` is set before `state` becomes odd by a wait, and null again only when the last reference was released
///    and its releaser is done. So whoever releases a reference while `state` is odd finds its waiter's block; and under
///    [`Strict`], who finds `waiter` null and sets it, be it a wait, `completed` or `reinitialize`, has the change from
///    live to run down and back to himself.
/// 3. The exchange that makes `state` odd takes the number of references out of it. Each of these is subtracted from
///    the block's count once, by a releaser that found `state` odd; and the waiter adds the number once.
///
/// Unlike the plain reference's, the block's count starts at 0 and may go below, since a releaser may find the block
/// before the waiter has added. Whoever brings it to zero, the waiter or a releaser, is the last.
///
/// The [check policy](Check) concerns [`release`](Self::release), whose detection costs a branch,
/// [`acquire_ex`](Self::acquire_ex), whose limit costs an exchange that can fail, [`completed`](Self::completed) and
/// [`reinitialize`](Self::reinitialize). The waits that NT lets hang are detected under both policies, because here that
/// costs nothing.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{WayOut, WideRundownRef};
/// # type Nt = rundown_std::Std;
/// let reference = WideRundownRef::<Nt>::new();
/// assert_eq!(reference.protect(|| "used"), Some("used"));
/// assert_eq!(reference.wait(), WayOut::Drained);
/// assert_eq!(reference.protect(|| "used"), None);
/// ```
#[repr(C)]
pub struct WideRundownRef<P, C = Strict> {
    state: AtomicUsize,
    waiter: AtomicPtr<()>,
    /// The two words' memory, for loom.
    memory: Lifetime,
    policy: PhantomData<fn() -> (P, C)>,
}

impl<P> WideRundownRef<P> {
    constructor! {
        /// A live reference.
        ///
        /// # IRQL
        /// Any.
        ///
        /// ```
        /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
        /// # type Nt = rundown_std::Std;
        /// # use ex_rundown::WideRundownRef;
        /// static DEVICE: WideRundownRef<Nt> = WideRundownRef::new();
        /// assert!(DEVICE.try_acquire().is_some());
        /// ```
        #[must_use]
        pub const fn new() -> Self {
            Self::saying(0)
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
        /// # use ex_rundown::WideRundownRef;
        /// static DEVICE: WideRundownRef<Nt> = WideRundownRef::new_run_down();
        /// assert!(!DEVICE.acquire());
        /// DEVICE.reinitialize();
        /// assert!(DEVICE.try_acquire().is_some());
        /// ```
        #[must_use]
        pub const fn new_run_down() -> Self {
            Self::saying(ACTIVE)
        }
    }
}

impl<P, C> WideRundownRef<P, C> {
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
        /// use ex_rundown::{Parity, WideRundownRef};
        ///
        /// // SAFETY: nobody else has it, and it is acquired and released once.
        /// let reference = unsafe { WideRundownRef::<Nt, Parity>::with_policy() };
        /// assert!(reference.acquire());
        /// // SAFETY: acquired above.
        /// unsafe { reference.release() };
        /// ```
        #[must_use]
        pub const unsafe fn with_policy() -> Self {
            Self::saying(0)
        }
    }

    constructor! {
        const fn saying(state: usize) -> Self {
            Self {
                state: AtomicUsize::new(state),
                waiter: AtomicPtr::new(ptr::null_mut()),
                memory: Lifetime::new(),
                policy: PhantomData,
            }
        }
    }

    /// How many references are outstanding at this moment; `None` when run-down has begun. For debuggers and tests.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::WideRundownRef;
    /// let reference = WideRundownRef::<Nt>::new();
    /// let _guard = reference.try_acquire();
    /// assert_eq!(reference.outstanding(), Some(1));
    /// ```
    #[must_use]
    pub fn outstanding(&self) -> Option<usize> {
        let state = self.state.load(Relaxed);
        (state & ACTIVE == 0).then_some(state / COUNT_INC)
    }
}

#[cfg(ex_rundown_loom)]
impl<P, C> Drop for WideRundownRef<P, C> {
    fn drop(&mut self) {
        self.memory.end();
    }
}

impl<P> Default for WideRundownRef<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P, C> core::fmt::Debug for WideRundownRef<P, C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WideRundownRef")
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

impl<P: Platform, C: Check> WideRundownRef<P, C> {
    /// Takes a reference, unless run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::WideRundownRef::<Nt>::new();
    /// if reference.acquire() {
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
        // Acquire pairs with the Release of `reinitialize`: a holder sees the object as its owner set it up.
        // Refused, the addition stays: see the type's documentation.
        self.state.fetch_add(COUNT_INC, Acquire) & ACTIVE == 0
    }

    /// Gives a reference back, and wakes the waiter with the last one.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// The caller owns a reference, and gives it up.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::WideRundownRef::<Nt>::new();
    /// assert!(reference.acquire());
    /// // SAFETY: acquired above, and released once.
    /// unsafe { reference.release() };
    /// ```
    #[inline]
    pub unsafe fn release(&self) {
        self.memory.touch();
        // Release pairs with the waiter's exchange: what this holder did happens before `wait` returns. Acquire
        // pairs with the same exchange when the old value is odd: the waiter's block is then visible.
        let old = self.state.fetch_sub(COUNT_INC, AcqRel);
        let given_back = if C::CHECKED {
            word::is_held(old)
        } else {
            old & ACTIVE == 0
        };
        if !given_back {
            // SAFETY: the caller's promise, handed on; the reference was not released in `state`.
            unsafe { self.release_slow(old, 1) };
        }
    }

    /// # Safety
    /// The caller owns `references` references that a waiter counted, or `old` shows misuse.
    #[cold]
    #[inline(never)]
    unsafe fn release_slow(&self, old: usize, references: usize) {
        if old & ACTIVE == 0 {
            self.misuse_of_release(Misuse::ReleaseWithoutAcquire, old, references);
        }
        self.memory.touch();
        // Acquire: what it points to is dereferenced. Invariant 2: it is the block of the waiter that counted.
        let block = self.waiter.load(Acquire);
        if block.is_null() || block == REPLACING {
            self.misuse_of_release(Misuse::ReleaseAfterRundown, old, references);
        }
        // Unchecked, since the count may be below zero. From here on this touches neither word.
        // SAFETY: invariants 2 and 3.
        unsafe { WaitBlock::<P::Event>::release::<P, crate::Parity>(block.cast(), references) };
    }

    /// The subtraction is what found the misuse. It is undone, so that a dump shows the state as it was.
    fn misuse_of_release(&self, misuse: Misuse, old: usize, references: usize) -> ! {
        // Relaxed: it only counts.
        self.state.fetch_add(references.wrapping_mul(COUNT_INC), Relaxed);
        P::misuse(misuse, old)
    }

    /// Takes `count` references, unless run-down has begun.
    ///
    /// A count of 0 changes nothing and returns whether run-down has not begun. Under [`Strict`] a count that would take the
    /// state beyond `isize::MAX` is a [misuse](Misuse::TooManyReferences) and leaves it as it is, as
    /// [`RundownRef::acquire_ex`](crate::RundownRef::acquire_ex) does; else it wraps.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::WideRundownRef;
    /// let reference = WideRundownRef::<Nt>::new();
    /// assert!(reference.acquire_ex(3));
    /// assert_eq!(reference.outstanding(), Some(3));
    /// // SAFETY: acquired above, and released once.
    /// unsafe { reference.release_ex(3) };
    /// ```
    #[inline]
    #[must_use = "without the references the object may go away at any time"]
    pub fn acquire_ex(&self, count: u32) -> bool {
        if !C::CHECKED {
            // As `acquire`.
            return self.state.fetch_add(word::exact(count).unwrap_or(0), Acquire) & ACTIVE == 0;
        }
        // An addition would change the state before it is seen to be too much. Acquire as in `acquire`.
        let mut value = self.state.load(Acquire);
        loop {
            let more = match word::acquired_ex(value, count, isize::MAX) {
                Ok(more) => more,
                Err(Refused::RunDown) => return false,
                Err(Refused::Full) => P::misuse(Misuse::TooManyReferences, value),
            };
            match self.state.compare_exchange_weak(value, more, Acquire, Acquire) {
                Ok(_) => return true,
                Err(now) => value = now,
            }
        }
    }

    /// Gives `count` references back, and wakes the waiter with the last one.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// The caller owns `count` references, and gives them up.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::WideRundownRef::<Nt>::new();
    /// assert!(reference.acquire_ex(2));
    /// // SAFETY: acquired above, and released once.
    /// unsafe { reference.release_ex(2) };
    /// ```
    #[inline]
    pub unsafe fn release_ex(&self, count: u32) {
        // A caller that owns nothing must not reach into a waiter's frame.
        if count == 0 {
            return;
        }
        self.memory.touch();
        let amount = word::exact(count).unwrap_or(0);
        // As `release`.
        let old = self.state.fetch_sub(amount, AcqRel);
        if old & ACTIVE != 0 || (C::CHECKED && old < amount) {
            // SAFETY: the caller's promise, handed on; the references were not released in `state`.
            unsafe { self.release_slow(old, count as usize) };
        }
    }

    /// Begins run-down and waits until every reference is given back. As [`RundownRef::wait`](crate::RundownRef::wait).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`; beyond that as the plain reference's.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{WayOut, WideRundownRef};
    /// let reference = WideRundownRef::<Nt>::new();
    /// assert_eq!(reference.wait(), WayOut::Drained);
    /// assert_eq!(reference.wait(), WayOut::Drained, "a second wait has no effect and is not an error");
    /// ```
    #[allow(clippy::must_use_candidate, reason = "how it ended is for those who count")]
    pub fn wait(&self) -> WayOut {
        // Acquire: when it is run down, the wait returns from here.
        let state = self.state.load(Acquire);
        if state & ACTIVE != 0 {
            // Acquire pairs with the store at the end of the other wait.
            let waiter = self.waiter.load(Acquire);
            // Only what is not waited for can be replaced: it was run down before that began.
            if waiter.is_null() || waiter == REPLACING {
                return WayOut::Drained;
            }
            P::misuse(Misuse::ConcurrentWait, state);
        }
        let block = WaitBlock::<P::Event>::spinning();
        // Release publishes the block, Acquire pairs with the store at the end of the wait before.
        if self
            .waiter
            .compare_exchange(ptr::null_mut(), block.address(), AcqRel, Acquire)
            .is_err()
        {
            P::misuse(Misuse::ConcurrentWait, state);
        }
        let no_unwind = NoUnwind::begin();
        // Release publishes the block to the releasers that find the state odd. Acquire: references that were
        // released in the state before reach the waiter by no other path.
        let old = self.state.swap(ACTIVE, AcqRel);
        let references = old / COUNT_INC;
        let way_out = if old & ACTIVE != 0 || references == 0 || block.add_to_count(references) {
            // Completed meanwhile; or nobody was inside; or all of them have left meanwhile, and none found itself
            // the last.
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

    /// Marks the reference as run down; after a wait, and optional.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as its namesake; nothing here depends on it.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::WideRundownRef;
    /// let reference = WideRundownRef::<Nt>::new();
    /// reference.wait();
    /// reference.completed();
    /// assert_eq!(reference.outstanding(), None);
    /// ```
    pub fn completed(&self) {
        self.replace(ACTIVE, Misuse::CompletedInUse);
    }

    /// Makes the reference live again; only after a wait.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as its namesake; nothing here depends on it.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::WideRundownRef;
    /// let reference = WideRundownRef::<Nt>::new();
    /// reference.wait();
    /// reference.reinitialize();
    /// assert_eq!(reference.outstanding(), Some(0));
    /// ```
    pub fn reinitialize(&self) {
        self.replace(0, Misuse::ReinitializedInUse);
    }

    fn replace(&self, state: usize, misuse: Misuse) {
        if !C::CHECKED {
            // Release pairs with the Acquire of an acquire, granted or refused: it sees what the owner wrote before.
            self.state.swap(state, Release);
            return;
        }
        // Acquire pairs with the Release at the end of a wait, and of another one of these.
        let claim = self
            .waiter
            .compare_exchange(ptr::null_mut(), REPLACING, Acquire, Relaxed);
        // Checked before the exchange: misuse leaves the state as it was found.
        let mut value = self.state.load(Relaxed);
        let mut replaced = false;
        while claim.is_ok() && !replaced && (value & ACTIVE != 0 || value == 0) {
            // Release as above. It fails when a refused acquire has added, and then this tries again.
            match self.state.compare_exchange_weak(value, state, Release, Relaxed) {
                Ok(_) => replaced = true,
                Err(now) => value = now,
            }
        }
        if claim.is_ok() {
            // Release pairs with the Acquire of who sets it next.
            self.waiter.store(ptr::null_mut(), Release);
        }
        if !replaced {
            P::misuse(misuse, value);
        }
    }
}

crate::protection::protection!(
    WideRundownRef<P: Platform>,
    "let reference = ex_rundown::WideRundownRef::<Nt>::new();"
);

// SAFETY: its word says that it is run down.
#[cfg(not(ex_rundown_loom))]
unsafe impl<P: Platform> crate::StaticProtection for WideRundownRef<P> {
    const RUN_DOWN: Self = Self::new_run_down();
}
