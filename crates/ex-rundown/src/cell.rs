//! Memory for data that a protocol keeps apart: readers under protection, and one owner at other times.

use core::mem::MaybeUninit;

#[cfg(not(ex_rundown_loom))]
use core::cell::UnsafeCell;

#[cfg(ex_rundown_loom)]
use loom::cell::UnsafeCell;

use crate::sync::constructor;

/// A value, or room for one. loom fails a run in which an access is not ordered after a conflicting one.
pub(crate) struct Cell<T>(UnsafeCell<MaybeUninit<T>>);

/// A read of a [`Cell`] that goes on until this is dropped.
#[cfg(not(ex_rundown_loom))]
pub(crate) struct Reading<T>(*const MaybeUninit<T>);

/// A read of a [`Cell`] that goes on until this is dropped, as loom sees it.
#[cfg(ex_rundown_loom)]
pub(crate) struct Reading<T>(loom::cell::ConstPtr<MaybeUninit<T>>);

impl<T> Cell<T> {
    constructor! {
        /// With a value.
        pub(crate) const fn new(value: T) -> Self {
            Self(UnsafeCell::new(MaybeUninit::new(value)))
        }
    }

    /// With room for a value.
    #[cfg(not(ex_rundown_loom))]
    pub(crate) const fn empty() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Begins to read.
    #[inline]
    pub(crate) fn read(&self) -> Reading<T> {
        Reading(self.0.get())
    }

    /// Takes the value out.
    ///
    /// # Safety
    /// There is a value, and nobody else reads or writes it. From here on there is none.
    pub(crate) unsafe fn take(&self) -> T {
        // SAFETY: a value that nobody else uses, says the caller.
        self.with_mut(|value| unsafe { value.cast::<T>().read() })
    }

    /// Puts a value in.
    ///
    /// # Safety
    /// There is none, and nobody else reads or writes.
    pub(crate) unsafe fn put(&self, value: T) {
        // SAFETY: nobody else uses it, says the caller.
        self.with_mut(|room| unsafe { room.cast::<T>().write(value) });
    }

    /// Drops the value.
    ///
    /// # Safety
    /// There is one. From here on there is none.
    pub(crate) unsafe fn drop_value(&mut self) {
        // SAFETY: a value, says the caller; the borrow is exclusive.
        self.with_mut(|value| unsafe { value.cast::<T>().drop_in_place() });
    }

    #[cfg(not(ex_rundown_loom))]
    fn with_mut<R>(&self, access: impl FnOnce(*mut MaybeUninit<T>) -> R) -> R {
        access(self.0.get())
    }

    #[cfg(ex_rundown_loom)]
    fn with_mut<R>(&self, access: impl FnOnce(*mut MaybeUninit<T>) -> R) -> R {
        self.0.with_mut(access)
    }
}

impl<T> Reading<T> {
    /// The value.
    ///
    /// # Safety
    /// There is one, and nobody writes it as long as this lives.
    #[inline]
    pub(crate) unsafe fn value(&self) -> &T {
        #[cfg(not(ex_rundown_loom))]
        let pointer = self.0;
        #[cfg(ex_rundown_loom)]
        let pointer = self.0.with(|pointer| pointer);
        // SAFETY: the caller's promise.
        let value = unsafe { &*pointer };
        // SAFETY: there is one, says the caller.
        unsafe { value.assume_init_ref() }
    }
}
