//! A protection that knows who holds it.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
#![cfg(target_pointer_width = "64")]

use std::{sync::mpsc::channel, thread};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CountedGuard, Guard, Held, Holder, HolderPlatform as _, Owned, Protection,
    Rundown, RundownRef, Tracked, WideRundownRef,
};
use proptest::prelude::*;
use rundown_std::Std;

type Plain<const N: usize = 32> = Tracked<RundownRef<Std>, Std, N>;

fn plain<const N: usize>() -> Plain<N> {
    Tracked::new(RundownRef::new())
}

/// Their counts, in order, those without a guard below zero.
fn counts<R, const N: usize>(tracked: &Tracked<R, Std, N>) -> Vec<i64> {
    let count = |holder: Holder| i64::from(holder.count) * if holder.by_pointer { -1 } else { 1 };
    let mut counts: Vec<_> = tracked.holders().map(count).collect();
    counts.sort_unstable();
    counts
}

#[inline(never)]
fn acquires(tracked: &Plain) -> Guard<'_, Plain> {
    tracked.try_acquire().expect("live")
}

#[inline(never)]
fn holds(data: &Rundown<i32, Plain>) -> Held<'_, i32, Plain> {
    data.acquire().expect("live")
}

/// Whether an address lies in a function that is a few hundred bytes long.
fn lies_in(address: usize, function: usize) -> bool {
    (function..function + 4096).contains(&address)
}

#[test]
#[cfg_attr(miri, ignore = "it has no instruction pointer")]
fn the_address_is_that_of_the_code_that_acquired() {
    let tracked = plain();
    let guard = acquires(&tracked);
    let holder = tracked.holders().next().expect("it is held");
    assert!(
        lies_in(holder.address, acquires as *const () as usize),
        "{holder}"
    );
    assert_eq!(holder.thread, Std::current_thread());
    drop(guard);

    let data = Rundown::new(7, plain::<32>());
    let held = holds(&data);
    let text = format!("{data:?}");
    let address = text
        .split("address: ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let address: usize = address.expect("it shows its holder").parse().expect("a number");
    assert!(lies_in(address, holds as *const () as usize), "{text}");
    drop(held);
}

#[test]
fn a_holder_is_there_until_its_guard_is_dropped_wherever_that_is() {
    let tracked: &'static Plain = Box::leak(Box::new(plain()));
    let first = tracked.try_acquire().expect("live");
    let here = tracked.holders().next().expect("this one");
    let (sender, receiver) = channel::<Owned<Guard<'static, Plain>>>();
    let thread = thread::spawn(move || {
        let own = tracked.try_acquire_ex(2).expect("live");
        drop(receiver.recv().expect("one comes"));
        drop(own);
    });
    while tracked.holders().count() < 2 {
        thread::yield_now();
    }
    sender.send(first.into()).expect("it waits for it");
    thread.join().expect("it does not panic");
    assert_eq!(counts(tracked), [], "{here} is gone");
}

#[test]
fn counted_guards_are_split_and_put_together() {
    let tracked = plain::<32>();
    let mut guard = tracked.try_acquire_ex(3).expect("live");
    assert_eq!(counts(&tracked), [3]);
    let one = guard.take_one();
    assert_eq!(counts(&tracked), [1, 2]);
    let two = guard.take_one();
    let last = guard.take_one();
    assert!(guard.take_one().is_none());
    drop(guard);
    assert_eq!(counts(&tracked), [1, 1, 1]);
    drop((one, two, last));
    assert_eq!(counts(&tracked), []);

    let (raw, count) = CountedGuard::into_raw(tracked.try_acquire_ex(5).expect("live"));
    assert_eq!((count, counts(&tracked)), (5, vec![-5]));
    // SAFETY: two of the five.
    let two = unsafe { CountedGuard::from_raw(raw, 2) };
    assert_eq!(counts(&tracked), [-3, 2]);
    // SAFETY: the other three.
    let three = unsafe { CountedGuard::from_raw(raw, 3) };
    assert_eq!(counts(&tracked), [2, 3]);
    drop((two, three));
    assert_eq!(counts(&tracked), []);
}

#[test]
fn what_is_acquired_without_a_guard_has_an_entry_that_says_so() {
    let tracked = plain::<32>();
    assert!(tracked.acquire());
    assert!(tracked.acquire_ex(2));
    Guard::forget(tracked.try_acquire().expect("live"));
    assert_eq!(counts(&tracked), [-2, -1, -1]);
    // SAFETY: acquired above.
    unsafe { tracked.release_ex(4) };
    assert_eq!(counts(&tracked), []);
    assert!(tracked.acquire_ex(0), "which is none");
    assert_eq!(counts(&tracked), []);
}

#[test]
fn whoever_finds_no_entry_is_counted() {
    let tracked = plain::<2>();
    let guards: Vec<_> = (0..5).map(|_| tracked.try_acquire().expect("live")).collect();
    assert_eq!((counts(&tracked), tracked.unrecorded()), (vec![1, 1], 3));
    drop(guards);
    assert_eq!((counts(&tracked), tracked.unrecorded()), (vec![], 0));

    let none = plain::<0>();
    let guard = none.try_acquire().expect("live");
    assert!(none.acquire());
    assert_eq!((counts(&none), none.unrecorded()), (vec![], 2));
    // SAFETY: acquired above.
    unsafe { none.release() };
    drop(guard);
    assert_eq!(none.unrecorded(), 0);
}

#[test]
fn it_protects_as_what_is_in_it() {
    fn through_generations<R: Protection>(reference: R) {
        let tracked = Tracked::<_, Std>::new(reference);
        for _ in 0..3 {
            tracked
                .protect(|| assert_eq!(counts(&tracked), [1]))
                .expect("live");
            tracked.wait();
            assert!(tracked.try_acquire().is_none());
            assert_eq!(tracked.holders().next(), None, "a refusal leaves nothing");
            tracked.completed();
            tracked.reinitialize();
        }
    }
    through_generations(RundownRef::<Std>::new());
    through_generations(WideRundownRef::<Std>::new());
    through_generations(AllocatedCacheAwareRundownRef::<Std>::new().expect("memory"));
}

/// One reference or several, and who has them.
enum Mine<'a> {
    Guard(Guard<'a, Plain<4>>),
    Counted(CountedGuard<'a, Plain<4>>),
    Pointer(u32),
}

proptest! {
    #[test]
    fn entries_and_the_unrecorded_are_what_is_out(steps in prop::collection::vec((0..8_u8, 0..8_usize, 1..4_u32), 1..200)) {
        let tracked = plain::<4>();
        let mut mine: Vec<Mine<'_>> = Vec::new();
        for (step, index, count) in steps {
            let index = index.min(mine.len().saturating_sub(1));
            match step {
                0 => mine.push(Mine::Guard(tracked.try_acquire().expect("live"))),
                1 => mine.push(Mine::Counted(tracked.try_acquire_ex(count).expect("live"))),
                2 => {
                    assert!(tracked.acquire_ex(count));
                    mine.push(Mine::Pointer(count));
                }
                _ if mine.is_empty() => {}
                3 | 4 => match mine.swap_remove(index) {
                    // SAFETY: this test's own.
                    Mine::Pointer(count) => unsafe { tracked.release_ex(count) },
                    guard => drop(guard),
                },
                5 => match mine.swap_remove(index) {
                    Mine::Guard(guard) => {
                        Guard::forget(guard);
                        mine.push(Mine::Pointer(1));
                    }
                    Mine::Counted(guard) => mine.push(Mine::Pointer(CountedGuard::forget(guard))),
                    // SAFETY: this test's own.
                    Mine::Pointer(1) => mine.push(Mine::Guard(unsafe { Guard::from_raw(&raw const tracked) })),
                    // SAFETY: this test's own.
                    Mine::Pointer(count) => mine.push(Mine::Counted(unsafe { CountedGuard::from_raw(&raw const tracked, count) })),
                },
                6 => if let Mine::Counted(guard) = &mut mine[index]
                    && let Some(one) = guard.take_one()
                {
                    mine.push(Mine::Guard(one));
                },
                // A part of what a pointer stands for.
                _ => if let Mine::Pointer(whole) = &mut mine[index]
                    && *whole > 1
                {
                    *whole -= 1;
                    // SAFETY: one of them.
                    mine.push(Mine::Guard(unsafe { Guard::from_raw(&raw const tracked) }));
                },
            }
            let out: usize = mine.iter().map(|mine| match mine {
                Mine::Guard(_) => 1,
                Mine::Counted(guard) => guard.count() as usize,
                Mine::Pointer(count) => *count as usize,
            }).sum();
            let recorded: usize = tracked.holders().map(|holder| holder.count as usize).sum();
            prop_assert_eq!(recorded + tracked.unrecorded(), out);
        }
        for left in mine {
            if let Mine::Pointer(count) = left {
                // SAFETY: this test's own.
                unsafe { tracked.release_ex(count) };
            }
        }
        prop_assert_eq!((counts(&tracked), tracked.unrecorded()), (vec![], 0));
    }
}

/// Everybody's references go by pointer, and are taken up by whoever comes.
#[test]
fn threads_that_take_up_each_others_entries_leave_none() {
    const TURNS: usize = if cfg!(miri) { 20 } else { 20_000 };
    let tracked = plain::<3>();
    thread::scope(|scope| {
        for thread in 0..4_usize {
            let tracked = &tracked;
            scope.spawn(move || {
                for turn in 0..TURNS {
                    let count = 1 + u32::try_from((thread + turn) % 3).expect("small");
                    let (raw, count) = CountedGuard::into_raw(tracked.try_acquire_ex(count).expect("live"));
                    // SAFETY: just taken apart.
                    let mut guard = unsafe { CountedGuard::from_raw(raw, count) };
                    let one = guard.take_one();
                    drop(guard);
                    drop(one);
                }
            });
        }
    });
    assert_eq!((counts(&tracked), tracked.unrecorded()), (vec![], 0));
}

/// What a debugger reads: the layout that the type's documentation gives.
#[test]
fn the_layout_is_as_documented() {
    let tracked = plain::<2>();
    let guard = tracked.try_acquire_ex(3).expect("live");
    assert!(tracked.acquire());
    let words: [u64; 12] = {
        assert_eq!(size_of_val(&tracked), 12 * 8);
        // SAFETY: so many bytes, of which every value is one; nobody writes them meanwhile.
        unsafe { (&raw const tracked).cast::<[u64; 12]>().read() }
    };
    assert_eq!(words[0], 8, "the word: four references");
    assert_eq!(words[1].to_le_bytes(), *b"RdnHoldr");
    assert_eq!(words[2..4], [2, 0]);
    let thread = Std::current_thread() as u64;
    let mut entries: Vec<_> = words[4..].chunks(4).map(|entry| (entry[0], entry[3])).collect();
    entries.sort_unstable();
    assert_eq!(entries, [(thread, 3), (thread, 1 << 63 | 1)]);
    drop(guard);
    // SAFETY: acquired above.
    unsafe { tracked.release() };
}
