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
    AllocatedCacheAwareRundownRef, CountedGuard, Guard, Protection, Rundown, RundownRef, State,
    WideRundownRef,
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
    assert!(data.renew(Counted(&drops)).is_err(), "there is data");
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
