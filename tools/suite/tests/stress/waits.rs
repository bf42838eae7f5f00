//! What a wait of the reference for `DISPATCH_LEVEL` costs: by the lab's count of DPCs and of sleeps, not by the driver's.

use rundown_abi::{Arm, StressStart, Workload};
use rundown_suite::Machine;

use crate::common::{Stress as _, assert_sound, start};

/// The DPCs of a wait that are queued before it sleeps (`crates/ex-rundown-nt/src/dispatch.rs`).
const AT_ONCE: u64 = 8;

/// One DPC for each processor and wait and no other, and at most one sleep for so many of them.
fn a_dpc_for_each_processor(cpus: u64) {
    let mut machine = Machine::boot(&["--cpus", &cpus.to_string(), "--seed", "1"]);
    let handle = machine.open();
    let arm = Arm::OursDispatch;
    let start = StressStart {
        threads: 1,
        ..start(Workload::Storm, arm.bit(), 200)
    };
    let (mut waits, mut slept) = (0, 0);
    while waits < 20 {
        let run = machine.run_to_end(handle, &start).run;
        let figures = machine.arm(handle, run, arm).unwrap();
        waits += figures.generations;
        slept += figures.ways_out.event;
    }
    let verdict = machine.quit();
    verdict.assert_passed();
    let dpcs = verdict.counter("dpcs");
    // What slept on a wait block's event has waited for a holder.
    let sleeps = verdict.counter("stack_event_waits") - slept;
    println!(
        "{cpus} processors: {waits} waits, {dpcs} DPCs, {sleeps} sleeps, {} switches in the whole boot",
        verdict.counter("switches")
    );
    assert_eq!(dpcs, waits * cpus);
    assert!(sleeps <= waits * cpus.div_ceil(AT_ONCE), "{sleeps} sleeps");
}

#[test]
fn a_wait_costs_a_dpc_for_each_processor() {
    for cpus in [1, 2, 4, 8] {
        a_dpc_for_each_processor(cpus);
    }
}

#[test]
#[ignore = "deep: many processors on a few of the host's"]
fn a_wait_costs_a_dpc_for_each_of_many_processors() {
    for cpus in [16, 64] {
        a_dpc_for_each_processor(cpus);
    }
}

/// What the machines of the deep tier come to together: acquires, refusals and releases, and waits.
const OPERATIONS: u64 = 1_000_000_000;
const GENERATIONS: u64 = 1_000_000;

/// Boots machines, each for a turn of each workload, until they have come to so much.
fn operations_and_generations(cpus: &str, mode: &str, share: u64) {
    let (mut operations, mut generations) = (0, 0);
    for seed in 1.. {
        let mut machine = Machine::boot(&["--cpus", cpus, "--mode", mode, "--seed", &seed.to_string()]);
        let handle = machine.open();
        for workload in [
            Workload::Storm,
            Workload::HandOff,
            Workload::Dpcs,
            Workload::Contended,
        ] {
            let plan = StressStart {
                seed,
                ..start(workload, Arm::OursDispatch.bit(), 10_000)
            };
            let result = machine.run_to_end(handle, &plan);
            assert_sound(&format!("{workload:?}"), result.violations);
            operations += 2 * result.acquires + result.refused;
            generations += result.generations;
        }
        machine.quit().assert_passed();
        eprintln!("{cpus} processors, {mode}: {operations} operations, {generations} generations");
        if operations >= OPERATIONS / share && generations >= GENERATIONS / share {
            break;
        }
    }
}

/// `RUNDOWN_DISPATCH_SHARE=N` lets it come to an N-th.
#[test]
#[ignore = "deep: hours"]
fn a_thousand_million_operations_with_a_million_generations() {
    let share: u64 =
        std::env::var("RUNDOWN_DISPATCH_SHARE").map_or(1, |text| text.parse().expect("a number from 1"));
    for cpus in ["2", "4", "8"] {
        for mode in ["smp", "chaos"] {
            operations_and_generations(cpus, mode, 6 * share);
        }
    }
}
