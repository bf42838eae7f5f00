//! A cache-aware reference in memory that it owns.

use core::{fmt, mem::ManuallyDrop, ops::Deref, ptr::NonNull};

use crate::{CacheAwareRundownRef, Check, MemoryError, PoolPlatform, Protection, Strict, WayOut};

/// A [`CacheAwareRundownRef`] in the platform's pool (`ExAllocateCacheAwareRundownProtection`), freed when this is
/// dropped.
///
/// Dropping it never waits. A guard borrows it, so there is none by then.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::AllocatedCacheAwareRundownRef;
/// # type Nt = rundown_std::Std;
/// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
/// assert_eq!(reference.protect(|| "used"), Some("used"));
/// reference.wait();
/// # Ok::<(), ex_rundown::MemoryError>(())
/// ```
pub struct AllocatedCacheAwareRundownRef<P: PoolPlatform, C: Check = Strict> {
    // INVARIANT: an initialised reference at the start of `bytes` from the pool, which this owns.
    reference: NonNull<CacheAwareRundownRef<P, C>>,
    bytes: usize,
}

// SAFETY: it owns what it points to, which is Send and Sync.
unsafe impl<P: PoolPlatform, C: Check> Send for AllocatedCacheAwareRundownRef<P, C> {}
// SAFETY: as above.
unsafe impl<P: PoolPlatform, C: Check> Sync for AllocatedCacheAwareRundownRef<P, C> {}

impl<P: PoolPlatform> AllocatedCacheAwareRundownRef<P> {
    /// Allocates a live reference.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`] when the pool is, [`MemoryError::NoProcessors`] when the platform counts none.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert!(reference.try_acquire().is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn new() -> Result<Self, MemoryError> {
        // SAFETY: under `Strict` there is nothing to keep.
        unsafe { Self::with_policy() }
    }
}

impl<P: PoolPlatform, C: Check> AllocatedCacheAwareRundownRef<P, C> {
    /// Allocates a live reference under any policy.
    ///
    /// # Errors
    /// As [`new`](AllocatedCacheAwareRundownRef::new).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// Under [`Parity`](crate::Parity) whoever can reach the reference keeps the [rules](crate::Parity#rules). Under
    /// [`Strict`] there is nothing to keep.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// use ex_rundown::{AllocatedCacheAwareRundownRef, Parity};
    ///
    /// // SAFETY: nobody else has it, and it is acquired and released once.
    /// let reference = unsafe { AllocatedCacheAwareRundownRef::<Nt, Parity>::with_policy() }?;
    /// assert!(reference.acquire());
    /// // SAFETY: acquired above.
    /// unsafe { reference.release() };
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub unsafe fn with_policy() -> Result<Self, MemoryError> {
        let bytes = CacheAwareRundownRef::<P, C>::size_of()?;
        let memory = P::allocate(bytes).ok_or(MemoryError::Exhausted)?;
        // SAFETY: just allocated, so many bytes, and this owns them.
        let initialized = unsafe { CacheAwareRundownRef::<P, C>::initialize_at(memory.as_ptr(), bytes) };
        if let Err(error) = initialized {
            // SAFETY: from `allocate`, with the same size, and not used.
            unsafe { P::free(memory, bytes) };
            return Err(error);
        }
        // The pointer of the allocation, which may reach all of it.
        let reference = memory.cast();
        CacheAwareRundownRef::set_pool_to_free(reference, memory);
        Ok(Self { reference, bytes })
    }

    /// Gives the reference away, to be freed by [`from_raw`](Self::from_raw).
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::AllocatedCacheAwareRundownRef;
    /// let raw = AllocatedCacheAwareRundownRef::into_raw(AllocatedCacheAwareRundownRef::<Nt>::new()?);
    /// // SAFETY: from `into_raw`, once.
    /// drop(unsafe { AllocatedCacheAwareRundownRef::from_raw(raw) });
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use = "nobody else frees it"]
    pub fn into_raw(this: Self) -> NonNull<CacheAwareRundownRef<P, C>> {
        ManuallyDrop::new(this).reference
    }

    /// Takes back what [`into_raw`](Self::into_raw) gave away.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Panics
    /// When the platform breaks its promise to count the same processors at each call.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, and is taken back once.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::AllocatedCacheAwareRundownRef;
    /// # let raw = AllocatedCacheAwareRundownRef::into_raw(AllocatedCacheAwareRundownRef::<Nt>::new()?);
    /// // SAFETY: from `into_raw`, once.
    /// let reference = unsafe { AllocatedCacheAwareRundownRef::from_raw(raw) };
    /// assert!(reference.try_acquire().is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use = "it is freed at once when it is not bound"]
    pub unsafe fn from_raw(raw: NonNull<CacheAwareRundownRef<P, C>>) -> Self {
        Self {
            reference: raw,
            bytes: CacheAwareRundownRef::<P, C>::size_of()
                .expect("it was so many bytes when it was allocated"),
        }
    }
}

impl<P: PoolPlatform, C: Check> Deref for AllocatedCacheAwareRundownRef<P, C> {
    type Target = CacheAwareRundownRef<P, C>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        // SAFETY: the invariant.
        unsafe { self.reference.as_ref() }
    }
}

impl<P: PoolPlatform, C: Check> Drop for AllocatedCacheAwareRundownRef<P, C> {
    fn drop(&mut self) {
        debug_assert_eq!(self.pool_to_free(), self.reference.as_ptr().cast());
        // SAFETY: the invariant; nothing borrows it any more.
        unsafe { P::free(self.reference.cast(), self.bytes) };
    }
}

impl<P: PoolPlatform, C: Check> fmt::Debug for AllocatedCacheAwareRundownRef<P, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

// SAFETY: it is the reference that it owns, and nothing else reaches that.
unsafe impl<P: PoolPlatform> Protection for AllocatedCacheAwareRundownRef<P> {
    type Ticket = ();

    #[inline]
    fn acquire(&self) -> bool {
        (**self).acquire()
    }
    #[inline]
    fn acquire_ex(&self, count: u32) -> bool {
        (**self).acquire_ex(count)
    }
    #[inline]
    unsafe fn release_at(this: *const Self) {
        // Read once, before the reference is given back, and without a Rust reference: this value goes with the object.
        // SAFETY: valid until then, says the caller.
        let reference = unsafe { (*this).reference };
        // SAFETY: by the invariant it is valid as long as `this`; the caller's promise, handed on.
        unsafe { CacheAwareRundownRef::release_at(reference.as_ptr()) };
    }
    #[inline]
    unsafe fn release_ex_at(this: *const Self, count: u32) {
        // SAFETY: as in `release_at`.
        let reference = unsafe { (*this).reference };
        // SAFETY: as in `release_at`.
        unsafe { CacheAwareRundownRef::release_ex_at(reference.as_ptr(), count) };
    }
    fn wait(&self) -> WayOut {
        (**self).wait()
    }
    fn completed(&self) {
        (**self).completed();
    }
    fn reinitialize(&self) {
        (**self).reinitialize();
    }
}
