//! Random interleavings of scenes that are too big for loom, by shuttle.
//!
//! ```text
//! RUSTFLAGS="--cfg ex_rundown_shuttle" cargo test -p ex-rundown --release --test shuttle --target-dir target/shuttle
//! RUSTFLAGS="--cfg ex_rundown_shuttle" cargo test -p ex-rundown --release --test shuttle --target-dir target/shuttle -- --ignored
//! ```
//!
//! The first is the gate's and takes seconds; the second, the deep set, takes minutes. Random schedules prove nothing; the mutants
//! say what they find: not the wide reference that undoes a refusal (`docs/wide.md`), for one. shuttle's atomics are sequentially consistent, whatever ordering they are given, so the mutants that
//! weaken an ordering are loom's alone.
#![cfg(ex_rundown_shuttle)]

mod crowd;
mod model;
#[allow(dead_code, reason = "those that weaken an ordering, and the one that undoes")]
#[path = "../models/mutants/mod.rs"]
mod mutants;
#[allow(dead_code, reason = "loom's ways to wait")]
#[path = "../models/platform.rs"]
mod platform;
#[path = "../models/protocol.rs"]
mod protocol;
#[path = "../models/seam.rs"]
mod seam;

use crowd::{crowd, owners_of_data};
use ex_rundown::{AllocatedCacheAwareRundownRef, Parity, RundownRef, Strict, WideRundownRef};
use model::{LOST_WAKE, MEETING, fails, holds};
use mutants::{
    CountAfterPublishing, CountStoredNotAdded, EventInAnyCase, EventSkipped, GrantWhenActive, Nothing,
    OwnSlotOnly, SpinFlagSet, SplitTestAndClear, StaleAtReinitialize, TestThenAdd, TouchAfterHandOver,
    WaiterAfterState, cache_aware, plain, wide,
};
use platform::{Asleep, AtDispatch, ByMonitor, ByPause, Modelled};

type Plain<W> = RundownRef<Modelled<W>>;
type Wide<W> = WideRundownRef<Modelled<W>>;
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

/// At most; a mutant's run ends with the first schedule that shows it.
const SCHEDULES: usize = 20_000;

#[test]
fn the_faithful_copies_hold() {
    holds("copy of plain", 1_000, crowd::<plain::Plain<Nothing>, 4, 3>);
    holds("copy of wide", 1_000, crowd::<wide::Wide<Nothing>, 4, 3>);
    holds(
        "copy of cache-aware",
        1_000,
        crowd::<cache_aware::CacheAware<Nothing>, 4, 3>,
    );
}

macro_rules! mutant {
    ($name:ident, $expected:expr, $type:ty) => {
        #[test]
        fn $name() {
            fails(
                stringify!($name),
                SCHEDULES,
                $expected,
                crowd::<$type, 4, 3>,
            );
        }
    };
}

const GRANTED: &[&str] = &["Concurrent", "granted after run-down began", "deadlock"];
const LOST_OR_MEETING: &[&str] = &["deadlock", "Concurrent"];

mutant!(plain_event_skipped, LOST_WAKE, plain::Plain<EventSkipped>);
mutant!(
    plain_split_test_and_clear,
    LOST_OR_MEETING,
    plain::Plain<SplitTestAndClear>
);
mutant!(
    plain_count_after_publishing,
    LOST_OR_MEETING,
    plain::Plain<CountAfterPublishing>
);
mutant!(
    plain_touch_after_hand_over,
    MEETING,
    plain::Plain<TouchAfterHandOver>
);
mutant!(
    plain_event_in_any_case,
    LOST_OR_MEETING,
    plain::Plain<EventInAnyCase>
);
mutant!(plain_grant_when_active, GRANTED, plain::Plain<GrantWhenActive>);
mutant!(plain_test_then_add, GRANTED, plain::Plain<TestThenAdd>);
mutant!(wide_event_skipped, LOST_WAKE, wide::Wide<EventSkipped>);
mutant!(
    wide_count_stored_not_added,
    LOST_OR_MEETING,
    wide::Wide<CountStoredNotAdded>
);
mutant!(
    wide_waiter_after_state,
    &["no block"],
    wide::Wide<WaiterAfterState>
);
mutant!(
    wide_touch_after_hand_over,
    MEETING,
    wide::Wide<TouchAfterHandOver>
);
mutant!(wide_grant_when_active, GRANTED, wide::Wide<GrantWhenActive>);
mutant!(
    cache_aware_event_skipped,
    LOST_WAKE,
    cache_aware::CacheAware<EventSkipped>
);
mutant!(
    cache_aware_spin_flag_set,
    LOST_WAKE,
    cache_aware::CacheAware<SpinFlagSet>
);
mutant!(
    cache_aware_count_stored_not_added,
    LOST_OR_MEETING,
    cache_aware::CacheAware<CountStoredNotAdded>
);
mutant!(
    cache_aware_own_slot_only,
    &["released after run-down"],
    cache_aware::CacheAware<OwnSlotOnly>
);
mutant!(
    cache_aware_stale_at_reinitialize,
    GRANTED,
    cache_aware::CacheAware<StaleAtReinitialize>
);
mutant!(
    cache_aware_grant_when_active,
    GRANTED,
    cache_aware::CacheAware<GrantWhenActive>
);
