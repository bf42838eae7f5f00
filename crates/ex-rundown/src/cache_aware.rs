//! The cache-aware run-down reference: one word per processor.

use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::{self, NonNull},
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{
    Check, MemoryError, Misuse, Parity, ProcessorPlatform, RundownRef, State, Strict, WayOut, memory,
    wait_block::WaitBlock, word::ACTIVE,
};

/// A slot: a plain reference that does not mind being released more often than it was acquired. Only the sum of
/// all slots counts, so the slots are unchecked whatever the policy is.
type Slot<P> = RundownRef<P, Parity>;

/// Run-down protection for one object that many processors use at once: an `EX_RUNDOWN_REF_CACHE_AWARE`.
///
/// Acquire and release work on the slot of the processor that they run on, so that processors do not fight for a
/// cache line. The thread is not pinned: a reference may be released in another slot than it was acquired in, and a
/// slot may go negative. Only the sum of all slots counts, and only a wait computes it.
///
/// | offset (x64) | field | |
/// |---|---|---|
/// | 0x00 | `RunRefs` | the first slot |
/// | 0x08 | `PoolToFree` | the allocation that this lies in, if it [was allocated](crate::AllocatedCacheAwareRundownRef) |
/// | 0x10 | `RunRefSize` | the bytes from one slot to the next: a cache line, or 8 with one processor |
/// | 0x14 | `Number` | how many slots |
///
/// # Invariants
///
/// 1. `RunRefs` points to `Number >= 1` slots, `RunRefSize` bytes apart, that live as long as this.
/// 2. A waiter takes slot 0 first and gives it back last; so there is one waiter, and while slot 0 says `1`, all do.
/// 3. A slot that says `1` while a reference is out has not been re-initialised yet, which happens slot by slot. Such a
///    reference is given back in another slot: the one that it was acquired in does not say `1` before it is.
/// 4. Every granted acquire is in the value that the waiter takes out of its slot. So the sum of these values is
///    twice the number of references that are still to be released *in the block*.
///
/// # The wait
///
/// The block is published in slot after slot, so a releaser in an early slot finds it before the waiter knows how
/// many references there are. Its count starts at 0 and only goes down; the waiter adds the sum when it has it, and
/// whoever brings the count to zero, the waiter or a releaser, is the last.
///
/// ```text
///  waiter                                          releasers
///  B.Count = 0, B.SpinFlag = 0
///  slot 0:  v0 -> &B|1                   . . . .   B.Count: 0 -> -1, -2, ...
///  slot 1:  v1 -> &B|1
///  ...
///  initialise B.WakeEvent
///  B.Count += (v0 + v1 + ...) / 2
///     +-- 0: return
///     v
///  sleep on B.WakeEvent  <----------------------   B.Count: 1 -> 0, set B.WakeEvent
/// ```
///
/// `SpinFlag` is 0 from the start: with 1 the last releaser would take the waiter for spinning and skip the event.
///
/// ```
/// use std::mem::MaybeUninit;
/// use ex_rundown::CacheAwareRundownRef;
/// # type Nt = rundown_std::Std;
/// type Reference = CacheAwareRundownRef<Nt>;
///
/// let mut memory = vec![MaybeUninit::<usize>::uninit(); Reference::size_of()?.div_ceil(8)];
/// let reference = Reference::initialize(&mut memory)?;
/// assert!(reference.try_acquire().is_some());
/// reference.wait();
/// assert!(reference.try_acquire().is_none());
/// # Ok::<(), ex_rundown::MemoryError>(())
/// ```
#[repr(C)]
pub struct CacheAwareRundownRef<P: ProcessorPlatform, C = Strict> {
    run_refs: NonNull<Slot<P>>,
    pool_to_free: *mut usize,
    run_ref_size: u32,
    number: u32,
    policy: PhantomData<fn() -> C>,
}

/// The largest count that a slot, which is unchecked, does not truncate.
const EXACT: u32 = u32::MAX / 2;

/// Bytes before the slots.
const HEADER: usize = 2 * size_of::<usize>() + 2 * size_of::<u32>();

// SAFETY: the slots are atomic, and the fields do not change once it is initialised.
unsafe impl<P: ProcessorPlatform, C> Send for CacheAwareRundownRef<P, C> {}
// SAFETY: as above.
unsafe impl<P: ProcessorPlatform, C> Sync for CacheAwareRundownRef<P, C> {}

/// How the slots lie.
struct Layout {
    number: u32,
    stride: u32,
    /// Bytes with the header, wherever the memory begins.
    size: usize,
}

impl Layout {
    fn of<P: ProcessorPlatform>() -> Result<Self, MemoryError> {
        let number = P::processor_count();
        let word = size_of::<Slot<P>>();
        let stride = match number {
            0 => return Err(MemoryError::NoProcessors),
            1 => word,
            _ => word.next_multiple_of(P::cache_line()),
        };
        // One line more than there are slots, because the memory may begin inside of one.
        let slots = if number == 1 { 1 } else { number as usize + 1 };
        let size = stride
            .checked_mul(slots)
            .and_then(|bytes| bytes.checked_add(HEADER));
        let (Some(size), Ok(stride)) = (size, u32::try_from(stride)) else {
            return Err(MemoryError::Exhausted);
        };
        Ok(Self { number, stride, size })
    }
}

impl<P: ProcessorPlatform, C: Check> CacheAwareRundownRef<P, C> {
    /// The bytes that a reference takes (`ExSizeOfRundownProtectionCacheAware`).
    ///
    /// # Errors
    /// [`MemoryError::NoProcessors`]; [`MemoryError::Exhausted`] when there are more than memory can hold.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{CacheAwareRundownRef, ProcessorPlatform};
    /// let bytes = CacheAwareRundownRef::<Nt>::size_of()?;
    /// assert!(bytes > 8 * Nt::processor_count() as usize);
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn size_of() -> Result<usize, MemoryError> {
        Layout::of::<P>().map(|layout| layout.size)
    }

    /// Makes a live reference in memory that the caller gives (`ExInitializeRundownProtectionCacheAware`).
    ///
    /// # Errors
    /// [`MemoryError::TooSmall`], or what [`size_of`](Self::size_of) says.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # use std::mem::MaybeUninit;
    /// # use ex_rundown::{CacheAwareRundownRef, MemoryError};
    /// let mut memory = [MaybeUninit::<usize>::uninit(); 2];
    /// let refused = CacheAwareRundownRef::<Nt>::initialize(&mut memory);
    /// assert!(matches!(refused, Err(MemoryError::TooSmall { given: 16, .. })));
    /// ```
    pub fn initialize(memory: &mut [MaybeUninit<usize>]) -> Result<&Self, MemoryError> {
        // SAFETY: the slice is borrowed for as long as the reference, and exclusively.
        unsafe { Self::initialize_at(memory.as_mut_ptr().cast(), size_of_val(memory)) }
    }

    /// As [`initialize`](Self::initialize), by address and size, as C code gives them.
    ///
    /// # Errors
    /// [`MemoryError::Null`] and [`MemoryError::Misaligned`] besides.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// Unless it is null or misaligned, `memory` is valid for writes of `bytes`, for as long as `'a`, and nobody else uses it.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{CacheAwareRundownRef, MemoryError};
    /// // SAFETY: a null pointer is refused before it is used.
    /// let refused = unsafe { CacheAwareRundownRef::<Nt>::initialize_at(std::ptr::null_mut(), 4096) };
    /// assert_eq!(refused.err(), Some(MemoryError::Null));
    /// ```
    pub unsafe fn initialize_at<'a>(memory: *mut usize, bytes: usize) -> Result<&'a Self, MemoryError> {
        memory::check_address(memory.addr())?;
        let layout = Layout::of::<P>()?;
        if bytes < layout.size {
            return Err(MemoryError::TooSmall {
                needed: layout.size,
                given: bytes,
            });
        }
        // SAFETY: the header is within the bytes.
        let after_header = unsafe { memory.byte_add(HEADER) };
        let padding = match layout.number {
            1 => 0,
            _ => after_header.addr().wrapping_neg() % layout.stride as usize,
        };
        // The padding is less than a stride, of which the size counts one more than there are slots.
        // SAFETY: see above, so still within the bytes.
        let first = unsafe { after_header.byte_add(padding) }.cast::<Slot<P>>();
        for index in 0..layout.number as usize {
            // SAFETY: by the size, each slot is within the bytes.
            let slot = unsafe { first.byte_add(index * layout.stride as usize) };
            // SAFETY: as above, and aligned: the stride is a multiple of a word's alignment.
            unsafe { slot.write(Slot::new()) };
        }
        let reference = memory.cast::<Self>();
        let header = Self {
            // INVARIANT 1.
            // SAFETY: within the bytes, so not null.
            run_refs: unsafe { NonNull::new_unchecked(first) },
            pool_to_free: ptr::null_mut(),
            run_ref_size: layout.stride,
            number: layout.number,
            policy: PhantomData,
        };
        // SAFETY: within the bytes, and aligned as a pointer.
        unsafe { reference.write(header) };
        // SAFETY: just written; valid for 'a, says the caller.
        Ok(unsafe { &*reference })
    }

    /// How many slots there are: one per processor.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AllocatedCacheAwareRundownRef, ProcessorPlatform};
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.slots(), Nt::processor_count());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.number
    }

    /// What a slot's word says at this moment; `None` when there is no such slot. A negative slot reads as many
    /// references. For debuggers and tests.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AllocatedCacheAwareRundownRef, State};
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.slot_state(0), Some(State::Live(0)));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use]
    pub fn slot_state(&self, slot: u32) -> Option<State> {
        (slot < self.number).then(|| self.slot(slot).state())
    }

    #[inline]
    fn slot(&self, index: u32) -> &Slot<P> {
        debug_assert!(index < self.number);
        // SAFETY: invariant 1; each caller's index is below `number`.
        let slot = unsafe {
            self.run_refs
                .byte_add(index as usize * self.run_ref_size as usize)
        };
        // SAFETY: invariant 1.
        unsafe { slot.as_ref() }
    }

    /// The slot of the processor that this runs on, at this moment.
    #[inline]
    fn own_slot(&self) -> &Slot<P> {
        let processor = P::processor_number();
        // NT divides always. There is a slot for each processor, so the division is not needed but for a platform
        // that numbers them with gaps.
        let index = if processor < self.number {
            processor
        } else {
            self.reduced(processor)
        };
        self.slot(index)
    }

    #[cold]
    #[inline(never)]
    fn reduced(&self, processor: u32) -> u32 {
        // Never by zero, by invariant 1.
        processor.checked_rem(self.number).unwrap_or(0)
    }

    /// Takes a reference, unless run-down has begun (`ExAcquireRundownProtectionCacheAware`).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the memory is resident.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// if reference.acquire() {
    ///     // SAFETY: acquired above, and released once.
    ///     unsafe { reference.release() };
    /// }
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    #[must_use = "without the reference the object may go away at any time"]
    pub fn acquire(&self) -> bool {
        self.own_slot().acquire()
    }

    /// Gives a reference back (`ExReleaseRundownProtectionCacheAware`), on whichever processor this runs.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the memory is resident.
    ///
    /// # Safety
    /// The caller owns a reference, and gives it up.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert!(reference.acquire());
    /// // SAFETY: acquired above, and released once.
    /// unsafe { reference.release() };
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    pub unsafe fn release(&self) {
        let slot = self.own_slot();
        if let Err(now) = slot.release_fast() {
            // SAFETY: the caller's promise, handed on; the exchange has not happened.
            unsafe { self.release_slow(slot, now) };
        }
    }

    /// # Safety
    /// As [`release`](Self::release); `value` is what the slot's word said.
    #[cold]
    #[inline(never)]
    unsafe fn release_slow(&self, slot: &Slot<P>, value: usize) {
        // SAFETY: the caller's promise. By invariant 4 the waiter, if there is one, counts it, in whichever slot it
        // is released.
        if unsafe { slot.release_unless_run_down(value) } {
            return;
        }
        // SAFETY: as above.
        self.release_elsewhere(|slot| unsafe { slot.release_ex_unless_run_down(1) });
    }

    /// Invariant 3: finds a slot that is not run down. NT goes on with the null pointer, and crashes.
    #[cold]
    #[inline(never)]
    fn release_elsewhere(&self, release: impl Fn(&Slot<P>) -> bool) {
        // The last slot is the first to be re-initialised.
        if !(0..self.number).rev().any(|index| release(self.slot(index))) {
            P::misuse(Misuse::ReleaseAfterRundown, ACTIVE);
        }
    }

    /// Takes `count` references, unless run-down has begun (`ExAcquireRundownProtectionCacheAwareEx`).
    ///
    /// Twice the count is computed in 32 bits, as NT does it, and under [`Strict`] a count of 2^31 or more is a
    /// [misuse](Misuse::TooManyReferences).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the memory is resident.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert!(reference.acquire_ex(5));
    /// // SAFETY: acquired above, and released once.
    /// unsafe { reference.release_ex(5) };
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use = "without the references the object may go away at any time"]
    pub fn acquire_ex(&self, count: u32) -> bool {
        let slot = self.own_slot();
        if C::CHECKED && count > EXACT {
            P::misuse(Misuse::TooManyReferences, slot.state().word());
        }
        slot.acquire_ex(count)
    }

    /// Gives `count` references back (`ExReleaseRundownProtectionCacheAwareEx`).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the memory is resident.
    ///
    /// # Safety
    /// The caller owns `count` references, and gives them up.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert!(reference.acquire_ex(2));
    /// // SAFETY: two were acquired above, and each is released once.
    /// unsafe { reference.release_ex(1) };
    /// // SAFETY: as above.
    /// unsafe { reference.release() };
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub unsafe fn release_ex(&self, mut count: u32) {
        if C::CHECKED {
            // References that were acquired in parts may come back at once. What is not released yet is still owned,
            // so they can go in parts.
            while count > EXACT {
                // SAFETY: as `release`.
                unsafe { self.release_part(EXACT) };
                count -= EXACT;
            }
        }
        // SAFETY: as `release`.
        unsafe { self.release_part(count) };
    }

    /// # Safety
    /// As [`release_ex`](Self::release_ex).
    unsafe fn release_part(&self, count: u32) {
        // SAFETY: as `release`.
        let release = |slot: &Slot<P>| unsafe { slot.release_ex_unless_run_down(count) };
        if !release(self.own_slot()) {
            self.release_elsewhere(release);
        }
    }

    /// Begins run-down and waits until every reference is given back
    /// (`ExWaitForRundownProtectionReleaseCacheAware`).
    ///
    /// As [`RundownRef::wait`], but it does not spin: it sleeps at once when references are out. On a reference that
    /// was [completed](Self::completed) it returns at once, as documented; NT's hangs with two slots or more.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`. With references out it cannot wait above that, which is a
    /// [misuse](Misuse::WaitAtDispatchLevel) under both policies.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AllocatedCacheAwareRundownRef, WayOut};
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.wait(), WayOut::Drained);
    /// assert_eq!(reference.wait(), WayOut::Drained, "a second wait has no effect and is not an error");
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[allow(clippy::must_use_candidate, reason = "how it ended is for those who count")]
    pub fn wait(&self) -> WayOut {
        let block = WaitBlock::<P::Event>::not_spinning();
        let published = block.word();
        let Some(mut sum) = self.take_slot_0(published) else {
            return WayOut::Drained;
        };
        for index in 1..self.number {
            // AcqRel, as where the plain reference publishes its block.
            let value = self.slot(index).word.swap(published, AcqRel);
            if C::CHECKED && value & ACTIVE != 0 {
                // Invariant 2: slot 0 was live, so nobody else waits; this slot was written by other hands.
                P::misuse(Misuse::ConcurrentWait, value);
            }
            sum = sum.wrapping_add(value);
        }
        if C::CHECKED && sum > isize::MAX.cast_unsigned() {
            P::misuse(Misuse::ReleaseWithoutAcquire, sum);
        }
        let way_out = if sum == 0 {
            block.end();
            WayOut::Drained
        } else {
            block.wait_asleep::<P>(sum >> 1)
        };
        if C::CHECKED {
            // Invariant 2: slot 0 last. Release pairs with the Acquire of a later wait, which returns at once. It
            // fails when the reference was completed or re-initialised meanwhile, which those two report.
            for index in (0..self.number).rev() {
                let _ = self
                    .slot(index)
                    .word
                    .compare_exchange(published, ACTIVE, Release, Relaxed);
            }
        }
        way_out
    }

    /// Publishes the block in slot 0, and gives the value that was there; `None` when it is run down.
    fn take_slot_0(&self, published: usize) -> Option<usize> {
        let word = &self.slot(0).word;
        // Acquire: when it says 1, the wait returns from here.
        let mut value = word.load(Acquire);
        loop {
            match State::of(value) {
                State::RunDown => return None,
                State::Waiting(_) if C::CHECKED => P::misuse(Misuse::ConcurrentWait, value),
                // Unchecked, as in NT, a second wait takes the stale pointer for references and hangs.
                State::Live(_) | State::Waiting(_) => {}
            }
            // AcqRel as in `wait`; on failure Acquire as above.
            match word.compare_exchange_weak(value, published, AcqRel, Acquire) {
                Ok(_) => return Some(value),
                Err(now) => value = now,
            }
        }
    }

    /// Marks the reference as run down (`ExRundownCompletedCacheAware`); after a wait, and optional.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as Microsoft documents it; nothing here depends on it.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AllocatedCacheAwareRundownRef, State};
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// reference.wait();
    /// reference.completed();
    /// assert_eq!(reference.slot_state(0), Some(State::RunDown));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn completed(&self) {
        self.replace(State::RunDown, Misuse::CompletedInUse);
    }

    /// Makes the reference live again (`ExReInitializeRundownProtectionCacheAware`); only after a wait.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as Microsoft documents it; nothing here depends on it.
    ///
    /// ```
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::AllocatedCacheAwareRundownRef;
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// reference.wait();
    /// reference.reinitialize();
    /// assert!(reference.try_acquire().is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn reinitialize(&self) {
        self.replace(State::Live(0), Misuse::ReinitializedInUse);
    }

    fn replace(&self, state: State, misuse: Misuse) {
        let mut sum = 0_usize;
        // Invariant 2: slot 0 last.
        for index in (0..self.number).rev() {
            // Release pairs with the Acquire of an acquire in this slot.
            let old = self.slot(index).word.swap(state.word(), Release);
            match State::of(old) {
                State::Live(_) => sum = sum.wrapping_add(old),
                State::Waiting(_) if C::CHECKED => P::misuse(misuse, old),
                State::RunDown | State::Waiting(_) => {}
            }
        }
        if C::CHECKED && sum != 0 {
            P::misuse(misuse, sum);
        }
    }

    /// Records the allocation that this lies in, as NT's layout has it.
    pub(crate) fn set_pool_to_free(this: NonNull<Self>, pool: NonNull<usize>) {
        // SAFETY: the one who allocated it has it to itself.
        unsafe { (*this.as_ptr()).pool_to_free = pool.as_ptr() };
    }

    /// The allocation that this lies in; null when the caller gave the memory.
    pub(crate) fn pool_to_free(&self) -> *mut usize {
        self.pool_to_free
    }
}

impl<P: ProcessorPlatform, C: Check> core::fmt::Debug for CacheAwareRundownRef<P, C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let slots = (0..self.number).map(|index| self.slot(index).state());
        f.write_str("CacheAwareRundownRef")?;
        f.debug_list().entries(slots).finish()
    }
}

crate::protection::protection!(
    CacheAwareRundownRef<P: ProcessorPlatform, C>,
    "let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new().expect(\"memory\");"
);
