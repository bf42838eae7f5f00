//! The scenes: more threads than loom can do, through several generations.

use ex_rundown::{CountedGuard, Guard, Protection, Rundown, RundownRef, Tracked};

use crate::{
    platform::{Asleep, Modelled},
    protocol::Protocol,
    seam::{cell::UnsafeCell, sync::Arc, thread},
};

/// What protection protects. A holder writes its own cell and reads the common one; the owner writes all of them, alone.
struct Object<R> {
    reference: R,
    own: Vec<UnsafeCell<u32>>,
    common: UnsafeCell<u32>,
}

impl<R: Protocol> Object<R> {
    fn use_it(&self, who: usize) {
        // SAFETY: the cell is its own; the checker's cells see the owner.
        self.own[who].with_mut(|cell| unsafe { *cell = cell.read().wrapping_add(1) });
        // SAFETY: only the owner writes it, and not while it is protected.
        self.common.with(|generation| unsafe { generation.read() });
    }

    fn tear_down(&self) {
        for cell in &self.own {
            // SAFETY: the wait has returned; the checker's cells see whoever is inside.
            cell.with_mut(|cell| unsafe { *cell = 0 });
        }
        // SAFETY: as above.
        self.common.with_mut(|generation| unsafe { *generation += 1 });
    }
}

/// `THREADS` threads come and go, on one processor in and on another out, with two references at times, while the owner
/// runs the object down `GENERATIONS` times.
pub(crate) fn crowd<R: Protocol, const THREADS: usize, const GENERATIONS: usize>() {
    let object = Arc::new(Object {
        reference: R::new(),
        own: (0..THREADS).map(|_| UnsafeCell::new(0)).collect(),
        common: UnsafeCell::new(0),
    });
    let threads: Vec<_> = (0..THREADS)
        .map(|who| {
            let object = object.clone();
            thread::spawn(move || {
                for turn in 0..GENERATIONS {
                    if !object.reference.acquire(who) {
                        continue;
                    }
                    let second = turn % 2 == who % 2 && object.reference.acquire(turn);
                    object.use_it(who);
                    object.reference.release(who + 1);
                    if second {
                        object.use_it(who);
                        object.reference.release(who);
                    }
                }
            })
        })
        .collect();
    for generation in 1..=GENERATIONS {
        object.reference.wait();
        object.tear_down();
        assert!(!object.reference.acquire(0), "granted after run-down began");
        if generation < GENERATIONS {
            object.reference.reinitialize();
        }
    }
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
}

/// Two owners take the data out and put it back, while readers come and go. Each of them has it alone in between.
pub(crate) fn owners_of_data<R: Protection + Send + Sync + 'static>(make: fn() -> R) {
    const TURNS: usize = 3;
    let data = Arc::new(Rundown::new(UnsafeCell::new(0_u32), make()));
    let readers = (0..2).map(|_| {
        let data = data.clone();
        thread::spawn(move || {
            for _ in 0..TURNS {
                if let Some(held) = data.acquire() {
                    // SAFETY: only an owner writes it, and not while it is held.
                    held.with(|value| unsafe { value.read() });
                }
            }
        })
    });
    let owners = (0..2).map(|_| {
        let data = data.clone();
        thread::spawn(move || {
            for _ in 0..TURNS {
                if let Some(taken) = data.run_down() {
                    // SAFETY: this thread's alone.
                    taken.with_mut(|value| unsafe { *value += 1 });
                    assert!(data.renew(taken).is_ok(), "somebody else's turn");
                }
            }
        })
    });
    let threads: Vec<_> = readers.chain(owners).collect();
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
}

/// Holders whose references go by pointer, so that each takes up whichever entry it finds, in a table that is too small. Afterwards
/// nobody is in it.
pub(crate) fn holders_take_up_each_others_entries() {
    type Table = Tracked<RundownRef<Modelled<Asleep>>, Modelled<Asleep>, 2>;
    let tracked = Arc::new(Table::new(RundownRef::new()));
    let threads: Vec<_> = (1..=3_u32)
        .map(|count| {
            let tracked = tracked.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    let guard = tracked.try_acquire_ex(count).expect("live");
                    let (raw, count) = CountedGuard::into_raw(guard);
                    // SAFETY: just taken apart.
                    let mut guard = unsafe { CountedGuard::from_raw(raw, count) };
                    let one = guard.take_one().map(Guard::into_raw);
                    drop(guard);
                    if let Some(one) = one {
                        // SAFETY: just taken apart.
                        drop(unsafe { Guard::from_raw(one) });
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a panic ends the run");
    }
    assert_eq!(tracked.holders().next(), None, "it is still in the table");
    assert_eq!(tracked.unrecorded(), 0);
}
