//! What the three references have in common.

use crate::{CountedGuard, Guard, WayOut};

/// Run-down protection of an object, by whichever reference: what guards and [`Rundown`](crate::Rundown) build on.
///
/// Each method is the type's own of the same name; see [`RundownRef`](crate::RundownRef). It is implemented under
/// [`Strict`](crate::Strict) alone: what [`Parity`](crate::Parity) counts is not always what was granted.
///
/// # Safety
///
/// 1. A granted acquire of `n` references is `n` references: from it until as many are given back, [`wait`](Self::wait)
///    does not return.
/// 2. From the return of `wait` to the next [`reinitialize`](Self::reinitialize), no acquire is granted.
/// 3. What a holder did before its release happens before `wait` returns, and what happened before `reinitialize` happens
///    before an acquire that it allows.
/// 4. The value is the only way to the protection's state, as far as safe code goes: whoever owns it knows every call of
///    `wait`, [`completed`](Self::completed) and `reinitialize`. So a handle that is cloned is no `Protection`.
/// 5. [`release_at`](Self::release_at) and [`release_ex_at`](Self::release_ex_at) touch the value no more once the references
///    are given back: its memory may be gone then.
/// 6. [`hold`](Self::hold) and [`hold_ex`](Self::hold_ex) are acquires, [`let_go_at`](Self::let_go_at) and
///    [`let_go_ex_at`](Self::let_go_ex_at) are releases, with all that is said of those; the other methods that take or give a
///    [`Ticket`](Self::Ticket) change nothing of the protection.
///
/// 1 and 2 may rely on it that `wait`, `completed` and `reinitialize` are called by one thread at a time, and that no call
/// ended in [misuse](crate::Misuse) before.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Protection, RundownRef, WayOut, WideRundownRef};
/// # type Nt = rundown_std::Std;
/// fn run_down(protection: &impl Protection) -> WayOut {
///     protection.wait()
/// }
/// assert_eq!(run_down(&RundownRef::<Nt>::new()), WayOut::Drained);
/// assert_eq!(run_down(&WideRundownRef::<Nt>::new()), WayOut::Drained);
/// ```
pub unsafe trait Protection {
    /// What a guard keeps of its acquire, to be found among the holders: `()` where nobody records them, which is everywhere but in
    /// [`Tracked`](crate::Tracked).
    type Ticket: Copy + Default + Send;

    /// Takes a reference, unless run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    fn acquire(&self) -> bool;

    /// Takes `count` references, unless run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    fn acquire_ex(&self, count: u32) -> bool;

    /// Gives a reference back, which may be the end of `this`: the owner may free its memory before this has returned.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// `this` is valid until the reference is given back; the caller owns the reference and gives it up.
    unsafe fn release_at(this: *const Self);

    /// Gives `count` references back, which may be the end of `this`, as [`release_at`](Self::release_at).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// As [`release_at`](Self::release_at), for `count` references.
    unsafe fn release_ex_at(this: *const Self, count: u32);

    /// Gives a reference back, when `self` is known to outlive the call.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// The caller owns a reference and gives it up.
    #[inline]
    unsafe fn release(&self) {
        // SAFETY: the caller's promise, handed on.
        unsafe { Self::release_at(self) };
    }

    /// Gives `count` references back, when `self` is known to outlive the call.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// The caller owns `count` references and gives them up.
    #[inline]
    unsafe fn release_ex(&self, count: u32) {
        // SAFETY: the caller's promise, handed on.
        unsafe { Self::release_ex_at(self, count) };
    }

    /// [Acquires](Self::acquire) for a guard.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    #[inline]
    fn hold(&self) -> Option<Self::Ticket> {
        self.acquire().then(Self::Ticket::default)
    }

    /// [Acquires](Self::acquire_ex) `count` references for a guard.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    #[inline]
    fn hold_ex(&self, count: u32) -> Option<Self::Ticket> {
        self.acquire_ex(count).then(Self::Ticket::default)
    }

    /// [Gives back](Self::release_at) what a guard holds.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// As [`release_at`](Self::release_at).
    #[inline]
    unsafe fn let_go_at(this: *const Self, _ticket: Self::Ticket) {
        // SAFETY: the caller's promise, handed on.
        unsafe { Self::release_at(this) };
    }

    /// [Gives back](Self::release_ex_at) the `count` references that a guard holds.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    ///
    /// # Safety
    /// As [`release_ex_at`](Self::release_ex_at).
    #[inline]
    unsafe fn let_go_ex_at(this: *const Self, _ticket: Self::Ticket, count: u32) {
        // SAFETY: the caller's promise, handed on.
        unsafe { Self::release_ex_at(this, count) };
    }

    /// A guard is taken apart, and its references go on without it.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    #[inline]
    fn set_aside(&self, _ticket: Self::Ticket) {}

    /// A guard is put together of `count` references that went on without one.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    #[inline]
    fn take_up(&self, _count: u32) -> Self::Ticket {
        Self::Ticket::default()
    }

    /// One of a guard's references goes to a guard of its own.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    #[inline]
    fn split(&self, _ticket: Self::Ticket) -> Self::Ticket {
        Self::Ticket::default()
    }

    /// Takes a reference and gives it back when the guard is dropped; `None` when run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident; so is the guard's drop.
    #[expect(
        clippy::inline_always,
        reason = "the holder's address is that of the code around it"
    )]
    #[inline(always)]
    fn try_acquire(&self) -> Option<Guard<'_, Self>>
    where
        Self: Sized,
    {
        let ticket = self.hold()?;
        Some(Guard::new(self, ticket))
    }

    /// Takes `count` references and gives them back when the guard is dropped; `None` when run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident; so is the guard's drop.
    #[expect(clippy::inline_always, reason = "as `try_acquire`")]
    #[inline(always)]
    fn try_acquire_ex(&self, count: u32) -> Option<CountedGuard<'_, Self>>
    where
        Self: Sized,
    {
        let ticket = self.hold_ex(count)?;
        Some(CountedGuard::new(self, ticket, count))
    }

    /// Runs `body` under protection; `None`, without running it, when run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the reference is resident.
    #[expect(clippy::inline_always, reason = "as `try_acquire`")]
    #[inline(always)]
    fn protect<T>(&self, body: impl FnOnce() -> T) -> Option<T>
    where
        Self: Sized,
    {
        let _guard = self.try_acquire()?;
        Some(body())
    }

    /// Begins run-down and waits until every reference is given back.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn wait(&self) -> WayOut;

    /// Marks it as run down.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn completed(&self);

    /// Makes it live again, after a wait.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn reinitialize(&self);
}

/// A [`Protection`] that can be made in a constant, run down: what a `static` [`Rundown`](crate::Rundown) without data begins with.
///
/// # Safety
/// [`RUN_DOWN`](Self::RUN_DOWN) grants no acquire until it is re-initialised.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Protection, RundownRef, StaticProtection};
/// # type Nt = rundown_std::Std;
/// let reference = <RundownRef<Nt> as StaticProtection>::RUN_DOWN;
/// assert!(!reference.acquire());
/// reference.reinitialize();
/// assert!(reference.try_acquire().is_some());
/// ```
#[cfg(not(ex_rundown_loom))]
pub unsafe trait StaticProtection: Protection + Sized {
    /// A new one, run down.
    const RUN_DOWN: Self;
}

/// The forms that are the same for each reference: guards, the closure, and [`Protection`] itself. `$example` makes
/// a live `reference` for the examples.
macro_rules! protection {
    ($type:ident<P: $platform:ident>, $example:literal) => {
        impl<P: $crate::$platform> $type<P> {
            /// Takes a reference and gives it back when the guard is dropped; `None` when run-down has begun.
            ///
            /// # IRQL
            /// `<= DISPATCH_LEVEL` if the reference is resident; so is the guard's drop.
            ///
            /// ```
            /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
            /// # type Nt = rundown_std::Std;
            #[doc = $example]
            /// let guard = reference.try_acquire();
            /// assert!(guard.is_some());
            /// drop(guard);
            /// reference.wait();
            /// assert!(reference.try_acquire().is_none());
            /// ```
            #[inline]
            pub fn try_acquire(&self) -> Option<$crate::Guard<'_, Self>> {
                self.acquire().then(|| $crate::Guard::new(self, ()))
            }

            /// Takes `count` references and gives them back when the guard is dropped; `None` when run-down has
            /// begun.
            ///
            /// # IRQL
            /// `<= DISPATCH_LEVEL` if the reference is resident; so is the guard's drop.
            ///
            /// ```
            /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
            /// # type Nt = rundown_std::Std;
            #[doc = $example]
            /// let requests = reference.try_acquire_ex(16).expect("live");
            /// assert_eq!(requests.count(), 16);
            /// ```
            #[inline]
            pub fn try_acquire_ex(&self, count: u32) -> Option<$crate::CountedGuard<'_, Self>> {
                self.acquire_ex(count)
                    .then(|| $crate::CountedGuard::new(self, (), count))
            }

            /// Runs `body` under protection; `None`, without running it, when run-down has begun.
            ///
            /// # IRQL
            /// `<= DISPATCH_LEVEL` if the reference is resident.
            ///
            /// ```
            /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
            /// # type Nt = rundown_std::Std;
            #[doc = $example]
            /// assert_eq!(reference.protect(|| 42), Some(42));
            /// ```
            #[inline]
            pub fn protect<R>(&self, body: impl FnOnce() -> R) -> Option<R> {
                let _guard = self.try_acquire()?;
                Some(body())
            }
        }

        // SAFETY: that is what the type is for; its documentation argues it, and its loom models check it.
        unsafe impl<P: $crate::$platform> $crate::Protection for $type<P> {
            type Ticket = ();

            #[inline]
            fn acquire(&self) -> bool {
                self.acquire()
            }
            #[inline]
            fn acquire_ex(&self, count: u32) -> bool {
                self.acquire_ex(count)
            }
            #[inline]
            unsafe fn release_at(this: *const Self) {
                // All of it lies in `UnsafeCell`s, so that this promises nothing about its memory.
                // SAFETY: valid at this moment, says the caller.
                let this = unsafe { &*this };
                // SAFETY: the caller's promise, handed on.
                unsafe { this.release() };
            }
            #[inline]
            unsafe fn release_ex_at(this: *const Self, count: u32) {
                // SAFETY: as in `release_at`.
                let this = unsafe { &*this };
                // SAFETY: the caller's promise, handed on.
                unsafe { this.release_ex(count) };
            }
            fn wait(&self) -> $crate::WayOut {
                self.wait()
            }
            fn completed(&self) {
                self.completed();
            }
            fn reinitialize(&self) {
                self.reinitialize();
            }
        }
    };
}
pub(crate) use protection;
