//! The two references with a line per processor that are ours alone: the one for `DISPATCH_LEVEL`, and the wide one.
#![cfg(all(target_pointer_width = "64", not(any(ex_rundown_loom, ex_rundown_shuttle))))]

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use ex_rundown::{
    AtDispatchLevel, DISPATCH_LEVEL, DispatchGuard, DispatchPlatform, DispatchRundownRef, Platform,
    ProcessorPlatform, Protection, Rundown, WayOut, WideCacheAwareRundownRef,
};
use rundown_std::{Settings, Std};

type Dispatch = DispatchRundownRef<Std>;
type Wide = WideCacheAwareRundownRef<Std>;

fn dispatch() -> Dispatch {
    Dispatch::new().expect("memory")
}

fn wide() -> Wide {
    Wide::new().expect("memory")
}

/// A section on the processor that the thread claims.
fn section<R>(body: impl FnOnce(&AtDispatchLevel<Std>) -> R) -> R {
    // SAFETY: nothing in these tests lowers the level in a section.
    unsafe { AtDispatchLevel::raise(body) }
}

/// The thread claims to be on that processor.
fn on<R>(processor: u32, body: impl FnOnce() -> R) -> R {
    let settings = Settings {
        processor: Some(processor),
        ..Settings::current()
    };
    settings.with(body)
}

fn misuse<R>(body: impl FnOnce() -> R) -> String {
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let payload = result.err().expect("misuse is not detected");
    *payload.downcast::<String>().expect("a text")
}

/// The processor, where the check finds that this is a section.
fn checked() -> Option<u32> {
    // SAFETY: nothing in here lowers the IRQL.
    unsafe { AtDispatchLevel::<Std>::check(AtDispatchLevel::processor) }
}

#[test]
fn a_section_is_at_dispatch_level_and_stays_on_its_processor() {
    assert_eq!(checked(), None);
    let last = Std::processor_count() - 1;
    on(last, || {
        section(|level| {
            assert_eq!(level.processor(), last);
            assert_eq!(Std::current_irql(), DISPATCH_LEVEL);
            assert_eq!(checked(), Some(last));
            // One within it is a part of it, whatever the thread claims.
            assert_eq!(on(0, || section(AtDispatchLevel::processor)), last);
            level.debug_check();
        });
    });
    assert!(!Std::is_at_dispatch_level());
    assert!(Std::current_irql() < DISPATCH_LEVEL);
}

/// A level that is only claimed proves nothing.
#[test]
fn a_claim_is_no_section() {
    let claimed = Settings {
        irql: DISPATCH_LEVEL,
        ..Settings::DEFAULT
    };
    assert_eq!(claimed.with(checked), None);
}

fn lives_and_is_run_down(reference: &impl Protection) {
    for generation in 0..3 {
        assert!(reference.acquire() && reference.acquire_ex(5));
        assert!(reference.acquire_ex(0));
        // SAFETY: acquired above.
        unsafe { reference.release_ex(2) };
        // SAFETY: as above.
        unsafe { reference.release() };
        // SAFETY: as above.
        on(1, || unsafe { reference.release_ex(3) });
        // SAFETY: nothing is owned, and nothing released.
        unsafe { reference.release_ex(0) };
        assert_eq!(reference.wait(), WayOut::Drained, "generation {generation}");
        assert_eq!(reference.wait(), WayOut::Drained, "no effect, and no error");
        assert!(!reference.acquire() && !reference.acquire_ex(1) && !reference.acquire_ex(0));
        if generation == 1 {
            reference.completed();
        }
        reference.reinitialize();
    }
    reference.reinitialize();
    reference.completed();
    assert!(!reference.acquire());
}

#[test]
fn generations() {
    on(0, || lives_and_is_run_down(&dispatch()));
    on(0, || lives_and_is_run_down(&wide()));
}

/// One counter goes up, the other goes down: only their sum counts, in this generation and in the next.
fn released_elsewhere(reference: &(impl Protection + Sync), outstanding: impl Fn() -> Option<usize>) {
    for _ in 0..2 {
        for _ in 0..100 {
            assert!(on(0, || reference.acquire()));
            // SAFETY: acquired above.
            on(1, || unsafe { reference.release() });
        }
        assert!(on(0, || reference.acquire()));
        assert_eq!(outstanding(), Some(1));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| reference.wait());
            while outstanding().is_some() {
                thread::yield_now();
            }
            assert!(!reference.acquire());
            // SAFETY: acquired above.
            on(1, || unsafe { reference.release() });
            waiter.join().expect("it returns");
        });
        assert_eq!(outstanding(), None);
        reference.reinitialize();
        assert_eq!(outstanding(), Some(0));
    }
}

#[test]
fn what_is_released_on_another_processor_counts() {
    let reference = dispatch();
    released_elsewhere(&reference, || reference.outstanding());
    let reference = wide();
    released_elsewhere(&reference, || reference.outstanding());
}

#[test]
fn guards_give_back_in_their_section() {
    let reference = dispatch();
    section(|level| {
        let one = reference.try_acquire(level).expect("live");
        let more = reference.try_acquire_ex(level, 3).expect("live");
        assert_eq!((one.count(), more.count()), (1, 3));
        assert_eq!(reference.outstanding(), Some(4));
        assert_eq!(format!("{more:?}"), "DispatchGuard { count: 3, .. }");
        drop(more);
        assert_eq!(reference.outstanding(), Some(1));
        assert_eq!(
            reference.protect(level, || reference.outstanding()),
            Some(Some(2))
        );
    });
    assert_eq!(reference.outstanding(), Some(0));
    let kept = section(|level| DispatchGuard::forget(reference.try_acquire_ex(level, 2).expect("live")));
    assert_eq!((kept, reference.outstanding()), (2, Some(2)));
    // SAFETY: the two that were forgotten.
    section(|level| unsafe { reference.release_ex(level, kept) });
    {
        let _below = reference.try_acquire_from_below().expect("live");
        assert_eq!(reference.outstanding(), Some(1));
    }
    reference.wait();
    section(|level| {
        assert!(reference.try_acquire(level).is_none());
        assert!(reference.try_acquire_ex(level, 2).is_none());
        assert_eq!(reference.protect(level, || ()), None);
    });
    assert!(reference.try_acquire_from_below().is_none());
}

#[test]
fn data_is_reached_at_and_below_dispatch_level() {
    let data = Rundown::new(vec![1, 2, 3], dispatch());
    assert_eq!(
        section(|level| data.acquire_at(level).map(|held| held.len())),
        Some(3)
    );
    assert_eq!(data.acquire().map(|held| held.len()), Some(3));
    assert_eq!(data.run_down(), Some(vec![1, 2, 3]));
    assert!(section(|level| data.acquire_at(level).is_none()));
    assert_eq!(data.renew(vec![4]), Ok(()));
    let shown = section(|level| data.acquire_at(level).map(|held| format!("{held:?}")));
    assert_eq!(shown.as_deref(), Some("[4]"));
}

fn misuse_is_told(reference: &(impl Protection + Sync)) {
    reference.wait();
    // SAFETY: there is nothing to release, which is found.
    let said = misuse(|| unsafe { reference.release() });
    assert!(said.contains("ReleaseAfterRundown"), "{said}");
    reference.reinitialize();
    assert!(reference.acquire());
    let said = misuse(|| reference.completed());
    assert!(said.contains("CompletedInUse"), "{said}");
    let said = misuse(|| reference.reinitialize());
    assert!(said.contains("ReinitializedInUse"), "{said}");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| reference.wait());
        while reference.acquire() {
            // SAFETY: just acquired.
            unsafe { reference.release() };
        }
        let said = misuse(|| reference.wait());
        assert!(said.contains("ConcurrentWait"), "{said}");
        let said = misuse(|| reference.completed());
        assert!(said.contains("CompletedInUse"), "{said}");
        let said = misuse(|| reference.reinitialize());
        assert!(said.contains("ReinitializedInUse"), "{said}");
        // SAFETY: acquired above.
        unsafe { reference.release() };
        waiter.join().expect("it returns");
    });
}

#[test]
fn misuse_of_each() {
    on(0, || misuse_is_told(&dispatch()));
    on(0, || misuse_is_told(&wide()));
}

/// A grace period cannot be had there; nothing is published.
#[test]
fn a_wait_at_dispatch_level_changes_nothing() {
    let reference = dispatch();
    let said = section(|_level| misuse(|| reference.wait()));
    assert!(said.contains("WaitAtDispatchLevel"), "{said}");
    assert_eq!(reference.outstanding(), Some(0));
    reference.wait();
    assert_eq!(
        section(|_level| reference.wait()),
        WayOut::Drained,
        "as documented"
    );
}

/// Counts that no counter has room for are refused; what was counted before stays exact.
#[test]
fn a_count_beyond_the_share_is_misuse() {
    let reference = dispatch();
    let counter = &raw const reference;
    // The counters' table is the third word (`repr(C)`), and begins with the first counter's address.
    // SAFETY: the reference has that word.
    let table = unsafe { counter.cast::<*const AtomicUsize>().add(2) };
    // SAFETY: it is an address, and nobody changes it.
    let first = unsafe { table.read() };
    // SAFETY: a counter of the reference, which lives.
    let first = unsafe { &*first };
    let most = isize::MAX >> (u32::BITS - Std::processor_count().leading_zeros());
    on(0, || {
        first.store(most.cast_unsigned() - 2, Relaxed);
        assert!(Protection::acquire_ex(&reference, 2));
        for count in [1, u32::MAX] {
            let said = misuse(|| Protection::acquire_ex(&reference, count));
            assert!(said.contains("TooManyReferences"), "{said}");
        }
        assert_eq!(first.load(Relaxed), most.cast_unsigned());
        // What is taken one by one would take a hundred years from here.
        assert!(Protection::acquire(&reference));
        // A counter that is below zero has room again.
        first.store(0_usize.wrapping_sub(10), Relaxed);
        assert!(Protection::acquire_ex(&reference, u32::MAX));
        first.store(0, Relaxed);
    });
    assert_eq!(reference.wait(), WayOut::Drained);
}

/// Threads on every processor against an owner; references are given back on the next one.
fn storm(reference: &(impl Protection + Sync)) {
    const GENERATIONS: usize = if cfg!(miri) { 5 } else { 2_000 };
    /// Of each thread.
    const ACQUIRES: usize = if cfg!(miri) { 5 } else { 2_000 };
    let living = AtomicBool::new(true);
    let over = AtomicBool::new(false);
    let busy = AtomicUsize::new(0);
    let threads = Std::processor_count().max(2);
    let start = Barrier::new(threads as usize + 1);
    thread::scope(|scope| {
        for processor in 0..threads {
            let (living, over, busy, start) = (&living, &over, &busy, &start);
            scope.spawn(move || {
                busy.fetch_add(1, Relaxed);
                start.wait();
                let mut acquires = 0;
                while !over.load(Relaxed) {
                    if on(processor, || reference.acquire()) {
                        assert!(living.load(Relaxed), "the object is gone");
                        // SAFETY: acquired above.
                        on(processor + 1, || unsafe { reference.release() });
                        acquires += 1;
                        if acquires == ACQUIRES {
                            busy.fetch_sub(1, Relaxed);
                        }
                    } else {
                        thread::yield_now();
                    }
                }
            });
        }
        start.wait();
        let mut generations = 0;
        while generations < GENERATIONS || busy.load(Relaxed) > 0 {
            generations += 1;
            reference.wait();
            living.store(false, Relaxed);
            reference.completed();
            living.store(true, Relaxed);
            reference.reinitialize();
        }
        over.store(true, Relaxed);
    });
    assert_eq!(reference.wait(), WayOut::Drained);
}

#[test]
fn storms() {
    storm(&dispatch());
    storm(&wide());
}
