//! Resident memory that is allocated fallibly, tagged, and aligned to cache lines.

use core::{
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};

pub(crate) use ex_rundown_nt::pool::TAG;
use ex_rundown_nt::pool::{FLAGS, allocate, free};
use wdk_sys::{POOL_FLAG_CACHE_ALIGNED, POOL_FLAG_NON_PAGED};
use zerocopy::FromZeros;

// What that crate has from the header's text, as bindgen read it.
const _: () = assert!(FLAGS == POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED);

/// A value, or a slice of values, in nonpaged pool.
pub(crate) struct PoolBox<T: ?Sized> {
    // INVARIANT: points to an allocation of this driver's tag that holds a valid `T` and belongs to this alone.
    value: NonNull<T>,
}

// SAFETY: it owns its value as a `Box` does.
unsafe impl<T: ?Sized + Send> Send for PoolBox<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for PoolBox<T> {}

impl<T> PoolBox<T> {
    /// Moves `value` into pool; `None` when there is none left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new(value: T) -> Option<Self> {
        PoolRoom::new().map(|room| room.fill(value))
    }
}

impl<T: FromZeros> PoolBox<T> {
    /// A value of zeroes, made in its place; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn zeroed() -> Option<Self> {
        // ExAllocatePool2 zeroes what it gives unless it is told not to.
        allocate::<T>(1).map(|value| Self { value })
    }
}

impl<T> PoolBox<[T]> {
    /// A slice of `count` values, made one by one; `None` when there is no pool left, or one cannot be made.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn try_from_fn(count: usize, mut make: impl FnMut(usize) -> Option<T>) -> Option<Self> {
        let memory = allocate::<T>(count)?;
        for index in 0..count {
            // SAFETY: the allocation has room for `count` values.
            let slot = unsafe { memory.add(index) };
            let Some(value) = make(index) else {
                // Those made so far go as a slice of their own. (A panic does not come here: the kernel does not unwind.)
                drop(Self {
                    value: NonNull::slice_from_raw_parts(memory, index),
                });
                return None;
            };
            // SAFETY: aligned, in the allocation, and not yet a value.
            unsafe { slot.write(value) };
        }
        Some(Self {
            value: NonNull::slice_from_raw_parts(memory, count),
        })
    }
}

impl<T: ?Sized> PoolBox<T> {
    /// Gives the value away as a pointer.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).value
    }

    /// Takes it back.
    ///
    /// # Safety
    /// The pointer came from [`into_raw`](Self::into_raw), and is taken back once.
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Self {
        Self { value }
    }
}

impl<T: ?Sized> Deref for PoolBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for PoolBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant, and the box is borrowed mutably.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized> Drop for PoolBox<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant; nobody uses the value afterwards.
        unsafe { ptr::drop_in_place(self.value.as_ptr()) };
        // SAFETY: by the invariant, and freed once.
        unsafe { free(self.value.cast::<u8>()) };
    }
}

/// Room in nonpaged pool for a value that is not there yet: what comes between the two cannot fail for lack of pool.
pub(crate) struct PoolRoom<T> {
    // INVARIANT: an allocation of this driver's tag for a `T`, without one in it, that belongs to this alone.
    memory: NonNull<T>,
}

impl<T> PoolRoom<T> {
    /// Room for a value; `None` when there is none left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn new() -> Option<Self> {
        allocate(1).map(|memory| Self { memory })
    }

    /// Moves `value` into it.
    fn fill(self, value: T) -> PoolBox<T> {
        let memory = ManuallyDrop::new(self).memory;
        // SAFETY: by the invariant, memory with the size and alignment of a `T`.
        unsafe { memory.write(value) };
        PoolBox { value: memory }
    }
}

impl<T> Drop for PoolRoom<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant, and freed once.
        unsafe { free(self.memory) };
    }
}

/// A value in nonpaged pool that several threads own: `Arc`, whose allocation cannot fail.
pub(crate) struct PoolArc<T> {
    // INVARIANT: a pool box that was given away, and is taken back by the last owner.
    shared: NonNull<Shared<T>>,
}

struct Shared<T> {
    owners: AtomicUsize,
    value: T,
}

/// Room for the value of a [`PoolArc`].
pub(crate) struct ArcRoom<T>(PoolRoom<Shared<T>>);

impl<T> ArcRoom<T> {
    /// Moves `value` into it.
    pub(crate) fn fill(self, value: T) -> PoolArc<T> {
        let shared = self.0.fill(Shared {
            owners: AtomicUsize::new(1),
            value,
        });
        PoolArc {
            shared: shared.into_raw(),
        }
    }
}

// SAFETY: as for `Arc`: owners on several threads share the value, and any of them may drop it.
unsafe impl<T: Send + Sync> Send for PoolArc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for PoolArc<T> {}

impl<T> PoolArc<T> {
    /// Moves `value` into pool; `None` when there is none left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new(value: T) -> Option<Self> {
        Self::room().map(|room| room.fill(value))
    }

    /// Room for a value; `None` when there is none left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn room() -> Option<ArcRoom<T>> {
        PoolRoom::new().map(ArcRoom)
    }

    fn shared(&self) -> &Shared<T> {
        // SAFETY: by the invariant; this owner is counted.
        unsafe { self.shared.as_ref() }
    }
}

impl<T> Clone for PoolArc<T> {
    fn clone(&self) -> Self {
        // Relaxed: whoever clones is an owner already, so the value is visible to it.
        self.shared().owners.fetch_add(1, Relaxed);
        Self { shared: self.shared }
    }
}

impl<T> Deref for PoolArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared().value
    }
}

impl<T> Drop for PoolArc<T> {
    fn drop(&mut self) {
        // Release for what this owner did, Acquire for what the others did: the last one drops the value.
        if self.shared().owners.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: by the invariant, and nobody else owns it any more.
            drop(unsafe { PoolBox::from_raw(self.shared) });
        }
    }
}
