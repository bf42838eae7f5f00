//! An hour of stress: a part of it for each way out, in a machine whose spin fields lead there. `cargo xtask test --deep` runs it;
//! `RUNDOWN_SOAK_SECONDS` makes it shorter, and what it has to come to with it.

#[path = "common/stress.rs"]
mod common;

use std::{
    env,
    time::{Duration, Instant},
};

use common::{Stress as _, arms, assert_sound, start};
use rundown_abi::{Arm, StressStart, Waiter, WaysOut, Workload};
use rundown_suite::Machine;

const HOUR: u64 = 3_600;
/// What an hour has to come to: acquires, refusals and releases, ...
const OPERATIONS: u64 = 1_000_000_000;
/// ... and waits that ended by each of the ways out.
const BY_EACH_WAY: u64 = 1_000_000;
/// A spin budget that no hold outlasts, in TSC cycles.
const LONG_SPIN: u32 = 100_000_000;

/// A way out, and what leads there.
struct Part {
    name: &'static str,
    /// In tenths. Waits that sleep take longest.
    share: u64,
    machine: [&'static str; 4],
    waiter: Waiter,
    hold_cycles: u32,
    spin_cycles: u32,
    of: fn(&WaysOut) -> u64,
}

const PARTS: [Part; 4] = [
    Part {
        name: "mwaitx",
        share: 2,
        machine: ["--monitorx", "1", "--unparked", "2"],
        waiter: Waiter::Passive,
        hold_cycles: 2_000,
        spin_cycles: LONG_SPIN,
        of: |ways| ways.mwaitx,
    },
    Part {
        name: "pause",
        share: 2,
        machine: ["--monitorx", "0", "--unparked", "2"],
        waiter: Waiter::Passive,
        hold_cycles: 2_000,
        spin_cycles: LONG_SPIN,
        of: |ways| ways.pause,
    },
    Part {
        name: "dispatch",
        share: 2,
        machine: ["--monitorx", "1", "--unparked", "2"],
        waiter: Waiter::Dispatch,
        hold_cycles: 60_000,
        spin_cycles: 0,
        of: |ways| ways.dispatch,
    },
    Part {
        name: "event",
        share: 4,
        machine: ["--monitorx", "1", "--unparked", "1"],
        waiter: Waiter::Passive,
        hold_cycles: 60_000,
        spin_cycles: 0,
        of: |ways| ways.event,
    },
];

/// What a part came to.
#[derive(Default)]
struct Sum {
    operations: u64,
    generations: u64,
    by_way: u64,
}

/// Storms on our plain reference, and after each a while of contention on every arm.
fn run(part: &Part, seconds: u64, seed: u64) -> Sum {
    let timeout = (seconds * 3 + 600).to_string();
    let seed_option = seed.to_string();
    let mut options = vec!["--cpus", "2", "--seed", &seed_option, "--timeout", &timeout];
    options.extend(part.machine);
    let mut machine = Machine::boot(&options);
    let handle = machine.open();
    let storm = StressStart {
        threads: 1,
        waiter: part.waiter as u32,
        hold_cycles: part.hold_cycles,
        spin_cycles: part.spin_cycles,
        ..start(Workload::Storm, Arm::Ours.bit(), 20_000)
    };
    let contention = StressStart {
        threads: 2,
        ..start(Workload::Contended, arms(Workload::Contended), 4_000)
    };
    let mut sum = Sum::default();
    let begin = Instant::now();
    let mut turn = 0;
    while begin.elapsed() < Duration::from_secs(seconds) {
        for plan in [storm, contention] {
            turn += 1;
            let result = machine.run_to_end(handle, &StressStart { seed: turn, ..plan });
            assert_sound(part.name, result.violations);
            assert_eq!(result.stall.waits, 0, "{}: {:?}", part.name, result.stall);
            assert_eq!(result.turns_done, result.turns, "{}", part.name);
            sum.operations += 2 * result.acquires + result.refused;
            sum.generations += result.generations;
            sum.by_way += (part.of)(&result.ways_out);
        }
        eprintln!(
            "{}: {} of {seconds} s, {} operations, {} generations, {} waits by this way",
            part.name,
            begin.elapsed().as_secs(),
            sum.operations,
            sum.generations,
            sum.by_way
        );
    }
    machine.close(handle);
    machine.quit().assert_passed();
    sum
}

#[test]
#[ignore = "it takes an hour; `cargo xtask test --deep` runs it"]
fn every_way_out_a_million_times() {
    let seconds =
        env::var("RUNDOWN_SOAK_SECONDS").map_or(HOUR, |text| text.parse().expect("a number of seconds"));
    let sums: Vec<Sum> = PARTS
        .iter()
        .zip(1..)
        .map(|(part, seed)| run(part, seconds * part.share / 10, seed))
        .collect();
    let share = |hourly: u64| hourly * seconds.min(HOUR) / HOUR;
    for (part, sum) in PARTS.iter().zip(&sums) {
        println!(
            "{}: {} operations, {} generations, {} waits by this way, 0 violations",
            part.name, sum.operations, sum.generations, sum.by_way
        );
        assert!(sum.by_way >= share(BY_EACH_WAY), "{}: {}", part.name, sum.by_way);
    }
    let operations: u64 = sums.iter().map(|sum| sum.operations).sum();
    println!("{operations} operations in {seconds} s");
    assert!(operations >= share(OPERATIONS), "{operations}");
}
