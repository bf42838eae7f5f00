//! Conformance and interoperation: ours beside the system's, step by step, and on one word.

mod common;

use common::Objects as _;
use rundown_abi::{
    ConformanceResult, ConformanceRun, InteropResult, InteropRun, ObjectKind, ObjectQuery, ObjectWaited,
    Pair, Pairing, Refusal, StepCounts, ioctl, limits,
};
use rundown_suite::Machine;
use std::time::Instant;

#[test]
fn a_million_steps_without_a_difference() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    // The plain pair, whose every word is compared, has most of them.
    for (pair, steps) in [
        (Pair::Plain, 1_000_000),
        (Pair::CacheAware, 200_000),
        (Pair::Wide, 200_000),
    ] {
        let start = Instant::now();
        let mut sum = [0; 8];
        for seed in 0..steps / u64::from(limits::STEPS) {
            let run = ConformanceRun::new(pair, limits::STEPS, seed);
            let result: ConformanceResult = machine.ask(handle, ioctl::CONFORMANCE_RUN, &run).unwrap();
            assert_eq!(
                result.differences,
                0,
                "{pair:?}, seed {seed}: {:#x?}",
                &result.trace[..result.trace_length as usize]
            );
            assert_eq!(
                (result.steps, result.seed, result.trace_length),
                (limits::STEPS.into(), seed, 0)
            );
            for (total, count) in sum.iter_mut().zip(all(&result.counts)) {
                *total += count;
            }
        }
        assert_eq!(sum.iter().sum::<u64>(), steps, "each step is counted once");
        assert!(sum.iter().all(|&count| count > 1000), "{pair:?}: {sum:?}");
        println!(
            "{pair:?}: {steps} steps, {} waits that waited, 0 differences, {:.1} s",
            sum[5],
            start.elapsed().as_secs_f64()
        );
    }
    machine.quit().assert_passed();
}

fn all(counts: &StepCounts) -> [u64; 8] {
    [
        counts.granted,
        counts.refused,
        counts.released,
        counts.released_to_waiter,
        counts.waits_at_once,
        counts.waits,
        counts.completed,
        counts.reinitialized,
    ]
}

#[test]
fn one_word_is_shared_in_every_pairing() {
    const ROUNDS: u32 = 2_000;
    for cpus in ["1", "2"] {
        let mut machine = Machine::boot(&["--cpus", cpus]);
        let handle = machine.open();
        for &pairing in Pairing::ALL {
            let run = InteropRun::new(pairing, ROUNDS, 1);
            let result: InteropResult = machine.ask(handle, ioctl::INTEROP_RUN, &run).unwrap();
            assert_eq!(result.differences, 0, "{pairing:?}: {result:?}");
            assert_eq!((result.rounds, result.pairing), (ROUNDS.into(), pairing as u32));
            assert!(
                result.references >= ROUNDS.into() && result.checks > result.rounds,
                "{result:?}"
            );
            println!(
                "{cpus} CPUs, {pairing:?}: {} rounds, {} references, {} checks",
                result.rounds, result.references, result.checks
            );
        }
        machine.quit().assert_passed();
    }
}

#[test]
fn comparisons_count_as_waits() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let mut waits = Vec::new();
    for _ in 0..limits::OBJECTS.min(limits::WAITS) {
        let object = machine.create(handle, ObjectKind::Ours);
        machine.acquire(handle, object, 1).unwrap();
        waits.push((
            object,
            machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object)),
        ));
    }
    for (object, _) in &waits {
        machine.state_once_waiting(handle, *object);
    }
    let conformance = ConformanceRun::new(Pair::Plain, 10, 1);
    let interop = InteropRun::new(Pairing::OursWaitsNativeReleases, 10, 1);
    let refused = machine.ask::<ConformanceResult>(handle, ioctl::CONFORMANCE_RUN, &conformance);
    assert_eq!(refused.map(drop), Err(Refusal::TooManyWaits));
    let refused = machine.ask::<InteropResult>(handle, ioctl::INTEROP_RUN, &interop);
    assert_eq!(refused.map(drop), Err(Refusal::TooManyWaits));
    for (object, wait) in waits {
        machine.release(handle, object, 1).unwrap();
        machine.answer::<ObjectWaited>(wait).unwrap();
    }
    machine
        .ask::<ConformanceResult>(handle, ioctl::CONFORMANCE_RUN, &conformance)
        .unwrap();
    machine
        .ask::<InteropResult>(handle, ioctl::INTEROP_RUN, &interop)
        .unwrap();
    machine.quit().assert_passed();
}
