//! References that give themselves back.

use core::{fmt, marker::PhantomData, mem::ManuallyDrop};

use crate::{Protection, RundownRef, Strict};

/// One reference of a [`RundownRef`].
///
/// ```
/// use ex_rundown::{RundownGuard, RundownRef};
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt>::new();
/// let guard: RundownGuard<'_, Nt> = reference.try_acquire().expect("live");
/// ```
pub type RundownGuard<'a, P, C = Strict> = Guard<'a, RundownRef<P, C>>;

/// One reference, given back when this is dropped.
///
/// It is not `Send`: hold protection in a critical or guarded region, which belongs to a thread. A reference that
/// another thread releases goes by [`into_raw`](Self::into_raw) and [`from_raw`](Self::from_raw).
///
/// ```
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
    // INVARIANT: this guard owns one reference of it.
    protection: &'a R,
    this_thread: PhantomData<*mut ()>,
}

impl<'a, R: Protection> Guard<'a, R> {
    /// Wraps a reference that was just acquired.
    #[inline]
    pub(crate) fn new(protection: &'a R) -> Self {
        Self {
            protection,
            this_thread: PhantomData,
        }
    }

    /// Keeps the reference without the guard. Who takes it over releases it.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
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
        ManuallyDrop::new(guard).protection
    }

    /// Puts together what [`into_raw`](Self::into_raw) took apart.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// `raw` came from `into_raw` and was not put together since, or the caller otherwise owns one reference of a
    /// valid `raw`; and `raw` outlives `'a`.
    ///
    /// ```
    /// # use ex_rundown::{RundownGuard, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let reference = RundownRef::<Nt>::new();
    /// assert!(reference.acquire());
    /// // SAFETY: the reference that was acquired above is owned here, and released nowhere else.
    /// let guard = unsafe { RundownGuard::from_raw(&raw const reference) };
    /// ```
    #[inline]
    pub unsafe fn from_raw(raw: *const R) -> Self {
        // SAFETY: valid for 'a, says the caller.
        Self::new(unsafe { &*raw })
    }
}

impl<R: Protection> Drop for Guard<'_, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by the invariant the reference is this guard's, and a guard is dropped once.
        unsafe { self.protection.release() };
    }
}

impl<R: Protection + fmt::Debug> fmt::Debug for Guard<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(self.protection).finish()
    }
}

/// Several references, given back together when this is dropped.
///
/// ```
/// use ex_rundown::{RundownRef, State};
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt>::new();
/// let guard = reference.try_acquire_ex(3).expect("live");
/// assert_eq!(guard.count(), 3);
/// assert_eq!(reference.state(), State::Live(3));
/// ```
#[must_use = "the references are given back at once when the guard is not bound"]
pub struct CountedGuard<'a, R: Protection> {
    // INVARIANT: this guard owns `count` references of it.
    protection: &'a R,
    count: u32,
    this_thread: PhantomData<*mut ()>,
}

impl<'a, R: Protection> CountedGuard<'a, R> {
    /// Wraps references that were just acquired.
    #[inline]
    pub(crate) fn new(protection: &'a R, count: u32) -> Self {
        Self {
            protection,
            count,
            this_thread: PhantomData,
        }
    }

    /// How many references it holds.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
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
        Some(Guard::new(self.protection))
    }

    /// Keeps the references without the guard, and says how many. Who takes them over releases them.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
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
        ManuallyDrop::new(guard).count
    }
}

impl<R: Protection> Drop for CountedGuard<'_, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by the invariant the references are this guard's, and a guard is dropped once.
        unsafe { self.protection.release_ex(self.count) };
    }
}

impl<R: Protection + fmt::Debug> fmt::Debug for CountedGuard<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountedGuard")
            .field("count", &self.count)
            .field("protection", self.protection)
            .finish()
    }
}
