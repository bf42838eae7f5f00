//! One thread that plays all parts, by a clock that it moves on by looking at it.

extern crate std;
use std::{cell::Cell, vec::Vec};

use crate::{Level, Memory, Plan, Thread, Workload, counters::Holder};

pub(crate) struct Heap;

impl Memory for Heap {
    type Slice<T: Send + Sync> = Vec<T>;

    fn slice<T: Send + Sync>(count: usize, make: impl FnMut(usize) -> Option<T>) -> Option<Vec<T>> {
        (0..count).map(make).collect()
    }
}

std::thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    /// Where the thread is.
    pub(crate) static PLACE: Cell<Place> = const { Cell::new(Place::Passive) };
    /// How often the thread has paused.
    pub(crate) static PAUSES: Cell<u32> = const { Cell::new(0) };
    /// How often the thread has given way.
    pub(crate) static GIVEN_WAY: Cell<u32> = const { Cell::new(0) };
    /// Where nothing may be parked while somebody looks at the clock.
    pub(crate) static KEPT_EMPTY: Cell<Option<&'static Holder>> = const { Cell::new(None) };
    /// Where nothing may be parked when the thread lowers its level.
    pub(crate) static EMPTY_BELOW: Cell<Option<&'static Holder>> = const { Cell::new(None) };
}

/// Where a thread does what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Passive,
    Apc,
    Dispatch,
    Dpc,
}

fn at<R>(place: Place, body: impl FnOnce() -> R) -> R {
    let before = PLACE.replace(place);
    let result = body();
    PLACE.set(before);
    assert!(!EMPTY_BELOW.get().is_some_and(Holder::is_inside));
    result
}

/// The moment, without moving the clock on.
pub(crate) fn now() -> u64 {
    NOW.get()
}

/// The thread. Its clock moves on by one each time that it is looked at.
pub(crate) struct Clock;

impl Thread for Clock {
    fn cycles() -> u64 {
        assert!(!KEPT_EMPTY.get().is_some_and(Holder::has_parked));
        NOW.set(NOW.get() + 1);
        NOW.get()
    }
    fn nanoseconds() -> u64 {
        0
    }
    fn pause() {
        PAUSES.set(PAUSES.get() + 1);
    }
    fn give_way() {
        GIVEN_WAY.set(GIVEN_WAY.get() + 1);
    }
    fn at_apc_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        at(Place::Apc, body)
    }
    fn at_dispatch_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        at(Place::Dispatch, body)
    }
    fn in_dpc<R: Send>(&mut self, body: impl FnOnce() -> R + Send) -> R {
        at(Place::Dpc, body)
    }
}

/// A plan without holds.
pub(crate) fn plan(workload: Workload, holders: usize) -> Plan {
    Plan {
        workload,
        waiter: Level::Passive,
        holders,
        hold_cycles: 0,
        gap_cycles: 400,
        batch: 1,
        false_sharing: false,
        stall_cycles: 0,
        seed: 1,
    }
}
