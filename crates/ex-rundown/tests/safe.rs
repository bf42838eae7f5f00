//! What safe code can do to a reference under `Strict`, in whatever order: get a misuse reported, and nothing worse.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
#![forbid(unsafe_code)]

use std::{
    fmt::Debug,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, DISPATCH_LEVEL, NotRenewed, Protection, Rundown, RundownRef, WayOut,
    WideRundownRef,
};
use rundown_std::{Settings, Std};

type Plain = RundownRef<Std>;
type Wide = WideRundownRef<Std>;
type CacheAware = AllocatedCacheAwareRundownRef<Std>;

fn cache_aware() -> CacheAware {
    AllocatedCacheAwareRundownRef::new().expect("memory")
}

/// What a misuse says, which std's platform ends in a panic.
fn misuse<R>(body: impl FnOnce() -> R) -> String {
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let payload = result.err().expect("misuse is not detected");
    *payload.downcast::<String>().expect("a text")
}

fn at_dispatch_level<R>(body: impl FnOnce() -> R) -> R {
    let settings = Settings {
        irql: DISPATCH_LEVEL,
        ..Settings::current()
    };
    settings.with(body)
}

/// On one processor, so that a reference is released in the slot that it was acquired in.
fn on_processor_0(body: impl FnOnce()) {
    let settings = Settings {
        processor: Some(0),
        ..Settings::DEFAULT
    };
    settings.with(body);
}

#[test]
fn a_wait_that_cannot_sleep_publishes_nothing() {
    on_processor_0(refuse_to_sleep);
}

fn refuse_to_sleep() {
    let reference = cache_aware();
    let before = format!("{reference:?}");
    assert_eq!(at_dispatch_level(|| cache_aware().wait()), WayOut::Drained);
    let guard = reference.try_acquire().expect("live");
    let said = misuse(|| at_dispatch_level(|| reference.wait()));
    assert!(said.contains("WaitAtDispatchLevel"), "{said}");
    // The waiter's frame is gone: this must not look for its block.
    drop(guard);
    assert_eq!(format!("{reference:?}"), before, "as it was found");
    assert_eq!(reference.wait(), WayOut::Drained);

    let data = Rundown::new(vec![1, 2, 3], cache_aware());
    let held = data.acquire().expect("live");
    let said = misuse(|| at_dispatch_level(|| data.run_down()));
    assert!(said.contains("WaitAtDispatchLevel"), "{said}");
    assert_eq!(held.len(), 3);
    drop(held);
    assert_eq!(data.run_down(), None, "the panic left it busy");
}

/// What the misuse of an owner leaves behind is what was there, and the holder's reference still counts.
fn is_left_as_found<R: Protection + Debug>(reference: &R, acquire: impl Fn() -> bool) {
    for (name, call) in [
        ("CompletedInUse", R::completed as fn(&R)),
        ("ReinitializedInUse", R::reinitialize as fn(&R)),
    ] {
        assert!(acquire());
        let before = format!("{reference:?}");
        let said = misuse(|| call(reference));
        assert!(said.contains(name), "{said}");
        assert_eq!(format!("{reference:?}"), before);
    }
}

#[test]
fn misuse_by_the_owner_leaves_the_words_as_found() {
    let (plain, wide, cache_aware) = (Plain::new(), Wide::new(), cache_aware());
    is_left_as_found(&plain, || plain.acquire());
    is_left_as_found(&wide, || wide.acquire());
    is_left_as_found(&cache_aware, || cache_aware.acquire());
}

/// Two owners are one too many, and three are as well: they wait, complete and re-initialise as they like, while holders come
/// and go. What they do wrong is reported or goes unnoticed; but a guard always finds where it belongs, and nobody hangs.
fn owners_without_order<R: Protection + Sync>(make: impl Fn() -> R, acquire: fn(&R) -> bool) {
    const ROUNDS: usize = if cfg!(miri) { 4 } else { 400 };
    const OWNERS: usize = 3;
    for round in 0..ROUNDS {
        let reference = make();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let holders: Vec<_> = (0..2)
                .map(|processor| {
                    let (reference, over) = (&reference, &over);
                    scope.spawn(move || {
                        let mut on = Settings {
                            processor: Some(processor),
                            ..Settings::DEFAULT
                        };
                        while !over.load(Relaxed) {
                            on.processor = on.processor.map(|processor| processor + 1);
                            // Whose drop panics when it finds no place.
                            on.with(|| acquire(reference));
                            thread::yield_now();
                        }
                    })
                })
                .collect();
            let owners: Vec<_> = (0..OWNERS)
                .map(|owner| {
                    let reference = &reference;
                    scope.spawn(move || {
                        for turn in 0..12 {
                            let call = match (round + owner * 5 + turn * (owner + 1)) % 4 {
                                0 => |reference: &R| {
                                    reference.wait();
                                },
                                1 => R::completed,
                                _ => R::reinitialize,
                            };
                            let _ = panic::catch_unwind(AssertUnwindSafe(|| call(reference)));
                        }
                    })
                })
                .collect();
            for owner in owners {
                owner.join().expect("an owner's panics are caught");
            }
            over.store(true, Relaxed);
            for holder in holders {
                holder.join().expect("a guard's drop reported misuse");
            }
        });
    }
}

#[test]
fn any_number_of_owners_in_any_order() {
    // Thousands of expected misuses are not worth printing.
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let expected = ["ConcurrentWait", "CompletedInUse", "ReinitializedInUse"];
        let text = info.to_string();
        if !expected.iter().any(|misuse| text.contains(misuse)) {
            before(info);
        }
    }));
    owners_without_order(Plain::new, |reference| reference.try_acquire().is_some());
    owners_without_order(Wide::new, |reference| reference.try_acquire().is_some());
    owners_without_order(cache_aware, |reference| reference.try_acquire().is_some());
    owners_without_order(Wide::new, |reference| reference.try_acquire_ex(3).is_some());
    owners_without_order(cache_aware, |reference| reference.try_acquire_ex(3).is_some());
}

#[test]
fn empty_data_is_put_in_later() {
    static NAME: Rundown<String, Plain> = Rundown::<_, Plain>::empty();
    assert!(NAME.acquire().is_none());
    assert_eq!(NAME.run_down(), None);
    assert_eq!(NAME.renew(String::from("device")), Ok(()));
    assert_eq!(
        NAME.renew(String::from("another")),
        Err(NotRenewed::StillThere(String::from("another")))
    );
    assert_eq!(NAME.acquire().as_deref().map(String::as_str), Some("device"));
    assert_eq!(NAME.run_down(), Some(String::from("device")));
    // Dropping one without data drops none.
    drop(Rundown::<String, Wide>::empty());
}
