//! NT's own cache-aware run-down protection.

use core::{
    cell::UnsafeCell,
    mem::offset_of,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use wdk_sys::{
    _EX_RUNDOWN_REF_CACHE_AWARE as EX_RUNDOWN_REF_CACHE_AWARE,
    ntddk::{
        ExAcquireRundownProtectionCacheAware, ExAcquireRundownProtectionCacheAwareEx,
        ExInitializeRundownProtectionCacheAware, ExReInitializeRundownProtectionCacheAware,
        ExReleaseRundownProtectionCacheAware, ExReleaseRundownProtectionCacheAwareEx,
        ExRundownCompletedCacheAware, ExSizeOfRundownProtectionCacheAware,
        ExWaitForRundownProtectionReleaseCacheAware,
    },
};

use super::PoolBox;

/// An `EX_RUNDOWN_REF_CACHE_AWARE` that the system's routines work on.
pub(crate) struct NativeCacheAware {
    // INVARIANT: initialised, and in place for as long as this lives.
    memory: PoolBox<[UnsafeCell<usize>]>,
}

// SAFETY: the routines are made for concurrent callers; everything else only reads the slots, as atomics.
unsafe impl Sync for NativeCacheAware {}
// SAFETY: the memory does not know its thread.
unsafe impl Send for NativeCacheAware {}

/// The fields that the system's routines lay the slots out by. The structure is opaque in the WDK's headers, so they are
/// believed only where they agree with the memory that they lie in.
#[repr(C)]
struct Layout {
    run_refs: usize,
    pool_to_free: usize,
    run_ref_size: u32,
    number: u32,
}

impl NativeCacheAware {
    /// A live reference; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(crate) fn new() -> Option<Self> {
        let memory = PoolBox::from_fn(Self::bytes().div_ceil(size_of::<usize>()), |_| UnsafeCell::new(0))?;
        let this = Self { memory };
        // SAFETY: so many bytes of resident memory, which nobody else uses.
        unsafe { ExInitializeRundownProtectionCacheAware(this.as_ptr(), size_of_val(&*this.memory) as u64) };
        Some(this)
    }

    /// The bytes that a reference takes on this machine.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(crate) fn bytes() -> usize {
        // SAFETY: no preconditions at and below APC_LEVEL.
        let bytes = unsafe { ExSizeOfRundownProtectionCacheAware() };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn as_ptr(&self) -> *mut EX_RUNDOWN_REF_CACHE_AWARE {
        UnsafeCell::raw_get(self.memory.as_ptr()).cast()
    }

    /// Takes `count` references; by the routine without a count when it is 1.
    pub(crate) fn acquire(&self, count: u32) -> bool {
        let granted = if count == 1 {
            // SAFETY: by the invariant.
            unsafe { ExAcquireRundownProtectionCacheAware(self.as_ptr()) }
        } else {
            // SAFETY: by the invariant.
            unsafe { ExAcquireRundownProtectionCacheAwareEx(self.as_ptr(), count) }
        };
        granted != 0
    }

    /// Gives `count` references back; by the routine without a count when it is 1.
    ///
    /// # Safety
    /// The caller owns so many, at least one, and gives them up.
    pub(crate) unsafe fn release(&self, count: u32) {
        if count == 1 {
            // SAFETY: by the invariant and the caller's promise.
            unsafe { ExReleaseRundownProtectionCacheAware(self.as_ptr()) };
        } else {
            // SAFETY: by the invariant and the caller's promise.
            unsafe { ExReleaseRundownProtectionCacheAwareEx(self.as_ptr(), count) };
        }
    }

    /// Runs it down and waits.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// It is live, and nobody else waits.
    pub(crate) unsafe fn wait(&self) {
        // SAFETY: by the invariant and the caller's promise.
        unsafe { ExWaitForRundownProtectionReleaseCacheAware(self.as_ptr()) };
    }

    /// Marks it as run down.
    ///
    /// # Safety
    /// No reference is out, and nobody waits.
    pub(crate) unsafe fn completed(&self) {
        // SAFETY: by the invariant and the caller's promise.
        unsafe { ExRundownCompletedCacheAware(self.as_ptr()) };
    }

    /// Makes it live again.
    ///
    /// # Safety
    /// No reference is out, and nobody waits.
    pub(crate) unsafe fn reinitialize(&self) {
        // SAFETY: by the invariant and the caller's promise.
        unsafe { ExReInitializeRundownProtectionCacheAware(self.as_ptr()) };
    }

    /// The slots' words at this moment. None, if the system lays them out in another way than is known.
    pub(crate) fn words(&self) -> impl Iterator<Item = usize> {
        let field = |offset: usize| self.load(offset);
        let first = field(offset_of!(Layout, run_refs));
        // The two halves of the last word; x64 is little-endian.
        let [stride, number] = {
            let both = field(offset_of!(Layout, run_ref_size));
            [both & 0xffff_ffff, both >> 32]
        };
        let base = self.memory.as_ptr().addr();
        let known = first
            .checked_sub(base)
            .filter(|offset| *offset >= size_of::<Layout>() && offset % size_of::<usize>() == 0)
            .filter(|_| stride >= size_of::<usize>() && stride % size_of::<usize>() == 0)
            .filter(|offset| {
                number
                    .checked_mul(stride)
                    .and_then(|bytes| bytes.checked_add(*offset))
                    .is_some_and(|end| end <= size_of_val(&*self.memory) + stride - size_of::<usize>())
            });
        let number = if known.is_some() { number } else { 0 };
        let offset = known.unwrap_or(0);
        (0..number).map(move |index| self.load(offset + index * stride))
    }

    /// The word at `offset` bytes.
    fn load(&self, offset: usize) -> usize {
        let cell = self.memory.get(offset / size_of::<usize>()).map(UnsafeCell::get);
        // Relaxed: it is looked at, not followed.
        // SAFETY: an aligned word in the memory, which the system's routines only write by locked instructions.
        cell.map_or(0, |word| unsafe { AtomicUsize::from_ptr(word) }.load(Relaxed))
    }
}
