//! References that give themselves back.

use core::{fmt, marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};

use crate::{Owned, OwnedCountedGuard, OwnedGuard, Protection, RundownRef};

/// One reference of a [`RundownRef`].
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{RundownGuard, RundownRef};
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt>::new();
/// let guard: RundownGuard<'_, Nt> = reference.try_acquire().expect("live");
/// ```
pub type RundownGuard<'a, P> = Guard<'a, RundownRef<P>>;

/// One reference, given back when this is dropped.
///
/// It is not `Send`: hold protection in a critical or guarded region, which belongs to a thread. A reference that
/// another thread releases is an [`Owned`] one, or goes by [`into_raw`](Self::into_raw) and [`from_raw`](Self::from_raw).
///
/// The reference that it drops may be the last one, and the owner may then free the object, with the protection in it, before
/// the drop has returned. So there is a raw pointer inside: a Rust reference would promise the memory until then.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{RundownRef, State};
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt>::new();
/// {
///     let _guard = reference.try_acquire().expect("live");
///     assert_eq!(reference.state(), State::Live(1));
/// }
/// assert_eq!(reference.state(), State::Live(0));
/// ```
#[must_use = "the reference is given back at once when the guard is not bound"]
pub struct Guard<'a, R: Protection> {
    // INVARIANT: this guard owns one reference of it, so it is valid.
    protection: NonNull<R>,
    ticket: R::Ticket,
    lifetime: PhantomData<&'a R>,
}

impl<'a, R: Protection> Guard<'a, R> {
    /// Wraps a reference that was just acquired.
    #[inline]
    pub(crate) fn new(protection: &'a R, ticket: R::Ticket) -> Self {
        Self::at(NonNull::from(protection), ticket)
    }

    #[inline]
    fn at(protection: NonNull<R>, ticket: R::Ticket) -> Self {
        Self {
            protection,
            ticket,
            lifetime: PhantomData,
        }
    }

    /// Drops the guard and keeps the reference: whoever it is handed to has to release it.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{Guard, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let reference = RundownRef::<Nt>::new();
    /// Guard::forget(reference.try_acquire().expect("live"));
    /// // SAFETY: the forgotten one, released once.
    /// unsafe { reference.release() };
    /// ```
    #[inline]
    pub fn forget(guard: Self) {
        let _ = Self::into_raw(guard);
    }

    /// Takes the guard apart, for a caller that carries it through a `void *`.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{RundownGuard, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let reference = RundownRef::<Nt>::new();
    /// let context = RundownGuard::into_raw(reference.try_acquire().expect("live"));
    /// // SAFETY: from `into_raw`, once, and the reference is still there.
    /// drop(unsafe { RundownGuard::from_raw(context) });
    /// ```
    #[inline]
    #[must_use = "the reference is released by nobody else"]
    pub fn into_raw(guard: Self) -> *const R {
        let guard = ManuallyDrop::new(guard);
        // SAFETY: by the invariant it is valid as long as the reference is.
        unsafe { guard.protection.as_ref() }.set_aside(guard.ticket);
        guard.protection.as_ptr()
    }

    /// Puts together what [`into_raw`](Self::into_raw) took apart.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// `raw` came from `into_raw` and was not put together since, or the caller otherwise owns one reference of a
    /// valid `raw`. It stays valid until the guard has given the reference back, which the reference itself sees to when the
    /// object is freed after a wait only.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::{RundownGuard, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let reference = RundownRef::<Nt>::new();
    /// assert!(reference.acquire());
    /// // SAFETY: the reference that was acquired above is owned here, and released nowhere else.
    /// let guard = unsafe { RundownGuard::from_raw(&raw const reference) };
    /// ```
    #[inline]
    pub unsafe fn from_raw(raw: *const R) -> Self {
        // SAFETY: valid, says the caller, so not null.
        let protection = unsafe { NonNull::new_unchecked(raw.cast_mut()) };
        // SAFETY: valid, since the caller owns a reference.
        let ticket = unsafe { protection.as_ref() }.take_up(1);
        Self::at(protection, ticket)
    }

    /// Frees the guard from its thread and its borrow.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// The protection stays valid until the reference is given back: whoever frees it waits before. (For a `static` there is
    /// nothing to promise: [`Owned`] is made of a `Guard<'static, _>` without unsafe code.)
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{RundownGuard, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let reference = RundownRef::<Nt>::new();
    /// // SAFETY: the reference is waited for before it goes.
    /// let owned = unsafe { RundownGuard::into_owned(reference.try_acquire().expect("live")) };
    /// std::thread::spawn(move || drop(owned));
    /// reference.wait();
    /// ```
    #[inline]
    pub unsafe fn into_owned(guard: Self) -> OwnedGuard<R>
    where
        R: 'static,
    {
        let guard = ManuallyDrop::new(guard);
        Owned::from(Guard::<'static, R>::at(guard.protection, guard.ticket))
    }
}

impl<R: Protection> Drop for Guard<'_, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by the invariant the reference is this guard's, and a guard is dropped once.
        unsafe { R::let_go_at(self.protection.as_ptr(), self.ticket) };
    }
}

impl<R: Protection + fmt::Debug> fmt::Debug for Guard<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: by the invariant it is valid as long as this lives.
        let protection = unsafe { self.protection.as_ref() };
        f.debug_tuple("Guard").field(protection).finish()
    }
}

/// Several references, given back together when this is dropped.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{RundownRef, State};
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt>::new();
/// let guard = reference.try_acquire_ex(3).expect("live");
/// assert_eq!(guard.count(), 3);
/// assert_eq!(reference.state(), State::Live(3));
/// ```
#[must_use = "the references are given back at once when the guard is not bound"]
pub struct CountedGuard<'a, R: Protection> {
    // INVARIANT: this guard owns `count` references of it. It is valid while that is not zero, and at any rate for 'a.
    protection: NonNull<R>,
    ticket: R::Ticket,
    count: u32,
    lifetime: PhantomData<&'a R>,
}

impl<'a, R: Protection> CountedGuard<'a, R> {
    /// Wraps references that were just acquired.
    #[inline]
    pub(crate) fn new(protection: &'a R, ticket: R::Ticket, count: u32) -> Self {
        Self::at(NonNull::from(protection), ticket, count)
    }

    #[inline]
    fn at(protection: NonNull<R>, ticket: R::Ticket, count: u32) -> Self {
        Self {
            protection,
            ticket,
            count,
            lifetime: PhantomData,
        }
    }

    /// How many references it holds.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::RundownRef::<Nt>::new();
    /// assert_eq!(reference.try_acquire_ex(2).expect("live").count(), 2);
    /// ```
    #[inline]
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes one reference out, to be given back on its own; `None` when there is none left.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{RundownRef, State};
    /// let reference = RundownRef::<Nt>::new();
    /// let mut requests = reference.try_acquire_ex(2).expect("live");
    /// let one = requests.take_one().expect("there are two");
    /// drop(requests);
    /// assert_eq!(reference.state(), State::Live(1));
    /// # drop(one);
    /// ```
    #[inline]
    pub fn take_one(&mut self) -> Option<Guard<'a, R>> {
        self.count = self.count.checked_sub(1)?;
        let ticket = if self.count == 0 {
            self.ticket
        } else {
            // SAFETY: by the invariant it is valid while there are references.
            unsafe { self.protection.as_ref() }.split(self.ticket)
        };
        Some(Guard::at(self.protection, ticket))
    }

    /// Drops the guard, keeps the references and returns how many: whoever they are handed to has to release them.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{CountedGuard, RundownRef};
    /// let reference = RundownRef::<Nt>::new();
    /// let count = CountedGuard::forget(reference.try_acquire_ex(3).expect("live"));
    /// // SAFETY: the forgotten ones, released once.
    /// unsafe { reference.release_ex(count) };
    /// ```
    #[inline]
    #[must_use = "the references are released by nobody else"]
    pub fn forget(guard: Self) -> u32 {
        Self::into_raw(guard).1
    }

    /// Takes the guard apart into the protection and how many references of it there are.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{CountedGuard, RundownRef};
    /// let reference = RundownRef::<Nt>::new();
    /// let (context, count) = CountedGuard::into_raw(reference.try_acquire_ex(3).expect("live"));
    /// // SAFETY: from `into_raw`, once, and the reference is still there.
    /// drop(unsafe { CountedGuard::from_raw(context, count) });
    /// ```
    #[inline]
    #[must_use = "the references are released by nobody else"]
    pub fn into_raw(guard: Self) -> (*const R, u32) {
        let guard = ManuallyDrop::new(guard);
        if guard.count != 0 {
            // SAFETY: by the invariant it is valid while there are references.
            unsafe { guard.protection.as_ref() }.set_aside(guard.ticket);
        }
        (guard.protection.as_ptr(), guard.count)
    }

    /// Puts together what [`into_raw`](Self::into_raw) took apart, or a part of it.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// The caller owns `count` references of a valid `raw`, and gives them to the guard. It stays valid until the guard has given
    /// them back.
    #[inline]
    pub unsafe fn from_raw(raw: *const R, count: u32) -> Self {
        // SAFETY: valid, says the caller, so not null.
        let protection = unsafe { NonNull::new_unchecked(raw.cast_mut()) };
        let ticket = if count == 0 {
            R::Ticket::default()
        } else {
            // SAFETY: valid, since the caller owns references.
            unsafe { protection.as_ref() }.take_up(count)
        };
        Self::at(protection, ticket, count)
    }

    /// Frees the guard from its thread and its borrow.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// As [`Guard::into_owned`].
    #[inline]
    pub unsafe fn into_owned(guard: Self) -> OwnedCountedGuard<R>
    where
        R: 'static,
    {
        let guard = ManuallyDrop::new(guard);
        Owned::from(CountedGuard::<'static, R>::at(
            guard.protection,
            guard.ticket,
            guard.count,
        ))
    }
}

impl<R: Protection> Drop for CountedGuard<'_, R> {
    #[inline]
    fn drop(&mut self) {
        // With none left nothing says that the object is still there.
        if self.count != 0 {
            // SAFETY: by the invariant the references are this guard's, and a guard is dropped once.
            unsafe { R::let_go_ex_at(self.protection.as_ptr(), self.ticket, self.count) };
        }
    }
}

impl<R: Protection + fmt::Debug> fmt::Debug for CountedGuard<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: by the invariant it is valid as long as this lives.
        let protection = unsafe { self.protection.as_ref() };
        f.debug_struct("CountedGuard")
            .field("count", &self.count)
            .field("protection", protection)
            .finish()
    }
}
