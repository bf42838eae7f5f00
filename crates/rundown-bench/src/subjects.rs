//! What is measured: the floor, ours, the peers.

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicUsize, Ordering::AcqRel},
};

use arc_swap::ArcSwap;
use ex_rundown::{
    AllocatedCacheAwareRundownRef, AtDispatchLevel, DispatchRundownRef, Protection, RundownRef,
    WideCacheAwareRundownRef, WideRundownRef,
};
use rundown_std::Std;

use crate::pinned::Pinned;

/// Something that is taken and given back, by many threads at a time. A new one is live.
pub trait Subject: Sync + Sized {
    /// Takes it and gives it back.
    fn pair(&self);

    /// The same, each half behind a call.
    fn called_pair(&self);

    /// Makes it refuse. `false` when it cannot.
    fn disable(&self) -> bool {
        false
    }

    /// Tries to take it, and is refused.
    fn refused(&self) {}

    /// The same, behind a call.
    fn called_refused(&self) {
        behind_a_call(self, Self::refused);
    }
}

/// Keeps its cache line, and the one that is fetched with it, to itself.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct OwnLine<T>(pub T);

#[inline(never)]
fn behind_a_call<T, R>(value: &T, body: impl FnOnce(&T) -> R) -> R {
    body(value)
}

/// `lock xadd` of +2, then of -2.
#[derive(Debug, Default)]
pub struct Floor(OwnLine<AtomicUsize>);

impl Subject for Floor {
    #[inline]
    fn pair(&self) {
        // The old values are used, or the compiler would take `lock add`, which is not what a count needs.
        std::hint::black_box(self.0.0.fetch_add(2, AcqRel));
        std::hint::black_box(self.0.0.fetch_sub(2, AcqRel));
    }
    #[inline]
    fn called_pair(&self) {
        behind_a_call(self, |this| std::hint::black_box(this.0.0.fetch_add(2, AcqRel)));
        behind_a_call(self, |this| std::hint::black_box(this.0.0.fetch_sub(2, AcqRel)));
    }
}

/// Two counters, a line each: what two threads gain that have nothing in common.
#[derive(Debug, Default)]
pub struct PrivateFloor([OwnLine<AtomicUsize>; 2]);

thread_local! {
    static THREAD: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Tells the thread its number among those of the row.
pub fn number_thread(number: usize) {
    THREAD.set(number);
}

/// The calling thread's number.
#[inline]
pub(crate) fn thread_number() -> u32 {
    // 0 or 1: a row has two threads at most.
    u32::from(THREAD.get() & 1 != 0)
}

impl PrivateFloor {
    #[inline]
    fn own(&self) -> &AtomicUsize {
        &self.0[THREAD.get() & 1].0
    }
}

impl Subject for PrivateFloor {
    #[inline]
    fn pair(&self) {
        std::hint::black_box(self.own().fetch_add(2, AcqRel));
        std::hint::black_box(self.own().fetch_sub(2, AcqRel));
    }
    #[inline]
    fn called_pair(&self) {
        behind_a_call(self, |this| std::hint::black_box(this.own().fetch_add(2, AcqRel)));
        behind_a_call(self, |this| std::hint::black_box(this.own().fetch_sub(2, AcqRel)));
    }
}

/// Two calls of nothing.
#[derive(Debug, Default)]
pub struct EmptyCall;

impl Subject for EmptyCall {
    #[inline]
    fn pair(&self) {
        self.called_pair();
    }
    #[inline]
    fn called_pair(&self) {
        behind_a_call(self, |this| std::hint::black_box(std::ptr::from_ref(this)));
        behind_a_call(self, |this| std::hint::black_box(std::ptr::from_ref(this)));
    }
}

#[inline(never)]
fn acquire<R: Protection>(reference: &R) -> bool {
    reference.acquire()
}

#[inline(never)]
fn release<R: Protection>(reference: &R) {
    // SAFETY: after a granted acquire, once.
    unsafe { reference.release() };
}

macro_rules! ours {
    ($name:ident, $type:ty, $new:expr, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug)]
        pub struct $name(OwnLine<$type>);

        impl Default for $name {
            fn default() -> Self {
                Self(OwnLine($new))
            }
        }

        impl Subject for $name {
            #[inline]
            fn pair(&self) {
                if self.0.0.acquire() {
                    // SAFETY: just acquired.
                    unsafe { self.0.0.release() };
                }
            }
            #[inline]
            fn called_pair(&self) {
                if acquire(&self.0.0) {
                    release(&self.0.0);
                }
            }
            fn disable(&self) -> bool {
                self.0.0.wait();
                true
            }
            #[inline]
            fn refused(&self) {
                std::hint::black_box(self.0.0.acquire());
            }
            #[inline]
            fn called_refused(&self) {
                std::hint::black_box(acquire(&self.0.0));
            }
        }
    };
}

ours!(Plain, RundownRef<Std>, RundownRef::new(), "`RundownRef`.");
ours!(
    Wide,
    WideRundownRef<Std>,
    WideRundownRef::new(),
    "`WideRundownRef`."
);
ours!(
    CacheAware,
    AllocatedCacheAwareRundownRef<Std>,
    AllocatedCacheAwareRundownRef::new().expect("memory"),
    "`CacheAwareRundownRef`."
);

ours!(
    WideCacheAware,
    WideCacheAwareRundownRef<Std>,
    WideCacheAwareRundownRef::new().expect("memory"),
    "`WideCacheAwareRundownRef`."
);

/// `DispatchRundownRef`, with a proof of `DISPATCH_LEVEL` that is there already: see [`Pinned`].
#[derive(Debug)]
pub struct Dispatch(OwnLine<DispatchRundownRef<Pinned>>);

impl Default for Dispatch {
    fn default() -> Self {
        Self(OwnLine(DispatchRundownRef::new().expect("memory")))
    }
}

#[inline]
fn level() -> AtDispatchLevel<Pinned> {
    // SAFETY: see `Pinned`.
    unsafe { AtDispatchLevel::assume() }
}

#[inline(never)]
fn acquire_at(reference: &DispatchRundownRef<Pinned>, level: &AtDispatchLevel<Pinned>) -> bool {
    reference.acquire(level)
}

#[inline(never)]
fn release_at(reference: &DispatchRundownRef<Pinned>, level: &AtDispatchLevel<Pinned>) {
    // SAFETY: after a granted acquire, once.
    unsafe { reference.release(level) };
}

impl Subject for Dispatch {
    #[inline]
    fn pair(&self) {
        let level = level();
        if self.0.0.acquire(&level) {
            // SAFETY: just acquired.
            unsafe { self.0.0.release(&level) };
        }
    }
    #[inline]
    fn called_pair(&self) {
        let level = level();
        if acquire_at(&self.0.0, &level) {
            release_at(&self.0.0, &level);
        }
    }
    fn disable(&self) -> bool {
        self.0.0.wait();
        true
    }
    #[inline]
    fn refused(&self) {
        std::hint::black_box(self.0.0.acquire(&level()));
    }
    #[inline]
    fn called_refused(&self) {
        std::hint::black_box(acquire_at(&self.0.0, &level()));
    }
}

macro_rules! peer {
    ($name:ident, $type:ty, $new:expr, |$this:ident| $pair:expr, $doc:literal) => {
        #[doc = $doc]
        pub struct $name(OwnLine<$type>);

        impl Default for $name {
            fn default() -> Self {
                Self(OwnLine($new))
            }
        }

        impl Subject for $name {
            #[inline]
            fn pair(&self) {
                let $this = &self.0.0;
                std::hint::black_box(&$pair);
            }
            #[inline]
            fn called_pair(&self) {
                behind_a_call(self, Self::pair);
            }
        }
    };
}

/// The crate `run-down`.
pub struct RunDown(OwnLine<run_down::RundownRef>);

impl Default for RunDown {
    fn default() -> Self {
        Self(OwnLine(run_down::RundownRef::new()))
    }
}

impl Subject for RunDown {
    #[inline]
    fn pair(&self) {
        std::hint::black_box(&self.0.0.try_acquire());
    }
    #[inline]
    fn called_pair(&self) {
        behind_a_call(self, Self::pair);
    }
    fn disable(&self) -> bool {
        self.0.0.wait_for_rundown();
        true
    }
    #[inline]
    fn refused(&self) {
        std::hint::black_box(self.0.0.try_acquire().is_ok());
    }
}

peer!(
    StdRwLock,
    RwLock<usize>,
    RwLock::new(0),
    |lock| lock.read(),
    "std's `RwLock`, read."
);
peer!(
    ParkingLotRwLock,
    parking_lot::RwLock<usize>,
    parking_lot::RwLock::new(0),
    |lock| lock.read(),
    "`parking_lot`'s `RwLock`, read."
);
peer!(
    ArcClone,
    Arc<usize>,
    Arc::new(0),
    |arc| Arc::clone(arc),
    "`Arc`, cloned and dropped. It cannot refuse."
);
peer!(
    ArcSwapLoad,
    ArcSwap<usize>,
    ArcSwap::from_pointee(0),
    |swap| swap.load(),
    "`arc-swap`, loaded."
);
peer!(
    EpochPin,
    (),
    (),
    |_unit| crossbeam_epoch::pin(),
    "`crossbeam-epoch`, pinned."
);
