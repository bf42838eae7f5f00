//! The scenes. Each checks what the contract promises: no wake is lost (loom reports a deadlock), no holder is inside
//! after the wait and everything that it did is visible (loom's cells), and no releaser touches the wait block, or
//! the reference, once the waiter may return (cells too, in the block and in the reference).

use std::mem::ManuallyDrop;

use ex_rundown::{Held, Protection, Rundown};

use crate::seam::{
    cell::UnsafeCell,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crate::protocol::Protocol;

/// What protection protects: loom fails a run in which an access is not ordered after a conflicting one.
struct Object<R> {
    reference: R,
    /// One cell per holder, so that holders do not conflict with each other.
    cells: Vec<UnsafeCell<u32>>,
}

impl<R: Protocol> Object<R> {
    fn new(holders: usize) -> Self {
        let cells = (0..holders).map(|_| UnsafeCell::new(0)).collect();
        Self {
            reference: R::new(),
            cells,
        }
    }

    fn use_cell(&self, holder: usize) {
        // SAFETY: the holder has a reference, and the cell is its own; loom checks that the waiter stays away.
        self.cells[holder].with_mut(|cell| unsafe { *cell = (*cell).wrapping_add(1) });
    }

    /// What the owner does once it has the object to itself.
    fn tear_down(&self) {
        for cell in &self.cells {
            // SAFETY: the wait has returned; loom checks that nobody is inside.
            cell.with_mut(|cell| unsafe { *cell = u32::MAX });
        }
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Holders that hold a reference when the waiter begins, and release it on another processor than they acquired it
/// on.
pub(crate) fn holders_release<R: Protocol>(holders: usize) {
    let object = Arc::new(Object::<R>::new(holders));
    for holder in 0..holders {
        assert!(object.reference.acquire(holder));
    }
    let threads: Vec<_> = (0..holders)
        .map(|holder| {
            let object = object.clone();
            thread::spawn(move || {
                object.use_cell(holder);
                object.reference.release(holder + 1);
            })
        })
        .collect();
    object.reference.wait();
    object.tear_down();
    assert!(!object.reference.acquire(0), "granted after run-down began");
    join(threads);
}

/// The reference lies in the object that it protects, and the owner drops both when the wait has returned. So the
/// last releaser must be done with the reference's words, too. (Under `--cfg ex_rundown_loom` a reference notes each release
/// that is about to touch its words, and its drop.)
///
/// The memory itself stays: who touches it too late is caught by loom's cells, and not by the process' death.
pub(crate) fn object_is_freed<R: Protocol>(holders: usize) {
    let object = Box::into_raw(Box::new(ManuallyDrop::new(Object::<R>::new(holders))));
    let threads: Vec<_> = (0..holders)
        .map(|holder| {
            // SAFETY: not dropped yet.
            let shared = unsafe { &*object };
            assert!(shared.reference.acquire(holder));
            thread::spawn(move || {
                shared.use_cell(holder);
                shared.reference.release(holder + 1);
            })
        })
        .collect();
    // SAFETY: not dropped yet.
    unsafe { &*object }.reference.wait();
    // SAFETY: the wait has returned, so the holders are gone.
    let dead = unsafe { &mut *object };
    dead.tear_down();
    // SAFETY: dropped once.
    unsafe { ManuallyDrop::drop(dead) };
    join(threads);
    // SAFETY: from `into_raw`, and even a mutant's threads are gone.
    drop(unsafe { Box::from_raw(object) });
}

/// An owner that does not wait, and drops the reference under a holder: what the checker must see.
pub(crate) fn dropped_while_held<R: Protocol>() {
    let reference = Box::into_raw(Box::new(ManuallyDrop::new(R::new())));
    // SAFETY: not dropped yet.
    let shared = unsafe { &*reference };
    assert!(shared.acquire(0));
    let thread = thread::spawn(move || shared.release(1));
    // SAFETY: dropped once; the memory itself stays.
    unsafe { ManuallyDrop::drop(&mut *reference) };
    join([thread]);
    // SAFETY: from `into_raw`, and the thread is gone.
    drop(unsafe { Box::from_raw(reference) });
}

/// Newcomers that get in each other's way on a live reference.
pub(crate) fn nobody_is_refused_while_it_is_live<R: Protocol>() {
    let reference = Arc::new(R::new());
    let other = reference.clone();
    let come_and_go = |reference: &R| {
        assert!(reference.acquire(0), "refused while it is live");
        reference.release(0);
    };
    let thread = thread::spawn(move || come_and_go(&other));
    come_and_go(&reference);
    join([thread]);
}

/// A newcomer that tries all the time while the object is run down, revived and run down again, and moves from one
/// processor to the other and back. The owner re-initialises right after the wait: `completed` is optional.
pub(crate) fn newcomer_across_two_generations<R: Protocol>() {
    newcomer(R::reinitialize);
}

/// The same, with `completed` between the two.
pub(crate) fn newcomer_after_completed<R: Protocol>() {
    newcomer(|reference: &R| {
        reference.completed();
        reference.reinitialize();
    });
}

fn newcomer<R: Protocol>(renew: impl FnOnce(&R)) {
    let object = Arc::new(Object::<R>::new(1));
    let newcomer = object.clone();
    let thread = thread::spawn(move || {
        for processor in 0..2 {
            if newcomer.reference.acquire(processor) {
                newcomer.use_cell(0);
                newcomer.reference.release(processor + 1);
            }
        }
    });
    object.reference.wait();
    object.tear_down();
    renew(&object.reference);
    object.reference.wait();
    object.tear_down();
    join([thread]);
}

/// A newcomer whose one acquire, mostly refused, may stall across a re-initialise, while the next generation has a
/// holder of its own, and its owner frees an object after the wait.
pub(crate) fn refusal_stalls_across_two_generations<R: Protocol>() {
    let reference = Arc::new(R::new());
    let first = Arc::new(UnsafeCell::new(0_u32));
    let (newcomer, cell) = (reference.clone(), first.clone());
    let stalled = thread::spawn(move || {
        if newcomer.acquire(0) {
            // SAFETY: under protection; the owner stays away, and the other holder has another cell.
            cell.with_mut(|cell| unsafe { *cell += 1 });
            newcomer.release(1);
        }
    });
    reference.wait();
    // SAFETY: nobody is inside.
    first.with_mut(|cell| unsafe { *cell = 0 });
    reference.reinitialize();
    assert!(reference.acquire(0));
    let second = Arc::new(UnsafeCell::new(0_u32));
    let (holder, cell) = (reference.clone(), second.clone());
    let inside = thread::spawn(move || {
        // SAFETY: under protection, and the only holder that uses it.
        cell.with_mut(|cell| unsafe { *cell += 1 });
        holder.release(1);
    });
    reference.wait();
    // SAFETY: nobody is inside.
    first.with_mut(|cell| unsafe { *cell = 0 });
    // To free it would be to write it once more; as it is, a holder that is still inside is caught by loom's cell,
    // and not by the process' death.
    // SAFETY: nobody is inside.
    second.with_mut(|cell| unsafe { *cell = u32::MAX });
    join([stalled, inside]);
}

/// Data that is held by a request, which another thread completes.
pub(crate) fn data_goes_with_a_request<R: Protection + 'static>(make: fn() -> R) {
    let data = Arc::new(Rundown::new(1_u32, make()));
    let request = Held::into_raw(data.acquire().expect("live"));
    let completion = thread::spawn(move || {
        // SAFETY: from `into_raw`, once; the data is run down before it goes.
        let held = unsafe { Held::from_raw(request) };
        assert_eq!(*held, 1);
    });
    assert_eq!(data.run_down(), Some(1));
    join([completion]);
}

/// Data that one thread takes out, another puts in, and a third reads. (Under loom the data lies in loom's cell.)
pub(crate) fn data_is_renewed_by_another<R: Protection + 'static>(make: fn() -> R) {
    let data = Arc::new(Rundown::new(1_u32, make()));
    let (reader, renewer) = (data.clone(), data.clone());
    let reads = thread::spawn(move || {
        if let Some(held) = reader.acquire() {
            assert!((1..=2).contains(&*held), "torn or not there: {}", *held);
        }
    });
    let renews = thread::spawn(move || {
        let _ = renewer.renew(2);
    });
    let taken = data.run_down();
    assert!(matches!(taken, Some(1)), "another took it: {taken:?}");
    join([reads, renews]);
}
