//! Random interleavings of scenes that are too big for loom, by shuttle.
//!
//! ```text
//! RUSTFLAGS="--cfg ex_rundown_shuttle" cargo test -p ex-rundown --release --test shuttle --target-dir target/shuttle
//! RUSTFLAGS="--cfg ex_rundown_shuttle" cargo test -p ex-rundown --release --test shuttle --target-dir target/shuttle -- --ignored
//! ```
//!
//! The first is the gate's and takes seconds; the second, the deep set, takes minutes. Random schedules prove nothing, and
//! shuttle's atomics are sequentially consistent, whatever ordering they are given: planted defects (`cargo xtask mutate`) are
//! loom's to find.
#![cfg(ex_rundown_shuttle)]

mod crowd;
mod model;
#[allow(dead_code, reason = "loom's ways to wait")]
#[path = "../models/platform.rs"]
mod platform;
#[allow(dead_code, reason = "loom's scenes complete what was run down")]
#[path = "../models/protocol.rs"]
mod protocol;
#[path = "../models/seam.rs"]
mod seam;

use crowd::{crowd, holders_take_up_each_others_entries, owners_of_data};
use ex_rundown::{
    AllocatedCacheAwareRundownRef, DispatchRundownRef, Parity, RundownRef, Strict, WideCacheAwareRundownRef,
    WideRundownRef,
};
use model::{fails, holds};
use platform::{Asleep, AtDispatch, ByMonitor, ByPause, Modelled};
use protocol::Protocol;

type Plain<W> = RundownRef<Modelled<W>>;
type Wide<W> = WideRundownRef<Modelled<W>>;
type Dispatch = DispatchRundownRef<Modelled<Asleep>>;
type WideCacheAware = WideCacheAwareRundownRef<Modelled<Asleep>>;
type CacheAware<C = Strict> = AllocatedCacheAwareRundownRef<Modelled<Asleep>, C>;

fn all(schedules: usize) {
    holds(
        "plain, 4 threads, 3 generations, event",
        schedules,
        crowd::<Plain<Asleep>, 4, 3>,
    );
    holds(
        "plain, 6 threads, 4 generations, pause",
        schedules,
        crowd::<Plain<ByPause>, 6, 4>,
    );
    holds(
        "plain, 4 threads, 3 generations, monitor",
        schedules,
        crowd::<Plain<ByMonitor>, 4, 3>,
    );
    holds(
        "plain, 4 threads, 3 generations, dispatch",
        schedules,
        crowd::<Plain<AtDispatch>, 4, 3>,
    );
    holds(
        "wide, 4 threads, 3 generations, event",
        schedules,
        crowd::<Wide<Asleep>, 4, 3>,
    );
    holds(
        "wide, 6 threads, 4 generations, pause",
        schedules,
        crowd::<Wide<ByPause>, 6, 4>,
    );
    holds(
        "wide, 4 threads, 3 generations, monitor",
        schedules,
        crowd::<Wide<ByMonitor>, 4, 3>,
    );
    holds(
        "wide, 4 threads, 3 generations, dispatch",
        schedules,
        crowd::<Wide<AtDispatch>, 4, 3>,
    );
    holds(
        "cache-aware, 4 threads, 3 generations",
        schedules,
        crowd::<CacheAware, 4, 3>,
    );
    holds(
        "cache-aware, 6 threads, 4 generations",
        schedules,
        crowd::<CacheAware, 6, 4>,
    );
    holds(
        "cache-aware, 4 threads, 3 generations, parity",
        schedules,
        crowd::<CacheAware<Parity>, 4, 3>,
    );
    holds(
        "dispatch, 4 threads, 3 generations",
        schedules,
        crowd::<Dispatch, 4, 3>,
    );
    holds(
        "wide cache-aware, 6 threads, 4 generations",
        schedules,
        crowd::<WideCacheAware, 6, 4>,
    );
    holds(
        "holders by pointer",
        100 * schedules,
        holders_take_up_each_others_entries,
    );
    holds("data, dispatch", schedules, || {
        owners_of_data(|| Dispatch::new().expect("memory"));
    });
    holds("data, wide cache-aware", schedules, || {
        owners_of_data(|| WideCacheAware::new().expect("memory"));
    });
    holds("data, plain", schedules, || owners_of_data(Plain::<Asleep>::new));
    holds("data, wide", schedules, || owners_of_data(Wide::<Asleep>::new));
    holds("data, cache-aware", schedules, || {
        owners_of_data(|| CacheAware::new().expect("memory"));
    });
}

#[test]
fn crowds() {
    all(1_000);
}

#[test]
#[ignore = "deep: minutes"]
fn deep_crowds() {
    all(100_000);
}

/// The owner of a reference that this replaces waits for nobody.
struct Impatient(Plain<Asleep>);

impl Protocol for Impatient {
    fn new() -> Self {
        Self(Protocol::new())
    }
    fn acquire(&self, who: usize) -> bool {
        Protocol::acquire(&self.0, who)
    }
    fn release(&self, who: usize) {
        Protocol::release(&self.0, who);
    }
    fn wait(&self) {}
    fn reinitialize(&self) {}
}

/// The crowd sees a wait that ends too early: otherwise it could not fail.
#[test]
fn an_impatient_owner_meets_a_holder() {
    fails(
        "an owner that does not wait",
        20_000,
        &["Concurrent", "granted after run-down began"],
        crowd::<Impatient, 4, 3>,
    );
}
