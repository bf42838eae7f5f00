//! The checker's threads, atomics and cells: loom's, or shuttle's.

#[cfg(ex_rundown_loom)]
pub(crate) use loom::{cell, lazy_static, sync, thread};
#[cfg(ex_rundown_shuttle)]
pub(crate) use shuttle::{lazy_static, sync, thread};

/// What its threads may share. loom asks for nothing: its cells see what is wrong.
#[cfg(ex_rundown_loom)]
pub(crate) trait Shared {}
#[cfg(ex_rundown_loom)]
impl<T> Shared for T {}
/// What its threads may share.
#[cfg(ex_rundown_shuttle)]
pub(crate) trait Shared: Send + Sync {}
#[cfg(ex_rundown_shuttle)]
impl<T: Send + Sync> Shared for T {}

/// shuttle has no cells, and no notion of what happens before what. These see accesses that are made at the same time.
#[cfg(ex_rundown_shuttle)]
pub(crate) mod cell {
    use std::{cell, sync::atomic::Ordering::Relaxed};

    use shuttle::sync::atomic::AtomicUsize;

    pub(crate) struct UnsafeCell<T> {
        value: cell::UnsafeCell<T>,
        /// Accesses that are being made. Each has a point in its middle at which another thread may run: every operation
        /// on an atomic of shuttle's is one.
        reading: AtomicUsize,
        writing: AtomicUsize,
    }

    // SAFETY: shuttle runs its threads in turn, on one of the system's, and an access that meets another ends the run.
    unsafe impl<T: Send> Sync for UnsafeCell<T> {}

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self {
                value: cell::UnsafeCell::new(value),
                reading: AtomicUsize::new(0),
                writing: AtomicUsize::new(0),
            }
        }

        pub(crate) fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
            self.reading.fetch_add(1, Relaxed);
            assert_eq!(self.writing.load(Relaxed), 0, "Concurrent read and write");
            let result = access(self.value.get());
            self.reading.fetch_sub(1, Relaxed);
            result
        }

        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            assert_eq!(self.writing.fetch_add(1, Relaxed), 0, "Concurrent writes");
            assert_eq!(self.reading.load(Relaxed), 0, "Concurrent write and read");
            let result = access(self.value.get());
            self.writing.fetch_sub(1, Relaxed);
            result
        }
    }
}
