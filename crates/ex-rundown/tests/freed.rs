//! The reason for run-down protection: an object is freed as soon as `wait` has returned, with the reference in it and whoever
//! released last not yet back from its call. For Miri and `AddressSanitizer`, which see a touch of what is freed.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

use std::{
    ptr::NonNull,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CacheAwareRundownRef, CountedGuard, Guard, Held, OwnedHeld, PoolPlatform,
    Protection, Rundown, RundownRef, Tracked, WideRundownRef,
};
use rundown_std::Std;

fn tracked() -> Tracked<RundownRef<Std>, Std> {
    Tracked::new(RundownRef::new())
}

const ROUNDS: usize = if cfg!(miri) { 10 } else { 5_000 };

/// Carries a pointer to another thread.
struct Carried<R>(*const R);
// SAFETY: what it points to is shared by threads.
unsafe impl<R: Sync> Send for Carried<R> {}

/// `make` makes an object, `protection` finds the reference in it, and `free` frees it.
fn is_freed<O, R: Protection + Sync>(
    make: impl Fn() -> *mut O,
    protection: impl Fn(*mut O) -> *const R,
    free: impl Fn(*mut O),
) {
    let (holders, references): (Sender<Carried<R>>, Receiver<Carried<R>>) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for Carried(raw) in references {
                // SAFETY: from `into_raw`, once; it is valid until this gives the reference back.
                drop(unsafe { Guard::from_raw(raw) });
            }
        });
        for _ in 0..ROUNDS {
            let object = make();
            // SAFETY: just made.
            let reference = unsafe { &*protection(object) };
            assert!(reference.acquire());
            holders.send(Carried(reference)).expect("it listens");
            reference.wait();
            free(object);
        }
        drop(holders);
    });
}

fn in_a_box<R: Protection + Sync>(make: impl Fn() -> R) {
    is_freed(
        || Box::into_raw(Box::new((make(), [1_usize; 8]))),
        // SAFETY: not freed yet.
        |object| unsafe { &raw const (*object).0 },
        // SAFETY: from `into_raw`, once.
        |object| drop(unsafe { Box::from_raw(object) }),
    );
}

#[test]
fn plain() {
    in_a_box(RundownRef::<Std>::new);
}

#[test]
fn wide() {
    in_a_box(WideRundownRef::<Std>::new);
}

#[test]
fn with_its_holders() {
    in_a_box(tracked);
}

#[test]
fn cache_aware_allocated() {
    in_a_box(|| AllocatedCacheAwareRundownRef::<Std>::new().expect("memory"));
}

#[test]
fn cache_aware_in_given_memory() {
    let bytes = CacheAwareRundownRef::<Std>::size_of().expect("a size");
    is_freed(
        || Std::allocate(bytes).expect("memory").as_ptr(),
        // SAFETY: so many bytes.
        |memory| unsafe { CacheAwareRundownRef::<Std>::initialize_at(memory, bytes) }.expect("enough"),
        |memory| {
            let memory = NonNull::new(memory).expect("memory");
            // SAFETY: from `allocate`, with the same size, once.
            unsafe { Std::free(memory, bytes) };
        },
    );
}

/// The same with what `Rundown` and counted guards hold. The holder's own thread acquires, and the owner follows.
fn data_is_freed<R: Protection + Sync>(make: impl Fn() -> R) {
    for _ in 0..=ROUNDS / 10 {
        let object = Box::into_raw(Box::new(Rundown::new(vec![1, 2, 3], make())));
        let (acquired, inside) = channel();
        let carried = Carried(object.cast_const());
        thread::scope(|scope| {
            scope.spawn(move || {
                let carried = carried;
                // SAFETY: not freed before this has acquired, and from then on not before it has given that back.
                let held = unsafe { (*carried.0).acquire() }.expect("live");
                acquired.send(()).expect("it listens");
                assert_eq!(held.len(), 3);
                drop(held);
            });
            inside.recv().expect("acquired");
            // SAFETY: not freed yet.
            assert_eq!(unsafe { (*object).run_down() }, Some(vec![1, 2, 3]));
            // SAFETY: from `into_raw`, once; nobody is inside.
            drop(unsafe { Box::from_raw(object) });
        });
    }
}

#[test]
fn data() {
    data_is_freed(RundownRef::<Std>::new);
    data_is_freed(WideRundownRef::<Std>::new);
    data_is_freed(tracked);
    data_is_freed(|| AllocatedCacheAwareRundownRef::<Std>::new().expect("memory"));
}

#[test]
fn counted() {
    for _ in 0..=ROUNDS / 10 {
        let object = Box::into_raw(Box::new(RundownRef::<Std>::new()));
        let (acquired, inside) = channel();
        let carried = Carried(object.cast_const());
        thread::scope(|scope| {
            scope.spawn(move || {
                let carried = carried;
                // SAFETY: not freed before this has acquired, and from then on not before it has given that back.
                let mut guard: CountedGuard<'_, _> = unsafe { (*carried.0).try_acquire_ex(3) }.expect("live");
                acquired.send(()).expect("it listens");
                let one = guard.take_one();
                drop(guard.take_one());
                drop(guard.take_one());
                // The owner may free the object from here on, and this has nothing left to give back.
                drop(one);
                drop(guard);
            });
            inside.recv().expect("acquired");
            // SAFETY: not freed yet.
            unsafe { (*object).wait() };
            // SAFETY: from `into_raw`, once; nobody is inside.
            drop(unsafe { Box::from_raw(object) });
        });
    }
}

/// The data of an object that is freed as soon as it is run down, held by a request that another thread completes.
fn held_by_a_request<R: Protection + Send + Sync + 'static>(make: impl Fn() -> R) {
    let (requests, pended): (Sender<OwnedHeld<usize, R>>, Receiver<_>) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for request in pended {
                assert_eq!(**request, 7);
            }
        });
        for _ in 0..ROUNDS {
            let object = Box::new(Rundown::new(7, make()));
            // SAFETY: it is run down before it is freed.
            let request = unsafe { Held::into_owned(object.acquire().expect("live")) };
            requests.send(request).expect("it listens");
            assert_eq!(object.run_down(), Some(7));
        }
        drop(requests);
    });
}

#[test]
fn owned_by_a_request() {
    held_by_a_request(RundownRef::<Std>::new);
    held_by_a_request(WideRundownRef::<Std>::new);
    held_by_a_request(tracked);
    held_by_a_request(|| AllocatedCacheAwareRundownRef::<Std>::new().expect("memory"));
}
