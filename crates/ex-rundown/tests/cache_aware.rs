//! `CacheAwareRundownRef`: its memory, its layout, its slots, and its waits over std's threads.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

use std::{
    cell::Cell,
    mem::{MaybeUninit, offset_of},
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CacheAwareRundownRef, DISPATCH_LEVEL, MemoryError, Parity, PoolPlatform,
    ProcessorPlatform, RundownRef, State, WayOut,
};
use rundown_std::{Settings, Std};

/// std's platform on a machine of `N` processors with cache lines of `LINE` bytes and no pool.
#[derive(Debug)]
struct Machine<const N: u32, const LINE: usize>;

rundown_std::platform!(Machine<N, LINE>; const N: u32, const LINE: usize);

// SAFETY: constants; each test gives a power of two.
unsafe impl<const N: u32, const LINE: usize> ProcessorPlatform for Machine<N, LINE> {
    fn processor_number() -> u32 {
        Std::processor_number()
    }
    fn processor_count() -> u32 {
        N
    }
    fn cache_line() -> usize {
        LINE
    }
}

thread_local! {
    /// How many bytes the pool has left.
    static POOL: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: std's, as long as there is some.
unsafe impl<const N: u32, const LINE: usize> PoolPlatform for Machine<N, LINE> {
    fn allocate(bytes: usize) -> Option<NonNull<usize>> {
        POOL.set(POOL.get().checked_sub(bytes)?);
        Std::allocate(bytes)
    }
    unsafe fn free(memory: NonNull<usize>, bytes: usize) {
        POOL.set(POOL.get() + bytes);
        // SAFETY: handed on.
        unsafe { Std::free(memory, bytes) };
    }
}

type On<const N: u32, const LINE: usize> = CacheAwareRundownRef<Machine<N, LINE>>;

/// NT's layout, read as C code reads it.
#[repr(C)]
#[derive(Clone, Copy)]
struct ExRundownRefCacheAware {
    run_refs: *mut usize,
    pool_to_free: *mut u8,
    run_ref_size: u32,
    number: u32,
}

#[cfg(target_pointer_width = "64")]
#[test]
fn the_header_is_nts() {
    type Nt = ExRundownRefCacheAware;
    assert_eq!(size_of::<On<4, 64>>(), 0x18);
    assert_eq!(size_of::<Nt>(), 0x18);
    assert_eq!(
        [
            offset_of!(Nt, run_refs),
            offset_of!(Nt, pool_to_free),
            offset_of!(Nt, run_ref_size),
            offset_of!(Nt, number)
        ],
        [0x00, 0x08, 0x10, 0x14]
    );
}

fn memory(words: usize) -> Vec<MaybeUninit<usize>> {
    vec![MaybeUninit::uninit(); words]
}

/// At whatever word of a line the memory begins, the slots lie on lines of their own, within the memory.
#[test]
fn each_slot_has_its_own_line() {
    for offset in 0..16 {
        let needed = On::<5, 64>::size_of().unwrap();
        assert_eq!(needed, 0x18 + 6 * 64);
        let mut memory = memory(offset + needed / 8);
        let range = memory[offset..].as_ptr_range();
        let reference = On::<5, 64>::initialize(&mut memory[offset..]).unwrap();
        // SAFETY: the layout is the same, which is the point.
        let seen = unsafe { *(&raw const *reference).cast::<ExRundownRefCacheAware>() };
        assert_eq!((seen.number, seen.run_ref_size), (5, 64));
        assert!(seen.pool_to_free.is_null());
        assert_eq!(seen.run_refs.addr() % 64, 0);
        assert!(seen.run_refs.addr() >= (&raw const *reference).addr() + 0x18);
        assert!(seen.run_refs.addr() + 5 * 64 <= range.end.addr());
        for slot in 0..5 {
            let word = seen.run_refs.wrapping_byte_add(slot * 64);
            // SAFETY: a slot of the five, and nobody else touches it.
            assert_eq!(unsafe { *word }, 0);
        }
    }
}

#[test]
fn one_processor_needs_one_word() {
    assert_eq!(On::<1, 64>::size_of(), Ok(0x18 + 8));
    let mut memory = memory(4);
    let reference = On::<1, 64>::initialize(&mut memory).unwrap();
    assert!(reference.try_acquire().is_some());
    assert_eq!(reference.wait(), WayOut::Drained);
    assert_eq!(reference.wait(), WayOut::Drained);
}

#[test]
fn bad_memory_is_refused() {
    assert_eq!(On::<0, 64>::size_of(), Err(MemoryError::NoProcessors));
    assert_eq!(
        On::<0, 64>::initialize(&mut memory(100)).err(),
        Some(MemoryError::NoProcessors)
    );
    let needed = On::<3, 64>::size_of().unwrap();
    let mut words = memory(needed / 8 - 1);
    assert_eq!(
        On::<3, 64>::initialize(&mut words).err(),
        Some(MemoryError::TooSmall {
            needed,
            given: needed - 8
        })
    );
    let misaligned = words.as_mut_ptr().cast::<usize>().wrapping_byte_add(4);
    // SAFETY: refused before it is used.
    let refused = unsafe { On::<3, 64>::initialize_at(misaligned, needed) };
    assert_eq!(refused.err(), Some(MemoryError::Misaligned));
    // SAFETY: refused before it is used.
    let refused = unsafe { RundownRef::<Std>::from_ptr(misaligned) };
    assert_eq!(refused.err(), Some(MemoryError::Misaligned));
    assert_eq!(
        AllocatedCacheAwareRundownRef::<Machine<3, 64>>::new().err(),
        Some(MemoryError::Exhausted)
    );
    // A size that no memory has is no overflow.
    assert_eq!(
        On::<{ u32::MAX }, { 1 << 40 }>::size_of(),
        Err(MemoryError::Exhausted)
    );
}

#[test]
fn the_pool_gets_back_what_it_gave() {
    let bytes = On::<3, 64>::size_of().unwrap();
    POOL.set(bytes);
    let first = AllocatedCacheAwareRundownRef::<Machine<3, 64>>::new().unwrap();
    assert_eq!(POOL.get(), 0);
    drop(first);
    assert_eq!(POOL.get(), bytes);
    let raw = AllocatedCacheAwareRundownRef::into_raw(
        AllocatedCacheAwareRundownRef::<Machine<3, 64>>::new().unwrap(),
    );
    assert_eq!(POOL.get(), 0);
    // SAFETY: from `into_raw`, once.
    drop(unsafe { AllocatedCacheAwareRundownRef::from_raw(raw) });
    assert_eq!(POOL.get(), bytes);
}

/// Two waits at a time: found under the default policy, left to the caller, as by NT, under the other.
#[test]
#[should_panic(expected = "ConcurrentWait")]
fn a_second_waiter_is_detected_while_the_first_waits() {
    let mut memory = memory(100);
    let reference = On::<3, 64>::initialize(&mut memory).unwrap();
    assert!(on_processor(1, || reference.acquire()));
    // SAFETY: the layout is the same.
    let seen = unsafe { *(&raw const *reference).cast::<ExRundownRefCacheAware>() };
    // What a first waiter leaves in slot 0.
    // SAFETY: slot 0, and this is the only thread.
    unsafe { AtomicUsize::from_ptr(seen.run_refs) }.store(0x1001, Relaxed);
    reference.wait();
}

#[test]
fn unchecked_a_second_waiter_takes_the_first_for_references() {
    let mut memory = memory(100);
    let bytes = size_of_val(&*memory);
    // SAFETY: so many bytes, which live long enough, and only this thread has the reference.
    let reference = unsafe {
        CacheAwareRundownRef::<Machine<3, 64>, Parity>::initialize_at(memory.as_mut_ptr().cast(), bytes)
    }
    .unwrap();
    // SAFETY: the layout is the same.
    let seen = unsafe { *(&raw const *reference).cast::<ExRundownRefCacheAware>() };
    // What a first waiter leaves in slot 0, and in slot 1 what makes up for it.
    for (slot, value) in [(0, 0x1001), (1, 0x1001_usize.wrapping_neg())] {
        let word = seen.run_refs.wrapping_byte_add(slot * 64);
        // SAFETY: a slot of the three, and this is the only thread.
        unsafe { AtomicUsize::from_ptr(word) }.store(value, Relaxed);
    }
    assert_eq!(reference.wait(), WayOut::Drained);
    // The stale pointer stays, as in NT, until it is completed.
    assert!(matches!(reference.slot_state(2), Some(State::Waiting(_))));
    reference.completed();
    assert_eq!(reference.slot_state(2), Some(State::RunDown));
}

fn on_processor<R>(processor: u32, body: impl FnOnce() -> R) -> R {
    let settings = Settings {
        processor: Some(processor),
        ..Settings::current()
    };
    settings.with(body)
}

/// A word with so many references; negative ones wrap.
fn slot_word(references: isize) -> usize {
    (references * 2).cast_unsigned()
}

#[test]
fn a_slot_goes_negative_and_only_the_sum_counts() {
    let mut memory = memory(100);
    let reference = On::<3, 64>::initialize(&mut memory).unwrap();
    for processor in [0, 0, 1, 3, 7] {
        assert!(on_processor(processor, || reference.acquire()));
    }
    let words = |reference: &On<3, 64>| [0, 1, 2].map(|slot| reference.slot_state(slot).unwrap().word());
    // 3 and 7 are reduced to 0 and 1.
    assert_eq!(words(reference), [3, 2, 0].map(slot_word));
    for _ in 0..5 {
        // SAFETY: five were acquired.
        on_processor(2, || unsafe { reference.release() });
    }
    assert_eq!(words(reference), [3, 2, -5].map(slot_word));
    assert_eq!(reference.slot_state(3), None);
    assert_eq!(reference.wait(), WayOut::Drained);
    assert_eq!(words(reference), [1, 1, 1]);
    reference.completed();
    assert_eq!(
        reference.wait(),
        WayOut::Drained,
        "as documented; NT's would hang"
    );
    reference.reinitialize();
    assert_eq!(words(reference), [0, 0, 0]);
}

#[test]
fn a_waiter_sleeps_until_the_last_release_anywhere() {
    let mut memory = memory(100);
    let reference = On::<3, 64>::initialize(&mut memory).unwrap();
    assert!(on_processor(0, || reference.acquire_ex(2)));
    assert!(on_processor(1, || reference.acquire()));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !matches!(reference.slot_state(2), Some(State::Waiting(_))) {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(2));
            // SAFETY: three were acquired.
            on_processor(2, || unsafe { reference.release_ex(3) });
        });
        let way_out = reference.wait();
        assert!(matches!(way_out, WayOut::Event | WayOut::Late), "{way_out:?}");
    });
    assert!(!reference.acquire());
}

#[test]
#[should_panic(expected = "WaitAtDispatchLevel")]
fn it_does_not_sleep_at_dispatch_level() {
    let reference = AllocatedCacheAwareRundownRef::<Std>::new().unwrap();
    assert!(reference.acquire());
    let at_dispatch_level = Settings {
        irql: DISPATCH_LEVEL,
        ..Settings::DEFAULT
    };
    at_dispatch_level.with(|| reference.wait());
}

/// Found by the oracle: each acquire fits NT's 32 bits, the release of both does not.
#[test]
fn many_references_come_back_at_once() {
    let mut memory = memory(100);
    let reference = On::<3, 64>::initialize(&mut memory).unwrap();
    assert!(on_processor(0, || reference.acquire_ex(u32::MAX / 2)));
    assert!(on_processor(0, || reference.acquire_ex(u32::MAX / 2)));
    assert!(on_processor(0, || reference.acquire()));
    // SAFETY: so many were acquired.
    on_processor(0, || unsafe { reference.release_ex(u32::MAX) });
    assert_eq!(reference.slot_state(0), Some(State::Live(0)));
    assert_eq!(reference.wait(), WayOut::Drained);
}

/// Re-initialise goes slot by slot. A thread that acquired in a slot that is live again may be moved to a processor whose
/// slot is not yet. Found by shuttle.
#[test]
fn a_holder_is_ahead_of_reinitialize() {
    let mut memory = memory(100);
    let reference = On::<3, 64>::initialize(&mut memory).unwrap();
    reference.wait();
    // SAFETY: the layout is the same.
    let seen = unsafe { *(&raw const *reference).cast::<ExRundownRefCacheAware>() };
    let live_again = |slot: usize| {
        let word = seen.run_refs.wrapping_byte_add(slot * 64);
        // SAFETY: a slot of the three, and this is the only thread.
        unsafe { AtomicUsize::from_ptr(word) }.store(0, Relaxed);
    };
    let words = || [0, 1, 2].map(|slot| reference.slot_state(slot).unwrap().word());
    for last in [2, 0] {
        live_again(last);
        let processor = u32::try_from(last).unwrap();
        assert!(on_processor(processor, || reference.acquire()));
        // SAFETY: acquired above.
        on_processor(1, || unsafe { reference.release() });
        assert!(on_processor(processor, || reference.acquire_ex(3)));
        // SAFETY: three were acquired above.
        on_processor(1, || unsafe { reference.release_ex(3) });
    }
    // The second time the last slot, live again, took what the first was given. Only the sum counts.
    assert_eq!(words(), [slot_word(4), 1, slot_word(-4)]);
}

#[test]
#[should_panic(expected = "ReleaseAfterRundown")]
fn a_release_after_run_down_is_detected() {
    let reference = AllocatedCacheAwareRundownRef::<Std>::new().unwrap();
    reference.wait();
    // SAFETY: there is nothing to release, which is detected.
    unsafe { reference.release() };
}

#[test]
#[should_panic(expected = "ReleaseAfterRundown")]
fn a_counted_release_after_run_down_is_detected() {
    let reference = AllocatedCacheAwareRundownRef::<Std>::new().unwrap();
    reference.wait();
    // SAFETY: there is nothing to release, which is detected.
    unsafe { reference.release_ex(2) };
}

/// Many generations with holders that move between processors.
#[test]
fn no_holder_is_inside_after_a_wait() {
    const GENERATIONS: usize = if cfg!(miri) { 20 } else { 2_000 };
    let mut memory = memory(100);
    let reference = On::<3, 64>::initialize(&mut memory).unwrap();
    let inside = AtomicUsize::new(0);
    let generation = AtomicUsize::new(0);
    thread::scope(|scope| {
        for holder in 0..3 {
            let (inside, generation) = (&inside, &generation);
            scope.spawn(move || {
                let mut processor = holder;
                while generation.load(Relaxed) < GENERATIONS {
                    if on_processor(processor, || reference.acquire()) {
                        // Relaxed throughout: only the reference orders these.
                        inside.fetch_add(1, Relaxed);
                        thread::yield_now();
                        inside.fetch_sub(1, Relaxed);
                        // SAFETY: acquired above.
                        on_processor(processor + 1, || unsafe { reference.release() });
                    } else {
                        thread::yield_now();
                    }
                    processor += 2;
                }
            });
        }
        for _ in 0..GENERATIONS {
            reference.wait();
            assert_eq!(inside.load(Relaxed), 0, "a holder is inside after the wait");
            reference.completed();
            reference.reinitialize();
            generation.fetch_add(1, Relaxed);
        }
    });
}
