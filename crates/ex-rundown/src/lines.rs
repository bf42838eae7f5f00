//! A counter for each processor that there can be, each on a cache line of its own.

use core::{marker::PhantomData, ptr::NonNull, sync::atomic::Ordering::Relaxed};

use crate::{AtomicUsize, MemoryError, PoolPlatform};

/// Counters in the platform's pool, which are freed when this is dropped.
///
/// Any of them may be negative, and may wrap: they are counted modulo 2^64, and only their sum has a meaning.
pub(crate) struct Lines<P: PoolPlatform> {
    // INVARIANT: `number` counters, `stride()` bytes apart, within `bytes` at `memory`, which this owns.
    first: NonNull<AtomicUsize>,
    memory: NonNull<usize>,
    bytes: usize,
    number: u32,
    platform: PhantomData<fn() -> P>,
}

impl<P: PoolPlatform> Lines<P> {
    /// From one counter to the next: the platform says the same at each call.
    #[inline]
    fn stride() -> usize {
        size_of::<AtomicUsize>().next_multiple_of(P::cache_line())
    }

    /// The bytes of pool that they take: one line more than there are counters, because the memory may begin inside of one.
    pub(crate) fn bytes() -> Result<usize, MemoryError> {
        match P::processor_count() {
            0 => Err(MemoryError::NoProcessors),
            number => (number as usize)
                .checked_add(1)
                .and_then(|lines| lines.checked_mul(Self::stride()))
                .ok_or(MemoryError::Exhausted),
        }
    }

    /// Counters that say zero.
    pub(crate) fn new() -> Result<Self, MemoryError> {
        let number = P::processor_count();
        let bytes = Self::bytes()?;
        let memory = P::allocate(bytes).ok_or(MemoryError::Exhausted)?;
        // Less than a line.
        let padding = memory.addr().get().wrapping_neg() % P::cache_line();
        // SAFETY: within the bytes, see above.
        let first = unsafe { memory.byte_add(padding) }.cast::<AtomicUsize>();
        for index in 0..number as usize {
            // SAFETY: within the bytes, see above.
            let counter = unsafe { first.byte_add(index * Self::stride()) };
            // SAFETY: as above, and aligned: a line's size is a multiple of a word's.
            unsafe { counter.write(AtomicUsize::new(0)) };
        }
        Ok(Self {
            first,
            memory,
            bytes,
            number,
            platform: PhantomData,
        })
    }

    /// How many there are.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The counter of a processor.
    ///
    /// # Safety
    /// `processor` is below [`number`](Self::number).
    #[inline]
    pub(crate) unsafe fn get(&self, processor: u32) -> &AtomicUsize {
        debug_assert!(processor < self.number);
        // SAFETY: the invariant.
        let counter = unsafe { self.first.byte_add(processor as usize * Self::stride()) };
        // SAFETY: the invariant; initialised by `new`.
        unsafe { counter.as_ref() }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &AtomicUsize> {
        // SAFETY: below the number.
        (0..self.number).map(|processor| unsafe { self.get(processor) })
    }

    /// All of them together. While others count that is no moment's truth.
    pub(crate) fn sum(&self) -> usize {
        // Relaxed: ordered by what the caller did before, or by nothing.
        self.iter()
            .fold(0, |sum, counter| sum.wrapping_add(counter.load(Relaxed)))
    }
}

impl<P: PoolPlatform> Drop for Lines<P> {
    fn drop(&mut self) {
        // SAFETY: the invariant; nothing borrows them any more.
        unsafe { P::free(self.memory, self.bytes) };
    }
}
