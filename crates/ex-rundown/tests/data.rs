//! `Rundown`, which owns its data, and the guards, over std's threads.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CountedGuard, Guard, Held, NotRenewed, Owned, Protection, Rundown,
    RundownRef, State, WideRundownRef,
};
use rundown_std::Std;

/// Counts its drops.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn the_data_is_dropped_once_by_whoever_has_it() {
    let drops = AtomicUsize::new(0);
    drop(Rundown::new(Counted(&drops), RundownRef::<Std>::new()));
    assert_eq!(drops.load(Relaxed), 1);
    let data = Rundown::new(Counted(&drops), RundownRef::<Std>::new());
    drop(data.run_down());
    assert_eq!(drops.load(Relaxed), 2);
    drop(data);
    assert_eq!(drops.load(Relaxed), 2, "taken, so not the owner's to drop");
    let data = Rundown::new(Counted(&drops), RundownRef::<Std>::new());
    drop(data.run_down());
    assert!(data.renew(Counted(&drops)).is_ok());
    let refused = data.renew(Counted(&drops)).unwrap_err();
    assert!(matches!(refused, NotRenewed::StillThere(_)));
    drop(refused.into_inner());
    drop(data);
    assert_eq!(drops.load(Relaxed), 5);
}

#[test]
fn a_disabled_reference_holds_its_data_back() {
    let data = Rundown::new(1, RundownRef::<Std>::new_run_down());
    assert!(data.acquire().is_none());
    assert_eq!(data.run_down(), Some(1));
    assert_eq!(data.renew(2), Ok(()));
    assert_eq!(data.acquire().as_deref(), Some(&2));
}

/// Readers against an owner that takes the data and puts it back. A `Vec` that is freed under a reader would show.
fn readers_and_an_owner<R: Protection + Sync>(protection: R) {
    const GENERATIONS: u32 = if cfg!(miri) { 20 } else { 1_000 };
    let data = Rundown::new(vec![0; 8], protection);
    let over = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while over.load(Relaxed) == 0 {
                    if let Some(held) = data.acquire() {
                        assert!(held.windows(2).all(|pair| pair[0] == pair[1]), "torn: {held:?}");
                    }
                    thread::yield_now();
                }
            });
        }
        for generation in 1..=GENERATIONS {
            let mut taken = data.run_down().expect("the only owner");
            assert!(data.acquire().is_none());
            taken.fill(generation);
            data.renew(taken).expect("the only owner");
        }
        over.store(1, Relaxed);
    });
}

#[test]
fn data_comes_and_goes() {
    readers_and_an_owner(RundownRef::<Std>::new());
    readers_and_an_owner(WideRundownRef::<Std>::new());
    readers_and_an_owner(AllocatedCacheAwareRundownRef::<Std>::new().unwrap());
}

/// Of many threads that run the same data down, one gets it and nobody waits for ever.
#[test]
fn one_thread_takes_the_data() {
    for _ in 0..200 {
        let data = Arc::new(Rundown::new(1_usize, RundownRef::<Std>::new()));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let data = data.clone();
                thread::spawn(move || data.run_down())
            })
            .collect();
        let taken: usize = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(taken, 1);
    }
}

#[test]
fn guards_are_taken_apart_and_put_together() {
    let reference = RundownRef::<Std>::new();
    let raw = Guard::into_raw(reference.try_acquire().unwrap());
    assert_eq!(reference.state(), State::Live(1));
    // SAFETY: from `into_raw`, once.
    drop(unsafe { Guard::from_raw(raw) });
    assert_eq!(reference.state(), State::Live(0));

    Guard::forget(reference.try_acquire().unwrap());
    assert_eq!(reference.state(), State::Live(1));
    // SAFETY: the forgotten one.
    unsafe { reference.release() };
    let four = reference.try_acquire_ex(4).unwrap();
    assert_eq!(four.count(), 4);
    assert_eq!(CountedGuard::forget(four), 4);
    // SAFETY: the forgotten ones.
    unsafe { reference.release_ex(4) };

    let mut many = reference.try_acquire_ex(3).unwrap();
    let one = many.take_one().unwrap();
    drop(many);
    assert_eq!(reference.state(), State::Live(1));
    drop(one);
    let mut none = reference.try_acquire_ex(0).unwrap();
    assert!(none.take_one().is_none());
    drop(none);
    assert_eq!(reference.state(), State::Live(0));
    assert_eq!(CountedGuard::forget(reference.try_acquire_ex(2).unwrap()), 2);
    assert_eq!(reference.state(), State::Live(2));
    assert_eq!(reference.protect(|| reference.state()), Some(State::Live(3)));
    // SAFETY: the forgotten ones.
    unsafe { reference.release_ex(2) };
    assert_eq!(reference.state(), State::Live(0));
}

/// A holder that panics gives its reference back.
#[test]
fn a_panic_inside_releases() {
    let reference = RundownRef::<Std>::new();
    let body =
        std::panic::AssertUnwindSafe(|| reference.protect(|| std::panic::resume_unwind(Box::new("inside"))));
    assert!(std::panic::catch_unwind(body).is_err());
    assert_eq!(reference.state(), State::Live(0));
}

#[test]
fn who_renews_is_told_that_another_is_at_it() {
    let data = Rundown::new(1, RundownRef::<Std>::new());
    let held = data.acquire().expect("live");
    thread::scope(|scope| {
        let owner = scope.spawn(|| data.run_down());
        while data.acquire().is_some() {
            thread::yield_now();
        }
        assert_eq!(data.renew(2), Err(NotRenewed::Busy(2)));
        drop(held);
        assert_eq!(owner.join().expect("no panic"), Some(1));
    });
    assert_eq!(data.renew(2), Ok(()));
}

#[test]
fn what_was_taken_apart_is_the_same_reference() {
    let data = Rundown::new(7, RundownRef::<Std>::new());
    let raw = Held::into_raw(data.acquire().expect("live"));
    assert!(std::ptr::eq(raw, &raw const data));
    // SAFETY: from `into_raw`, once.
    let held = unsafe { Held::from_raw(raw) };
    assert_eq!(*held, 7);
    drop(held);
    assert_eq!(data.run_down(), Some(7), "no reference is left");

    let reference = RundownRef::<Std>::new();
    let (raw, count) = CountedGuard::into_raw(reference.try_acquire_ex(3).expect("live"));
    assert_eq!((raw, count), (&raw const reference, 3));
    // SAFETY: two of the three.
    let two = unsafe { CountedGuard::from_raw(raw, 2) };
    // SAFETY: the third.
    let one = unsafe { Guard::from_raw(raw) };
    drop(two);
    assert_eq!(reference.state(), State::Live(1));
    drop(one);
    assert_eq!(reference.state(), State::Live(0));
}

#[test]
fn references_of_a_static_go_to_other_threads_without_unsafe_code() {
    static DATA: Rundown<Vec<u8>, RundownRef<Std>> = Rundown::<_, RundownRef<Std>>::empty();
    static REFERENCE: RundownRef<Std> = RundownRef::new();
    assert_eq!(DATA.renew(vec![1, 2, 3]), Ok(()));
    let held = Owned::from(DATA.acquire().expect("live"));
    let one = Owned::from(REFERENCE.try_acquire().expect("live"));
    let mut three = Owned::from(REFERENCE.try_acquire_ex(3).expect("live"));
    let completion = thread::spawn(move || {
        drop(three.take_one());
        drop((one, three.into_inner()));
        held.len()
    });
    REFERENCE.wait();
    assert_eq!(DATA.run_down(), Some(vec![1, 2, 3]));
    assert_eq!(completion.join().expect("no panic"), 3);
}
