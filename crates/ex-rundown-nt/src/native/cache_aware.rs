//! The cache-aware reference's routines.

use core::{
    mem::offset_of,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::Routines;
use crate::{
    pool,
    system::{
        CacheAwareReference, ExAcquireRundownProtectionCacheAware, ExAcquireRundownProtectionCacheAwareEx,
        ExInitializeRundownProtectionCacheAware, ExReInitializeRundownProtectionCacheAware,
        ExReleaseRundownProtectionCacheAware, ExReleaseRundownProtectionCacheAwareEx,
        ExRundownCompletedCacheAware, ExSizeOfRundownProtectionCacheAware,
        ExWaitForRundownProtectionReleaseCacheAware,
    },
};

/// An `EX_RUNDOWN_REF_CACHE_AWARE` in nonpaged pool that the system's routines work on.
///
/// Nothing is checked here: the rules are the [routines'](Routines), and one more: a reference that is granted while
/// `reinitialize` goes on is released on the processor that it was granted on, since the routine goes from slot to slot, and a release
/// in a slot that is still run down follows a null pointer. What keeps them is [`NativeCacheAware`](super::NativeCacheAware).
pub struct CacheAware {
    // INVARIANT: an initialised reference in `bytes` of pool, which this owns.
    memory: NonNull<usize>,
    bytes: usize,
}

// SAFETY: the routines are made for concurrent callers; everything else only reads the slots, as atomics.
unsafe impl Sync for CacheAware {}
// SAFETY: the memory does not know its thread.
unsafe impl Send for CacheAware {}

/// The fields that the system's routines lay the slots out by. The structure is opaque in the WDK's headers, so they are
/// believed only where they agree with the memory that they lie in.
#[repr(C)]
struct Layout {
    run_refs: usize,
    pool_to_free: usize,
    run_ref_size: u32,
    number: u32,
}

impl CacheAware {
    /// A live reference; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    #[must_use]
    pub fn new() -> Option<Self> {
        let words = Self::bytes().div_ceil(size_of::<usize>());
        let this = Self {
            memory: pool::allocate(words)?,
            bytes: words * size_of::<usize>(),
        };
        // SAFETY: so many bytes of resident memory, which nobody else uses.
        unsafe { ExInitializeRundownProtectionCacheAware(Self::raw(this.memory), this.bytes) };
        Some(this)
    }

    /// The bytes that a reference takes on this machine.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    #[must_use]
    pub fn bytes() -> usize {
        // SAFETY: no preconditions at and below APC_LEVEL.
        unsafe { ExSizeOfRundownProtectionCacheAware() }
    }

    #[inline]
    fn raw(memory: NonNull<usize>) -> *mut CacheAwareReference {
        memory.as_ptr().cast()
    }

    /// The slots' words at this moment. None, if the system lays them out in another way than is known.
    #[must_use = "they are read when they are asked for"]
    pub fn words(&self) -> impl Iterator<Item = usize> {
        let field = |offset: usize| self.load(offset);
        let first = field(offset_of!(Layout, run_refs));
        // The two halves of the last word; x64 is little-endian.
        let [stride, number] = {
            let both = field(offset_of!(Layout, run_ref_size));
            [both & 0xffff_ffff, both >> 32]
        };
        let base = self.memory.addr().get();
        let known = first
            .checked_sub(base)
            .filter(|offset| *offset >= size_of::<Layout>() && offset % size_of::<usize>() == 0)
            .filter(|_| stride >= size_of::<usize>() && stride % size_of::<usize>() == 0)
            .filter(|offset| {
                number
                    .checked_mul(stride)
                    .and_then(|bytes| bytes.checked_add(*offset))
                    .is_some_and(|end| end <= self.bytes + stride - size_of::<usize>())
            });
        let number = if known.is_some() { number } else { 0 };
        let offset = known.unwrap_or(0);
        (0..number).map(move |index| self.load(offset + index * stride))
    }

    /// The word at `offset` bytes.
    fn load(&self, offset: usize) -> usize {
        if offset + size_of::<usize>() > self.bytes {
            return 0;
        }
        // SAFETY: in the memory, by the line above.
        let word = unsafe { self.memory.add(offset / size_of::<usize>()) };
        // Relaxed: it is looked at, not followed.
        // SAFETY: an aligned word in the memory, which the system's routines only write by locked instructions.
        unsafe { AtomicUsize::from_ptr(word.as_ptr()) }.load(Relaxed)
    }
}

impl Drop for CacheAware {
    fn drop(&mut self) {
        // SAFETY: by the invariant; nobody uses it any more.
        unsafe { pool::free(self.memory) };
    }
}

// SAFETY: each method is the system's routine of that name, on an initialised reference.
unsafe impl Routines for CacheAware {
    const BY_SLOT: bool = true;

    #[inline]
    fn acquire(&self, count: u32) -> bool {
        if count == 1 {
            // SAFETY: by the invariant.
            unsafe { ExAcquireRundownProtectionCacheAware(Self::raw(self.memory)) != 0 }
        } else {
            // SAFETY: by the invariant.
            unsafe { ExAcquireRundownProtectionCacheAwareEx(Self::raw(self.memory), count) != 0 }
        }
    }

    #[inline]
    unsafe fn release_at(this: *const Self, count: u32) {
        // Read once, before the reference is given back: this value goes with the object.
        // SAFETY: valid until then, says the caller.
        let memory = unsafe { (*this).memory };
        if count == 1 {
            // SAFETY: by the invariant and the caller's promise.
            unsafe { ExReleaseRundownProtectionCacheAware(Self::raw(memory)) };
        } else {
            // SAFETY: by the invariant and the caller's promise.
            unsafe { ExReleaseRundownProtectionCacheAwareEx(Self::raw(memory), count) };
        }
    }

    unsafe fn wait(&self) {
        // SAFETY: by the invariant and the caller's promise.
        unsafe { ExWaitForRundownProtectionReleaseCacheAware(Self::raw(self.memory)) };
    }

    unsafe fn completed(&self) {
        // SAFETY: by the invariant and the caller's promise.
        unsafe { ExRundownCompletedCacheAware(Self::raw(self.memory)) };
    }

    unsafe fn reinitialize(&self) {
        // SAFETY: by the invariant and the caller's promise.
        unsafe { ExReInitializeRundownProtectionCacheAware(Self::raw(self.memory)) };
    }
}
