//! A reference that gives itself back.

use core::{fmt, marker::PhantomData};

use crate::{Check, Platform, RundownRef, Strict};

/// One reference, given back when this is dropped.
///
/// It is not `Send`: hold protection in a critical or guarded region, which belongs to a thread.
#[must_use = "the reference is given back at once when the guard is not bound"]
pub struct RundownGuard<'a, P: Platform, C: Check = Strict> {
    // INVARIANT: this guard owns one reference of it.
    reference: &'a RundownRef<P, C>,
    this_thread: PhantomData<*mut ()>,
}

impl<'a, P: Platform, C: Check> RundownGuard<'a, P, C> {
    /// Wraps a reference that was just acquired.
    #[inline]
    pub(crate) fn new(reference: &'a RundownRef<P, C>) -> Self {
        Self {
            reference,
            this_thread: PhantomData,
        }
    }
}

impl<P: Platform, C: Check> Drop for RundownGuard<'_, P, C> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by the invariant the reference is this guard's, and a guard is dropped once.
        unsafe { self.reference.release() };
    }
}

impl<P: Platform, C: Check> fmt::Debug for RundownGuard<'_, P, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RundownGuard").field(self.reference).finish()
    }
}
