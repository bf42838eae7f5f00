//! References that are given back in the section that they were taken in.

use core::{fmt, mem::ManuallyDrop, ops::Deref, ptr::NonNull};

use crate::{AtDispatchLevel, DispatchPlatform, DispatchRundownRef, Rundown, cell::Reading};

/// References of a [`DispatchRundownRef`], given back when this is dropped, without raising the IRQL: its borrow of an
/// [`AtDispatchLevel`] says that it is dropped at that level, and on the processor that it was made on.
///
/// A reference that is to be released later, or on another processor, goes by [`forget`](Self::forget).
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{AtDispatchLevel, DispatchRundownRef};
/// # type Nt = rundown_std::Std;
/// let reference = DispatchRundownRef::<Nt>::new()?;
/// // SAFETY: nothing in here lowers the IRQL.
/// unsafe {
///     AtDispatchLevel::raise(|level| {
///         let guard = reference.try_acquire_ex(level, 2).expect("live");
///         assert_eq!(guard.count(), 2);
///     });
/// }
/// assert_eq!(reference.outstanding(), Some(0));
/// # Ok::<(), ex_rundown::MemoryError>(())
/// ```
#[must_use = "the references are given back at once when the guard is not bound"]
pub struct DispatchGuard<'a, P: DispatchPlatform> {
    // INVARIANT: this guard owns `count` references of it. It is valid while that is not zero. A raw pointer, as `Guard` has.
    protection: NonNull<DispatchRundownRef<P>>,
    level: &'a AtDispatchLevel<P>,
    count: u32,
}

impl<'a, P: DispatchPlatform> DispatchGuard<'a, P> {
    /// Wraps references that were just acquired.
    #[inline]
    pub(crate) fn new(
        protection: &'a DispatchRundownRef<P>,
        level: &'a AtDispatchLevel<P>,
        count: u32,
    ) -> Self {
        Self {
            protection: NonNull::from(protection),
            level,
            count,
        }
    }

    /// How many references it holds.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// // See the type.
    /// ```
    #[inline]
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Drops the guard, keeps the references and returns how many: whoever they are handed to has to release them, on whichever processor.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{AtDispatchLevel, DispatchGuard, DispatchRundownRef};
    /// # type Nt = rundown_std::Std;
    /// let reference = DispatchRundownRef::<Nt>::new()?;
    /// // SAFETY: nothing in here lowers the IRQL.
    /// let count = unsafe {
    ///     AtDispatchLevel::raise(|level| DispatchGuard::forget(reference.try_acquire(level).expect("live")))
    /// };
    /// // ... kept at PASSIVE_LEVEL for a while ...
    /// // SAFETY: nothing in here lowers the IRQL, and the forgotten one is released once.
    /// unsafe { AtDispatchLevel::raise(|level| reference.release_ex(level, count)) };
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    #[must_use = "the references are released by nobody else"]
    pub fn forget(guard: Self) -> u32 {
        ManuallyDrop::new(guard).count
    }
}

impl<P: DispatchPlatform> Drop for DispatchGuard<'_, P> {
    #[inline]
    fn drop(&mut self) {
        // With none left nothing says that the object is still there.
        if self.count != 0 {
            // SAFETY: by the invariant it is valid.
            let protection = unsafe { self.protection.as_ref() };
            // SAFETY: by the invariant the references are this guard's, and a guard is dropped once.
            unsafe { protection.release_ex(self.level, self.count) };
        }
    }
}

impl<P: DispatchPlatform> fmt::Debug for DispatchGuard<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatchGuard")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl<P: DispatchPlatform> DispatchRundownRef<P> {
    /// Takes a reference and gives it back when the guard is dropped, in the same section; `None` when run-down has begun.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`, as `level` proves.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AtDispatchLevel, DispatchRundownRef};
    /// let reference = DispatchRundownRef::<Nt>::new()?;
    /// // SAFETY: nothing in here lowers the IRQL.
    /// unsafe {
    ///     AtDispatchLevel::raise(|level| {
    ///         let _guard = reference.try_acquire(level).expect("live");
    ///         assert_eq!(reference.outstanding(), Some(1));
    ///     });
    /// }
    /// assert_eq!(reference.outstanding(), Some(0));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    pub fn try_acquire<'a>(&'a self, level: &'a AtDispatchLevel<P>) -> Option<DispatchGuard<'a, P>> {
        self.acquire(level).then(|| DispatchGuard::new(self, level, 1))
    }

    /// Takes `count` references and gives them back when the guard is dropped; `None` when run-down has begun.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`, as `level` proves.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AtDispatchLevel, DispatchRundownRef};
    /// let reference = DispatchRundownRef::<Nt>::new()?;
    /// // SAFETY: nothing in here lowers the IRQL.
    /// let count = unsafe {
    ///     AtDispatchLevel::raise(|level| reference.try_acquire_ex(level, 16).expect("live").count())
    /// };
    /// assert_eq!(count, 16);
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    pub fn try_acquire_ex<'a>(
        &'a self,
        level: &'a AtDispatchLevel<P>,
        count: u32,
    ) -> Option<DispatchGuard<'a, P>> {
        self.acquire_ex(level, count)
            .then(|| DispatchGuard::new(self, level, count))
    }

    /// Runs `body` under protection; `None`, without running it, when run-down has begun.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`, as `level` proves.
    ///
    /// ```
    /// // See the type.
    /// ```
    #[inline]
    pub fn protect<R>(&self, level: &AtDispatchLevel<P>, body: impl FnOnce() -> R) -> Option<R> {
        let _guard = self.try_acquire(level)?;
        Some(body())
    }
}

impl<T, P: DispatchPlatform> Rundown<T, DispatchRundownRef<P>> {
    /// The data, for as long as the guard lives, in this section; `None` when run-down has begun. [`acquire`](Self::acquire) is for callers
    /// without a proof of their level: it and the drop of what it gives raise the IRQL.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`, as `level` proves.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::{AtDispatchLevel, DispatchRundownRef, Rundown};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, DispatchRundownRef::<Nt>::new()?);
    /// // SAFETY: nothing in here lowers the IRQL.
    /// let seen = unsafe { AtDispatchLevel::raise(|level| data.acquire_at(level).as_deref().copied()) };
    /// assert_eq!(seen, Some(7));
    /// assert_eq!(data.run_down(), Some(7));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    pub fn acquire_at<'a>(&'a self, level: &'a AtDispatchLevel<P>) -> Option<HeldAtDispatchLevel<'a, T, P>> {
        let (protection, data) = self.parts();
        protection.try_acquire(level).map(|guard| HeldAtDispatchLevel {
            data: data.read(),
            _guard: guard,
        })
    }
}

/// The data of a [`Rundown`] over a [`DispatchRundownRef`], held until this is dropped, in the same section.
///
/// ```
/// // See `Rundown::acquire_at`.
/// ```
#[must_use = "the data is given back at once when the guard is not bound"]
pub struct HeldAtDispatchLevel<'a, T, P: DispatchPlatform> {
    // INVARIANT: there is data, and nobody writes it, while the guard lives. It is dropped before the guard.
    data: Reading<T>,
    _guard: DispatchGuard<'a, P>,
}

impl<T, P: DispatchPlatform> Deref for HeldAtDispatchLevel<'_, T, P> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by the invariant.
        unsafe { self.data.value() }
    }
}

impl<T: fmt::Debug, P: DispatchPlatform> fmt::Debug for HeldAtDispatchLevel<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
