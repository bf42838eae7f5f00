//! Critical regions: stretches in which the thread cannot be suspended.

use core::marker::PhantomData;

use ex_rundown::Protection;

use crate::system::{KeEnterCriticalRegion, KeLeaveCriticalRegion};

/// A stretch in which normal kernel APCs do not reach this thread, so that nobody can suspend it; left when this is dropped.
///
/// Regions nest. Above `APC_LEVEL` none is needed, nor allowed.
///
/// ```no_run
/// use ex_rundown::RundownRef;
/// use ex_rundown_nt::{CriticalRegion, Nt};
///
/// fn touch(reference: &RundownRef<Nt>) -> Option<()> {
///     let _region = CriticalRegion::enter();
///     let _guard = reference.try_acquire()?; // dropped before the region
///     Some(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "the region is left at once when it is not bound"]
pub struct CriticalRegion {
    // INVARIANT: this thread has entered a region that this leaves. So it is not `Send`.
    this_thread: PhantomData<*mut ()>,
}

impl CriticalRegion {
    /// Enters a region.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`; so is the drop, on the same thread.
    #[inline]
    pub fn enter() -> Self {
        // SAFETY: no preconditions at and below APC_LEVEL; the drop leaves it.
        unsafe { KeEnterCriticalRegion() };
        Self {
            this_thread: PhantomData,
        }
    }
}

impl Drop for CriticalRegion {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by the invariant.
        unsafe { KeLeaveCriticalRegion() };
    }
}

/// Runs `body` under protection, in a critical region; `None`, without running it, when run-down has begun.
///
/// # IRQL
/// `<= APC_LEVEL`.
///
/// ```no_run
/// use ex_rundown::RundownRef;
/// use ex_rundown_nt::{Nt, protect};
///
/// static REFERENCE: RundownRef<Nt> = RundownRef::new();
/// assert_eq!(protect(&REFERENCE, || 42), Some(42));
/// ```
#[inline]
pub fn protect<R: Protection, T>(protection: &R, body: impl FnOnce() -> T) -> Option<T> {
    let _region = CriticalRegion::enter();
    protection.protect(body)
}
