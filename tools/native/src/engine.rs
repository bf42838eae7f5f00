//! The stress engine's seams in a process: threads, memory, gates.

use std::{
    sync::{Condvar, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use ex_rundown::{APC_LEVEL, DISPATCH_LEVEL, Irql, arch};
use rundown_stress::{Memory, Signals, Thread};

use crate::Settings;

/// A thread of this process, for the engine.
pub(crate) struct HostThread;

fn at<R>(irql: Irql, body: impl FnOnce() -> R) -> R {
    let level = Settings {
        irql,
        ..Settings::current()
    };
    level.with(body)
}

impl Thread for HostThread {
    fn cycles() -> u64 {
        arch::timestamp()
    }

    fn nanoseconds() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    fn pause() {
        std::hint::spin_loop();
        thread::yield_now();
    }

    fn give_way() {
        thread::yield_now();
    }

    fn at_apc_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        at(APC_LEVEL, body)
    }

    fn at_dispatch_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        at(DISPATCH_LEVEL, body)
    }

    fn in_dpc<R: Send>(&mut self, body: impl FnOnce() -> R + Send) -> R {
        at(DISPATCH_LEVEL, body)
    }
}

/// Vectors.
pub(crate) struct Heap;

impl Memory for Heap {
    type Slice<T: Send + Sync> = Vec<T>;

    fn slice<T: Send + Sync>(count: usize, make: impl FnMut(usize) -> Option<T>) -> Option<Vec<T>> {
        (0..count).map(make).collect()
    }
}

/// Gates between turns.
#[derive(Default)]
pub(crate) struct Gates {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Turns that were opened.
    opened: u32,
    arrived: bool,
    awake: bool,
}

impl Gates {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until `come`, or for `time`; whether it came.
    fn wait(&self, time: Duration, mut come: impl FnMut(&mut State) -> bool) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, time, |state| !come(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Signals for Gates {
    fn open(&self, turn: u32) {
        self.set(|state| state.opened = turn + 1);
    }

    fn pass(&self, turn: u32) {
        while !self.wait(Duration::from_secs(1), |state| state.opened > turn) {}
    }

    fn all_arrived(&self) {
        self.set(|state| state.arrived = true);
    }

    fn await_arrival(&self, microseconds: u64) -> bool {
        self.wait(Duration::from_micros(microseconds), |state| {
            std::mem::take(&mut state.arrived)
        })
    }

    fn wake(&self) {
        self.set(|state| state.awake = true);
    }

    fn sleep(&self, microseconds: u64) {
        self.wait(Duration::from_micros(microseconds), |state| state.awake);
    }
}
