//! The cache-aware run-down reference: one word per processor.

use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit,
    panic::RefUnwindSafe,
    ptr::{self, NonNull},
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{
    AtMostApcLevel, Check, MemoryError, Misuse, Parity, ProcessorPlatform, RundownRef, State, Strict, WayOut,
    memory,
    wait_block::{NoUnwind, WaitBlock},
    word::{self, ACTIVE, Refused},
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
/// 5. Under [`Strict`] a counted acquire takes no slot beyond its share of `isize::MAX`. So the sum is exact, and no slot
///    wraps, whatever is acquired and released where.
///
/// # Re-initialising while others try to acquire
///
/// [`reinitialize`](Self::reinitialize) goes from slot to slot, so a holder may be ahead of it: it has acquired in a slot that is
/// live again and releases in one that is not. NT takes what that one says for a wait block: with NT's routines keep
/// newcomers out until it has returned. Here that is not needed: such a reference is given back in another slot
/// (invariant 3).
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
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
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
#[repr(transparent)]
pub struct CacheAwareRundownRef<P: ProcessorPlatform, C = Strict> {
    /// Nobody changes it. In an `UnsafeCell` it is all the same: a reference to memory without one promises that the memory
    /// is there until the function that has the reference returns, and the owner may free it as soon as the last
    /// release has given its reference back, before it has returned.
    header: UnsafeCell<Header<P>>,
    policy: PhantomData<fn() -> C>,
}

/// `EX_RUNDOWN_REF_CACHE_AWARE`.
#[repr(C)]
struct Header<P> {
    run_refs: NonNull<Slot<P>>,
    pool_to_free: *mut usize,
    run_ref_size: u32,
    number: u32,
}

/// The largest count that a slot, which is unchecked, does not truncate.
const EXACT: u32 = u32::MAX / 2;

/// Bytes before the slots.
const HEADER: usize = 2 * size_of::<usize>() + 2 * size_of::<u32>();

// SAFETY: the slots are atomic, and the header does not change once it is initialised.
unsafe impl<P: ProcessorPlatform, C> Send for CacheAwareRundownRef<P, C> {}
// SAFETY: as above.
unsafe impl<P: ProcessorPlatform, C> Sync for CacheAwareRundownRef<P, C> {}
impl<P: ProcessorPlatform, C> RefUnwindSafe for CacheAwareRundownRef<P, C> {}

/// What the slots say, one after the other. While others work on them that is no moment's truth.
enum Survey {
    /// Each says 1.
    RunDown,
    /// Each is live; the sum is twice the number of references.
    Live { sum: usize },
    /// Somebody waits, or the slots disagree.
    InUse { word: usize },
}

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

impl<P: ProcessorPlatform> CacheAwareRundownRef<P> {
    /// Makes a live reference in memory that the caller gives (`ExInitializeRundownProtectionCacheAware`).
    ///
    /// # Errors
    /// [`MemoryError::TooSmall`], or what [`size_of`](Self::size_of) says.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
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
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{CacheAwareRundownRef, ProcessorPlatform};
    /// let bytes = CacheAwareRundownRef::<Nt>::size_of()?;
    /// assert!(bytes > 8 * Nt::processor_count() as usize);
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn size_of() -> Result<usize, MemoryError> {
        Layout::of::<P>().map(|layout| layout.size)
    }

    /// As [`initialize`](CacheAwareRundownRef::initialize), by address and size, as C code gives them, and under any
    /// policy.
    ///
    /// # Errors
    /// [`MemoryError::Null`] and [`MemoryError::Misaligned`] besides.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// Unless it is null or misaligned, `memory` is valid for writes of `bytes`, for as long as `'a`, and nobody else uses it.
    /// Under [`Parity`] whoever can reach the reference keeps the [rules](Parity#rules).
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
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
            unsafe { slot.write(Slot::saying(State::Live(0))) };
        }
        let header = Header {
            // INVARIANT 1.
            // SAFETY: within the bytes, so not null.
            run_refs: unsafe { NonNull::new_unchecked(first) },
            pool_to_free: ptr::null_mut(),
            run_ref_size: layout.stride,
            number: layout.number,
        };
        // SAFETY: within the bytes, and aligned as a pointer.
        unsafe { memory.cast::<Header<P>>().write(header) };
        // SAFETY: just written, and a reference is its header; valid for 'a, says the caller.
        Ok(unsafe { &*memory.cast::<Self>() })
    }

    /// How many slots there are: one per processor.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AllocatedCacheAwareRundownRef, ProcessorPlatform};
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.slots(), Nt::processor_count());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use]
    pub fn slots(&self) -> u32 {
        // SAFETY: initialised, and changed by nobody.
        unsafe { (*self.header.get()).number }
    }

    /// What a slot's word says at this moment; `None` when there is no such slot. A negative slot reads as many
    /// references. For debuggers and tests.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AllocatedCacheAwareRundownRef, State};
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.slot_state(0), Some(State::Live(0)));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[must_use]
    pub fn slot_state(&self, slot: u32) -> Option<State> {
        (slot < self.slots()).then(|| self.slot(slot).state())
    }

    #[inline]
    fn slot(&self, index: u32) -> &Slot<P> {
        debug_assert!(index < self.slots());
        // SAFETY: initialised, and changed by nobody.
        let first = unsafe { (*self.header.get()).run_refs };
        // SAFETY: as above.
        let stride = unsafe { (*self.header.get()).run_ref_size };
        // SAFETY: invariant 1; each caller's index is below `number`.
        let slot = unsafe { first.byte_add(index as usize * stride as usize) };
        // SAFETY: invariant 1.
        unsafe { slot.as_ref() }
    }

    /// The slot of the processor that this runs on, at this moment.
    #[inline]
    fn own_slot(&self) -> &Slot<P> {
        let processor = P::processor_number();
        // NT divides always. There is a slot for each processor, so the division is not needed but for a platform
        // that numbers them with gaps.
        let index = if processor < self.slots() {
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
        processor.checked_rem(self.slots()).unwrap_or(0)
    }

    /// Takes a reference, unless run-down has begun (`ExAcquireRundownProtectionCacheAware`).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the memory is resident.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
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
        if C::CHECKED && word::IS_NARROW {
            return self.acquire_ex(1);
        }
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
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
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
        if unsafe { !slot.release_unless_run_down(value) } {
            // SAFETY: as above, and nothing has happened yet.
            unsafe { self.release_elsewhere(1) };
        }
    }

    /// Invariant 3: finds a slot that is not run down. NT goes on with the null pointer, and crashes.
    ///
    /// # Safety
    /// As [`release_ex`](Self::release_ex).
    #[cold]
    #[inline(never)]
    unsafe fn release_elsewhere(&self, count: u32) {
        // The last slot is the first to be re-initialised.
        for index in (0..self.slots()).rev() {
            // SAFETY: the caller's promise; nothing has happened in the slots before.
            if unsafe { self.slot(index).release_ex_unless_run_down(count) } {
                return;
            }
        }
        P::misuse(Misuse::ReleaseAfterRundown, ACTIVE);
    }

    /// Takes `count` references, unless run-down has begun (`ExAcquireRundownProtectionCacheAwareEx`).
    ///
    /// Twice the count is computed in 32 bits, as NT does it, and under [`Strict`] a count of 2^31 or more is a
    /// [misuse](Misuse::TooManyReferences). So is, and changes nothing, a count for which no slot has room (invariant 5).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the memory is resident.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
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
        if !C::CHECKED {
            return slot.acquire_ex(count);
        }
        if count > EXACT {
            P::misuse(Misuse::TooManyReferences, slot.state().word());
        }
        match slot.acquire_within(count, self.most()) {
            Ok(()) => true,
            Err(Refused::RunDown) => false,
            Err(Refused::Full) => self.acquire_elsewhere(count, slot.state().word()),
        }
    }

    /// What a slot may say at most, so that the sum of all never exceeds `isize::MAX`: by a shift, which takes less time than
    /// the division that would be exact.
    fn most(&self) -> isize {
        // Fewer bits than a word has: so many slots lie in memory.
        isize::MAX >> (u32::BITS - self.slots().leading_zeros())
    }

    /// Takes references in whichever slot has room. A program that acquires by the thousand million on one processor
    /// and releases on others fills a slot while the others become negative.
    #[cold]
    #[inline(never)]
    fn acquire_elsewhere(&self, count: u32, full: usize) -> bool {
        for index in 0..self.slots() {
            match self.slot(index).acquire_within(count, self.most()) {
                Ok(()) => return true,
                Err(Refused::RunDown) => return false,
                Err(Refused::Full) => {}
            }
        }
        P::misuse(Misuse::TooManyReferences, full)
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
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
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
        if unsafe { !self.own_slot().release_ex_unless_run_down(count) } {
            // SAFETY: as above, and nothing has happened yet.
            unsafe { self.release_elsewhere(count) };
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
    /// [misuse](Misuse::WaitAtDispatchLevel) under both policies. Under [`Strict`] that is found before run-down begins, unless
    /// a reference is acquired in the same moment.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AllocatedCacheAwareRundownRef, WayOut};
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// assert_eq!(reference.wait(), WayOut::Drained);
    /// assert_eq!(reference.wait(), WayOut::Drained, "a second wait has no effect and is not an error");
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[allow(clippy::must_use_candidate, reason = "how it ended is for those who count")]
    pub fn wait(&self) -> WayOut {
        if C::CHECKED {
            self.check_level();
        }
        let block = WaitBlock::<P::Event>::not_spinning();
        let published = block.word();
        let Some(mut sum) = self.take_slot_0(published) else {
            if C::CHECKED {
                self.check_run_down();
            }
            return WayOut::Drained;
        };
        // What is misuse from here on ends the program, be it that a platform's `misuse` unwinds.
        let no_unwind = NoUnwind::begin();
        for index in 1..self.slots() {
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
            for index in (0..self.slots()).rev() {
                let _ = self
                    .slot(index)
                    .word
                    .compare_exchange(published, ACTIVE, Release, Relaxed);
            }
        }
        no_unwind.end();
        way_out
    }

    /// A wait that has to sleep cannot be taken back once its block is published; so its level is checked before, as far as
    /// what is out then tells.
    #[inline(never)]
    fn check_level(&self) {
        if AtMostApcLevel::check::<P>().is_some() {
            return;
        }
        match self.survey() {
            Survey::RunDown | Survey::Live { sum: 0 } => {}
            Survey::Live { sum: word } | Survey::InUse { word } => {
                P::misuse(Misuse::WaitAtDispatchLevel, word);
            }
        }
    }

    /// Slot 0 says that the reference is run down. The last slot, the first to be re-initialised, says otherwise while somebody
    /// is at that, and then a reference may be out.
    fn check_run_down(&self) {
        let last = self.slot(self.slots() - 1).state();
        if last != State::RunDown {
            P::misuse(Misuse::ConcurrentWait, last.word());
        }
    }

    fn survey(&self) -> Survey {
        let mut sum = 0_usize;
        let mut run_down = 0;
        for index in 0..self.slots() {
            let state = self.slot(index).state();
            match state {
                State::Live(_) if run_down == 0 => sum = sum.wrapping_add(state.word()),
                State::RunDown if run_down == index => run_down += 1,
                _ => return Survey::InUse { word: state.word() },
            }
        }
        if run_down == 0 {
            Survey::Live { sum }
        } else {
            Survey::RunDown
        }
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
    /// Under [`Strict`] it is a wait on a live reference that nobody holds, and changes nothing on one that is run down.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{AllocatedCacheAwareRundownRef, State};
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// reference.wait();
    /// reference.completed();
    /// assert_eq!(reference.slot_state(0), Some(State::RunDown));
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn completed(&self) {
        if !C::CHECKED {
            self.swap_all(State::RunDown);
            return;
        }
        match self.survey() {
            Survey::RunDown => {}
            // Nothing is out, so this does not sleep; what comes in at the same moment is waited for.
            Survey::Live { sum: 0 } => {
                self.wait();
            }
            Survey::Live { sum: word } | Survey::InUse { word } => P::misuse(Misuse::CompletedInUse, word),
        }
    }

    /// Makes the reference live again (`ExReInitializeRundownProtectionCacheAware`); only after a wait.
    ///
    /// Newcomers may try to acquire meanwhile. With NT's routine they must not: see
    /// [the type](Self#re-initialising-while-others-try-to-acquire).
    ///
    /// It goes from slot to slot, and whoever tries to acquire meanwhile is granted a slot that had its turn. Here such a
    /// reference may be released on any processor; with NT's routines it may not before this has returned
    /// ([why](Self#re-initialising-while-others-try-to-acquire)).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as Microsoft documents it; nothing here depends on it.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::AllocatedCacheAwareRundownRef;
    /// let reference = AllocatedCacheAwareRundownRef::<Nt>::new()?;
    /// reference.wait();
    /// reference.reinitialize();
    /// assert!(reference.try_acquire().is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    pub fn reinitialize(&self) {
        if !C::CHECKED {
            // A wait leaves its block's address in each slot. If these went one by one while newcomers acquire in those
            // that are live again, a holder that changes its processor would take one for a block.
            self.swap_all(State::RunDown);
            self.swap_all(State::Live(0));
            return;
        }
        match self.survey() {
            Survey::RunDown => self.revive(),
            // Only the sum counts.
            Survey::Live { sum: 0 } => {}
            Survey::Live { sum: word } | Survey::InUse { word } => {
                P::misuse(Misuse::ReinitializedInUse, word)
            }
        }
    }

    /// Makes each slot that says 1 live. Invariant 2: slot 0 last.
    fn revive(&self) {
        for index in (0..self.slots()).rev() {
            // Release pairs with the Acquire of an acquire in this slot.
            let exchanged =
                self.slot(index)
                    .word
                    .compare_exchange(ACTIVE, State::Live(0).word(), Release, Relaxed);
            if let Err(now) = exchanged {
                P::misuse(Misuse::ReinitializedInUse, now);
            }
        }
    }

    /// Invariant 2: slot 0 last.
    fn swap_all(&self, state: State) {
        for index in (0..self.slots()).rev() {
            // Release pairs with the Acquire of an acquire in this slot.
            self.slot(index).word.swap(state.word(), Release);
        }
    }

    /// Records the allocation that this lies in, as NT's layout has it.
    pub(crate) fn set_pool_to_free(this: NonNull<Self>, pool: NonNull<usize>) {
        // SAFETY: the one who allocated it has it to itself.
        unsafe { (*this.cast::<Header<P>>().as_ptr()).pool_to_free = pool.as_ptr() };
    }

    /// The allocation that this lies in; null when the caller gave the memory.
    pub(crate) fn pool_to_free(&self) -> *mut usize {
        // SAFETY: initialised, and changed by nobody any more.
        unsafe { (*self.header.get()).pool_to_free }
    }
}

impl<P: ProcessorPlatform, C: Check> core::fmt::Debug for CacheAwareRundownRef<P, C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let slots = (0..self.slots()).map(|index| self.slot(index).state());
        f.write_str("CacheAwareRundownRef")?;
        f.debug_list().entries(slots).finish()
    }
}

crate::protection::protection!(
    CacheAwareRundownRef<P: ProcessorPlatform>,
    "let reference = ex_rundown::AllocatedCacheAwareRundownRef::<Nt>::new().expect(\"memory\");"
);
