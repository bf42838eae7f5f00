//! The reference for `DISPATCH_LEVEL`. Its platform's sections are locks, one per processor, which a grace period takes one after the other:
//! `docs/dispatch.md` says why that is what NT does.

use std::mem::ManuallyDrop;

use ex_rundown::{AtDispatchLevel, DispatchRundownRef};
use loom::{cell::UnsafeCell, sync::Arc, thread};

use crate::{
    model::{RACE, fails, holds},
    platform::{Asleep, ByMonitor, ByPause, Modelled, OneLeftOut, WithoutGrace, move_to},
    scenes::{
        data_is_renewed_by_another, dropped_while_held, holders_release, newcomer_across_two_generations,
        newcomer_after_completed, nobody_is_refused_while_it_is_live, object_is_freed,
        refusal_stalls_across_two_generations,
    },
};

/// Nobody can go on: a wake was lost.
const LOST_WAKE: &[&str] = &["deadlock"];

type Dispatch<W> = DispatchRundownRef<Modelled<W>>;

#[test]
fn one_holder() {
    holds("dispatch, 1 holder, event", None, || {
        holders_release::<Dispatch<Asleep>>(1);
    });
    holds("dispatch, 1 holder, pause", Some(5), || {
        holders_release::<Dispatch<ByPause>>(1);
    });
    holds("dispatch, 1 holder, monitor", Some(5), || {
        holders_release::<Dispatch<ByMonitor>>(1);
    });
    holds("dispatch, 1 holder, freed", None, || {
        object_is_freed::<Dispatch<Asleep>>(1);
    });
}

#[test]
fn nobody_is_refused() {
    holds(
        "dispatch, nobody is refused",
        None,
        nobody_is_refused_while_it_is_live::<Dispatch<Asleep>>,
    );
}

#[test]
fn the_end_of_the_reference_is_seen() {
    fails(
        "dispatch, dropped while held",
        None,
        RACE,
        dropped_while_held::<Dispatch<Asleep>>,
    );
}

#[test]
fn newcomers() {
    holds(
        "dispatch, newcomer, 2 generations",
        Some(5),
        newcomer_across_two_generations::<Dispatch<Asleep>>,
    );
    holds(
        "dispatch, newcomer, completed",
        Some(4),
        newcomer_after_completed::<Dispatch<Asleep>>,
    );
    holds(
        "dispatch, refusal across 2 generations",
        Some(4),
        refusal_stalls_across_two_generations::<Dispatch<Asleep>>,
    );
}

#[test]
fn data_comes_and_goes() {
    holds("data, dispatch", Some(4), || {
        data_is_renewed_by_another(|| Dispatch::<Asleep>::new().expect("memory"));
    });
}

#[test]
fn two_holders() {
    holds("dispatch, 2 holders, event", Some(5), || {
        holders_release::<Dispatch<Asleep>>(2);
    });
    holds("dispatch, 2 holders, freed", Some(5), || {
        object_is_freed::<Dispatch<Asleep>>(2);
    });
    holds("dispatch, 3 holders, event", Some(2), || {
        holders_release::<Dispatch<Asleep>>(3);
    });
}

/// A newcomer that acquires, uses the object and releases in one section, and another that acquires on this processor and releases on
/// the other; the owner has the object to itself in between.
fn sections_across_two_generations<W: crate::platform::Way>() {
    // As in `everything`.
    let reference = ManuallyDrop::new(Arc::new(Dispatch::<W>::new().expect("memory")));
    let cells = ManuallyDrop::new([(); 2].map(|()| Arc::new(UnsafeCell::new(0_u32))));
    let touch = |cell: &UnsafeCell<u32>| {
        // SAFETY: the holder's own, and the owner stays away; loom checks that.
        cell.with_mut(|cell| unsafe { *cell += 1 });
    };
    let (shared, cell) = (Arc::clone(&reference), cells[0].clone());
    let in_one = thread::spawn(move || {
        move_to(0);
        let body = |level: &AtDispatchLevel<_>| {
            if shared.acquire(level) {
                touch(&cell);
                // SAFETY: acquired above.
                unsafe { shared.release(level) };
            }
        };
        // SAFETY: nothing in there lowers the level.
        unsafe { AtDispatchLevel::raise(body) };
    });
    let (shared, cell) = (Arc::clone(&reference), cells[1].clone());
    let in_two = thread::spawn(move || {
        move_to(0);
        // SAFETY: nothing in here lowers the level.
        if unsafe { AtDispatchLevel::raise(|level| shared.acquire(level)) } {
            touch(&cell);
            move_to(1);
            // SAFETY: acquired above.
            let body = |level: &AtDispatchLevel<_>| unsafe { shared.release(level) };
            // SAFETY: as above.
            unsafe { AtDispatchLevel::raise(body) };
        }
    });
    reference.wait();
    for cell in &*cells {
        touch(cell);
    }
    reference.reinitialize();
    reference.wait();
    for cell in &*cells {
        touch(cell);
    }
    in_one.join().unwrap();
    in_two.join().unwrap();
    drop(ManuallyDrop::into_inner(reference));
    drop(ManuallyDrop::into_inner(cells));
}

#[test]
fn sections_of_both_kinds() {
    holds(
        "dispatch, sections, 2 generations",
        Some(4),
        sections_across_two_generations::<Asleep>,
    );
}

/// What a platform must not be.
#[test]
fn grace_periods_that_are_none() {
    let expected = &[RACE, LOST_WAKE, &["ReleaseWithoutAcquire"]].concat();
    fails(
        "dispatch without a grace period",
        Some(5),
        expected,
        sections_across_two_generations::<WithoutGrace>,
    );
    fails(
        "dispatch, one processor left out",
        Some(5),
        expected,
        sections_across_two_generations::<OneLeftOut>,
    );
}

#[test]
#[ignore = "deep: minutes"]
fn deep_sections() {
    holds(
        "dispatch, sections, 2 generations",
        Some(6),
        sections_across_two_generations::<Asleep>,
    );
    holds("dispatch, 3 holders, event", Some(4), || {
        holders_release::<Dispatch<Asleep>>(3);
    });
    holds(
        "dispatch, refusal across 2 generations",
        Some(6),
        refusal_stalls_across_two_generations::<Dispatch<Asleep>>,
    );
}

/// A holder on each processor, whose references are released on the other one; then two newcomers in the next generation, one of them on the
/// processor of the other, and an owner between them.
fn everything<R: crate::protocol::Protocol>() {
    // An owner that is found to wait for ever must not drop it: loom's `Arc` cannot be dropped then.
    let object = ManuallyDrop::new(Arc::new((R::new(), [(); 2].map(|()| UnsafeCell::new(0_u32)))));
    assert!(object.0.acquire(0) && object.0.acquire(1));
    // SAFETY: a holder's own cell, or the owner's turn; loom checks that.
    let touch = |cell: &UnsafeCell<u32>| cell.with_mut(|cell| unsafe { *cell += 1 });
    let threads = [0, 1].map(|holder| {
        let object = Arc::clone(&object);
        thread::spawn(move || {
            touch(&object.1[holder]);
            object.0.release(holder + 1);
            if object.0.acquire(holder) {
                touch(&object.1[holder]);
                object.0.release(holder);
            }
        })
    });
    object.0.wait();
    object.1.iter().for_each(touch);
    object.0.reinitialize();
    object.0.wait();
    object.1.iter().for_each(touch);
    assert!(!object.0.acquire(0), "granted after run-down began");
    for thread in threads {
        thread.join().unwrap();
    }
    drop(ManuallyDrop::into_inner(object));
}

const BOUND: Option<usize> = Some(3);

#[test]
fn all_of_it() {
    holds("dispatch, all of it", BOUND, everything::<Dispatch<Asleep>>);
}
