//! The engine over std's threads: sound references pass under every workload, and unsound ones are found.

mod counters;
mod host;
mod references;

use std::{
    sync::Arc as Shared,
    thread,
    time::{Duration, Instant},
};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, DispatchRundownRef, RundownRef, WideCacheAwareRundownRef, WideRundownRef,
};
use rundown_std::Std;
use rundown_stress::{Arm, ArmOf, EmptyCall, Level, LockXadd, Plan, Reference, Tally, Waits, Workload};

use crate::{
    host::{Heap, HostRun, run},
    references::{DoesNotWait, NeverRefuses, Ours, Stuck, Unknown},
};

const WITH_OWNER: [Workload; 4] = [
    Workload::Storm,
    Workload::HandOff,
    Workload::Batches,
    Workload::Dpcs,
];
const PLAN: Plan = Plan {
    workload: Workload::Storm,
    waiter: Level::Passive,
    holders: 3,
    hold_cycles: 2_000,
    gap_cycles: 4_000,
    batch: 1,
    false_sharing: false,
    stall_cycles: 60_000_000_000,
    seed: 1,
};

fn plan(workload: Workload) -> Plan {
    Plan {
        workload,
        batch: if workload == Workload::Batches { 5 } else { 1 },
        ..PLAN
    }
}

fn arm<R: Reference + Send>(plan: Plan, mut reference: impl FnMut() -> R) -> ArmOf<R, Heap> {
    ArmOf::new(plan, || Some(reference())).expect("memory")
}

/// One round of one arm.
fn alone<R: Reference + Send>(plan: Plan, reference: impl FnMut() -> R) -> HostRun<ArmOf<R, Heap>> {
    run(plan, vec![arm(plan, reference)], 1, Duration::from_millis(60))
}

fn plain() -> Ours<RundownRef<Std>> {
    Ours(RundownRef::new())
}

fn wide() -> Ours<WideRundownRef<Std>> {
    Ours(WideRundownRef::new())
}

fn cache_aware() -> Ours<AllocatedCacheAwareRundownRef<Std>> {
    Ours(AllocatedCacheAwareRundownRef::new().expect("memory"))
}

fn wide_cache_aware() -> Ours<WideCacheAwareRundownRef<Std>> {
    Ours(WideCacheAwareRundownRef::new().expect("memory"))
}

fn dispatch() -> Ours<DispatchRundownRef<Std>> {
    Ours(DispatchRundownRef::new().expect("memory"))
}

fn blocked(waits: &Waits) -> u64 {
    waits.mwaitx + waits.pause + waits.dispatch + waits.event + waits.late
}

fn assert_storm(plan: &Plan, tally: &Tally) {
    assert_eq!((tally.poisoned, tally.inside), (0, 0), "{plan:?}");
    assert!(tally.generations > 0 && tally.acquires > 0, "{plan:?}: {tally:?}");
    assert!(tally.refused > 0 && tally.contested > 0, "{plan:?}: {tally:?}");
    assert_eq!(tally.waits.drained + blocked(&tally.waits), tally.generations);
    assert_eq!(tally.contested, blocked(&tally.waits));
}

#[test]
fn sound_references_pass_under_each_workload_with_an_owner() {
    for workload in WITH_OWNER {
        for false_sharing in [false, true] {
            let plan = Plan {
                false_sharing,
                ..plan(workload)
            };
            assert_storm(&plan, &alone(plan, plain).tally(0));
            assert_storm(&plan, &alone(plan, wide).tally(0));
            assert_storm(&plan, &alone(plan, cache_aware).tally(0));
            assert_storm(&plan, &alone(plan, wide_cache_aware).tally(0));
            assert_storm(&plan, &alone(plan, dispatch).tally(0));
        }
    }
}

#[test]
fn the_waiter_waits_where_it_should() {
    for waiter in [Level::Passive, Level::Apc, Level::Dispatch] {
        let plan = Plan { waiter, ..PLAN };
        let waits = alone(plan, plain).tally(0).waits;
        assert_eq!(
            waits.dispatch > 0,
            waiter == Level::Dispatch,
            "{waiter:?}: {waits:?}"
        );
        assert_eq!(
            waits.event + waits.late + waits.pause > 0,
            waiter != Level::Dispatch,
            "{waiter:?}: {waits:?}"
        );
    }
}

#[test]
fn nobody_is_refused_without_an_owner() {
    for workload in [Workload::Uncontended, Workload::Contended] {
        for false_sharing in [false, true] {
            let plan = Plan {
                hold_cycles: 0,
                false_sharing,
                ..plan(workload)
            };
            for tally in [
                alone(plan, plain).tally(0),
                alone(plan, wide).tally(0),
                alone(plan, cache_aware).tally(0),
                alone(plan, wide_cache_aware).tally(0),
                alone(plan, dispatch).tally(0),
                alone(plan, EmptyCall::default).tally(0),
                alone(plan, LockXadd::new).tally(0),
            ] {
                assert!(tally.acquires > 0, "{plan:?}");
                let rest = Tally { acquires: 0, ..tally };
                assert_eq!(rest, Tally::default(), "{plan:?}");
            }
        }
    }
}

#[test]
fn everybody_is_refused_after_the_run_down() {
    for tally in [
        alone(plan(Workload::Refused), plain).tally(0),
        alone(plan(Workload::Refused), wide).tally(0),
        alone(plan(Workload::Refused), cache_aware).tally(0),
        alone(plan(Workload::Refused), wide_cache_aware).tally(0),
        alone(plan(Workload::Refused), dispatch).tally(0),
    ] {
        assert!(tally.refused > 0);
        assert_eq!((tally.acquires, tally.poisoned), (0, 0));
    }
}

#[test]
fn a_wait_that_does_not_wait_is_found() {
    for workload in WITH_OWNER {
        let tally = alone(plan(workload), DoesNotWait::default).tally(0);
        assert!(tally.inside > 0, "{workload:?}: {tally:?}");
        assert!(tally.poisoned > 0, "{workload:?}: {tally:?}");
        assert_eq!(
            tally.waits,
            Waits::default(),
            "it does not tell how its waits end"
        );
    }
}

#[test]
fn a_grant_after_run_down_is_found() {
    for workload in [
        Workload::Storm,
        Workload::Batches,
        Workload::Dpcs,
        Workload::Refused,
    ] {
        let tally = alone(plan(workload), || NeverRefuses).tally(0);
        assert_eq!(tally.refused, 0);
        assert!(tally.poisoned > 0, "{workload:?}: {tally:?}");
    }
}

#[test]
fn arms_take_turns_and_each_has_figures() {
    // A busy machine may leave the holders without a processor for most of a turn; then longer ones.
    let most = [10, 100, 1_000].into_iter().any(most_operations_are_measured);
    assert!(most, "half of the operations are outside of the turns");
}

/// Whether more than half of each arm's operations lie in what its turns measured; what the turns say beyond that is asserted.
fn most_operations_are_measured(milliseconds: u64) -> bool {
    let plan = plan(Workload::Contended);
    let arms = vec![arm(plan, LockXadd::new), arm(plan, LockXadd::new)];
    let run = run(plan, arms, 3, Duration::from_millis(milliseconds));
    assert_eq!(run.turns_done(), 12);
    assert_eq!(run.turn(12), None);
    let turns: Vec<_> = (0..12).map(|turn| run.turn(turn).expect("it is over")).collect();
    for turn in &turns {
        assert!(turn.nanoseconds > 5_000_000 && turn.cycles > 5_000_000);
        assert_eq!(turn.generations, 0);
    }
    run.arms().iter().enumerate().all(|(index, arm)| {
        let counted = arm.tally().operations();
        let own = || (0..12).filter(|&turn| run.schedule().arm(turn) == index);
        let operations = |turn: u32| turns[turn as usize].operations;
        let measured: u64 = own().map(operations).sum();
        assert!(measured <= counted, "{measured} of {counted}");
        measured > counted / 2 && own().all(|turn| operations(turn) > 0)
    })
}

#[test]
fn what_is_measured_has_a_distribution() {
    let run = alone(PLAN, plain);
    let [operation, hand_over] = [run.arms()[0].operation(), run.arms()[0].hand_over()];
    let tally = run.tally(0);
    assert!(operation.samples > 0 && operation.samples <= tally.operations() / 16 + 3);
    assert!(hand_over.samples > 0 && hand_over.samples <= tally.contested);
    for latency in [operation, hand_over] {
        assert!(latency.quantiles.is_sorted() && latency.max > 0, "{latency:?}");
        assert!(
            latency.quantiles.iter().all(|quantile| *quantile <= latency.max),
            "{latency:?}"
        );
    }
}

#[test]
fn a_warm_up_is_not_measured() {
    // A busy machine may leave the holders without a processor for a whole turn; then a longer one.
    let measures = [40, 400, 4_000].into_iter().any(measures_after_a_warm_up);
    assert!(measures, "no holder had a sample");
}

/// Whether there were samples; that the warm-ups are not among them is asserted.
fn measures_after_a_warm_up(milliseconds: u64) -> bool {
    let plan = plan(Workload::Contended);
    let begin = Instant::now();
    let run = host::run_with_warm_up(
        plan,
        vec![arm(plan, LockXadd::new)],
        1,
        Duration::from_millis(milliseconds),
        Duration::from_millis(30),
    );
    let measured: u64 = (0..2)
        .map(|turn| run.turn(turn).expect("it is over").nanoseconds)
        .sum();
    let warm_ups = Duration::from_millis(2 * 30);
    assert!(
        Duration::from_nanos(measured) + warm_ups <= begin.elapsed(),
        "{measured}"
    );
    run.arms()[0].operation().samples > 0
}

#[test]
fn a_run_can_be_stopped() {
    let run = Shared::new(host::new(
        PLAN,
        vec![arm(PLAN, plain)],
        1,
        Duration::from_hours(1),
        Duration::ZERO,
    ));
    let stopper = {
        let run = run.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            run.stop();
        })
    };
    host::carry_out(&run);
    stopper.join().unwrap();
    assert!(run.tally(0).generations > 0);
    assert_eq!(run.turns_done(), 0, "a turn that was cut short is none");
}

#[test]
fn a_run_that_nobody_conducts_can_be_abandoned() {
    let run = host::new(
        PLAN,
        vec![arm(PLAN, plain)],
        1,
        Duration::from_hours(1),
        Duration::ZERO,
    );
    thread::scope(|scope| {
        scope.spawn(|| host::hold(&run, 0));
        run.abandon();
    });
    assert_eq!(run.tally(0), Tally::default());
}

#[test]
fn a_wait_that_lasts_too_long_is_reported_once_and_left_alone() {
    let plan = Plan {
        holders: 1,
        stall_cycles: 30_000_000,
        ..PLAN
    };
    let stuck = Stuck::new(Duration::from_millis(200));
    let run = host::new(
        plan,
        vec![arm(plan, || stuck.reference())],
        1,
        Duration::from_millis(20),
        Duration::ZERO,
    );
    let stalls = host::carry_out(&run);
    let stall = run.stall();
    assert_eq!(stall.waits, 1, "{stall:?}");
    assert_eq!(stalls.len(), 1, "one event per wait");
    assert!(
        stall.cycles > plan.stall_cycles && stall.cycles < 10_000_000_000,
        "{stall:?}"
    );
    assert_eq!((stall.arm, stall.generation, stall.word), (0, 0, Some(0x51)));
    assert_eq!(stalls[0].word, Some(0x51));
    assert_eq!(
        run.tally(0).waits.event,
        run.tally(0).generations,
        "it ended by itself"
    );
}

#[test]
fn memory_that_is_short_is_an_answer() {
    assert!(ArmOf::<Ours<RundownRef<Std>>, Heap>::new(PLAN, || None).is_none());
    for allocation in 0..3 {
        let arm: Option<ArmOf<_, host::Short>> =
            host::Short::after(allocation, || ArmOf::new(PLAN, || Some(plain())));
        assert!(arm.is_none(), "allocation {allocation}");
    }
    assert!(host::Short::after(3, || ArmOf::<_, host::Short>::new(PLAN, || Some(plain()))).is_some());
}

#[test]
fn an_arm_knows_what_it_takes() {
    let bytes = |holders, workload| {
        ArmOf::<Ours<RundownRef<Std>>, Heap>::bytes(&Plan {
            holders,
            ..plan(workload)
        })
    };
    let histogram = rundown_stress::Histogram::CELLS * 8;
    assert!(bytes(1, Workload::Storm) > 2 * histogram);
    assert_eq!(
        bytes(2, Workload::Storm) - bytes(1, Workload::Storm),
        histogram + 64
    );
    assert_eq!(
        bytes(2, Workload::Uncontended) - bytes(1, Workload::Uncontended),
        histogram + 64 + 128,
        "an object each, on two lines"
    );
}

#[test]
fn unknown_ways_out_are_not_counted() {
    let tally = alone(PLAN, || Unknown(plain())).tally(0);
    assert!(tally.generations > 0 && tally.contested > 0);
    assert_eq!(tally.waits, Waits::default());
    assert_eq!((tally.poisoned, tally.inside), (0, 0));
}
