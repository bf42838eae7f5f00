//! Nonpaged pool, aligned to cache lines.

use core::ptr::NonNull;

use crate::system::{ExAllocatePool2, ExFreePoolWithTag};

/// The tag of everything that is allocated here, as `!poolused` shows it.
pub const TAG: u32 = u32::from_le_bytes(*b"Rdwn");

/// `POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED` (`wdm.h`).
pub const FLAGS: u64 = 0x40 | 0x08;

/// Allocates room for `count` values of `T`, all zeroes; `None` when there is none, or too little for a `T`'s alignment.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
#[must_use]
pub fn allocate<T>(count: usize) -> Option<NonNull<T>> {
    let bytes = size_of::<T>().checked_mul(count)?.max(1);
    // SAFETY: no preconditions at and below DISPATCH_LEVEL; failure is a null pointer.
    let memory = unsafe { ExAllocatePool2(FLAGS, bytes, TAG) };
    let memory = NonNull::new(memory)?;
    if !memory.cast::<T>().is_aligned() {
        // A machine whose cache line is smaller than the type's alignment: there is none, but nothing promises it.
        // SAFETY: allocated above, and not used.
        unsafe { free(memory) };
        return None;
    }
    Some(memory.cast())
}

/// Frees what [`allocate`] gave.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// It came from `allocate`, is freed once, and holds no value that would have to be dropped.
pub unsafe fn free<T>(memory: NonNull<T>) {
    // SAFETY: the caller's promise.
    unsafe { ExFreePoolWithTag(memory.as_ptr().cast(), TAG) };
}
