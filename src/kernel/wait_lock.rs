//! A value behind a `WDFWAITLOCK`.

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    ptr,
};

use ex_rundown::AtMostApcLevel;
use wdk_sys::{NTSTATUS, WDF_OBJECT_ATTRIBUTES, WDFOBJECT, WDFWAITLOCK, call_unsafe_wdf_function_binding};

use super::{Nt, check, wdf::attributes};

/// A mutex for `PASSIVE_LEVEL`.
pub(crate) struct WaitLock<T> {
    lock: WDFWAITLOCK,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time reach the value. Values that hold handles only compare them.
unsafe impl<T> Sync for WaitLock<T> {}

/// Access to the value while the lock is held.
pub(crate) struct WaitLockGuard<'a, T>(&'a WaitLock<T>);

impl<T> WaitLock<T> {
    /// A lock that is deleted with `parent`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// What the framework answers.
    pub(crate) fn new(parent: WDFOBJECT, value: T) -> Result<Self, NTSTATUS> {
        let mut lock: WDFWAITLOCK = ptr::null_mut();
        let mut attributes = WDF_OBJECT_ATTRIBUTES {
            ParentObject: parent,
            ..attributes()
        };
        // SAFETY: the parent is a live object, the attributes are copied, the handle is written.
        check(unsafe {
            call_unsafe_wdf_function_binding!(WdfWaitLockCreate, &raw mut attributes, &raw mut lock)
        })?;
        Ok(Self {
            lock,
            value: UnsafeCell::new(value),
        })
    }

    /// Waits for the lock.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn lock(&self, level: &AtMostApcLevel) -> WaitLockGuard<'_, T> {
        level.debug_check::<Nt>();
        // SAFETY: the lock lives as long as its parent, whose callbacks are the only callers. Without a time-out
        // it always succeeds.
        let _ = unsafe { call_unsafe_wdf_function_binding!(WdfWaitLockAcquire, self.lock, ptr::null_mut()) };
        WaitLockGuard(self)
    }
}

impl<T> Deref for WaitLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for WaitLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and the guard is borrowed mutably.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for WaitLockGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard holds it, and gives it back once.
        unsafe { call_unsafe_wdf_function_binding!(WdfWaitLockRelease, self.0.lock) };
    }
}
