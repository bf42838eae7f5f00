//! Stress: every workload on every arm, what is told while a run goes on, and how one ends.

mod bounds;
#[path = "../common/stress.rs"]
mod common;
mod limits;
mod native;
mod stays;
mod waits;

use std::{thread::sleep, time::Duration};

use common::{Stress as _, arms, assert_distribution, assert_sound, start};
use rundown_abi::{
    Arm, Refusal, RunState, Stall, StressArmResult, StressStart, Waiter, WordState, Workload, flags,
};
use rundown_suite::{Handle, Machine};

/// Carries a run out, and checks what holds for each: the figures of its arms.
fn figures(machine: &mut Machine, handle: Handle, start: &StressStart) -> Vec<StressArmResult> {
    let what = format!(
        "{:?}, flags {}",
        Workload::from_wire(start.workload).unwrap(),
        start.flags
    );
    let result = machine.run_to_end(handle, start);
    assert_eq!(
        RunState::from_wire(result.state),
        Some(RunState::Finished),
        "{what}"
    );
    assert_eq!(
        (result.turns_done, result.turns),
        (start.turns(), start.turns()),
        "{what}"
    );
    assert_eq!(
        (result.arms, result.arm, result.stall),
        (start.arms, 0, Stall::default()),
        "{what}"
    );
    let figures: Vec<StressArmResult> = Arm::of_set(start.arms)
        .map(|arm| machine.arm(handle, result.run, arm).unwrap())
        .collect();
    for (arm, figures) in Arm::of_set(start.arms).zip(&figures) {
        let what = format!("{what}, {arm:?}");
        assert_sound(&what, figures.violations);
        assert_distribution(&what, &figures.operation);
        assert_distribution(&what, &figures.hand_over);
        assert_eq!((figures.run, figures.arm), (result.run, arm as u32));
        assert_eq!(figures.turns_done, start.rounds * 2, "{what}");
        let ways = figures.ways_out;
        let told = ways.drained + ways.mwaitx + ways.pause + ways.dispatch + ways.event + ways.late;
        assert_eq!(
            told,
            if arm.is_native() { 0 } else { figures.generations },
            "{what}: {figures:?}"
        );
        assert!(figures.contested <= figures.generations);
    }
    let sum = |field: fn(&StressArmResult) -> u64| figures.iter().map(field).sum::<u64>();
    assert_eq!(result.acquires, sum(|arm| arm.acquires), "{what}");
    assert_eq!(result.refused, sum(|arm| arm.refused), "{what}");
    assert_eq!(result.generations, sum(|arm| arm.generations), "{what}");

    let turns = machine.turns(handle, result.run);
    assert_eq!(turns.len(), start.turns() as usize, "{what}");
    let order: Vec<u32> = Arm::of_set(start.arms)
        .chain(Arm::of_set(start.arms).rev())
        .map(|arm| arm as u32)
        .collect();
    for (turn, figures) in turns.iter().enumerate() {
        assert_eq!(figures.arm, order[turn % order.len()], "{what}: turn {turn}");
        assert_eq!(figures.round as usize, turn / order.len(), "{what}: turn {turn}");
        assert!(
            figures.nanoseconds > 0 && figures.cycles > 0,
            "{what}: turn {turn}: {figures:?}"
        );
    }
    for figures in &figures {
        let of_arm = || turns.iter().filter(|turn| turn.arm == figures.arm);
        let operations: u64 = of_arm().map(|turn| turn.operations).sum();
        assert!(
            operations > 0 && operations <= figures.acquires + figures.refused,
            "{what}: {figures:?}"
        );
        assert!(of_arm().map(|turn| turn.generations).sum::<u64>() <= figures.generations);
    }
    figures
}

/// What has to happen in each arm under a workload, sooner or later.
fn is_exercised(workload: Workload, figures: &StressArmResult) -> bool {
    let held = workload == Workload::Refused || figures.acquires > 0;
    let refused = !(workload.has_owner() || workload == Workload::Refused) || figures.refused > 0;
    // The grace period of the reference for DISPATCH_LEVEL outlasts most holds: few of its waits find somebody inside.
    let run_down = !workload.has_owner()
        || figures.contested > 0
        || figures.arm == Arm::OursDispatch as u32 && figures.generations > 0;
    // A hand-off has no operation of its own: its two halves are on two threads.
    let measured = workload == Workload::HandOff || figures.operation.samples > 0;
    held && refused && run_down && measured
}

/// As [`figures`], for twice as long again and again until each arm `is_exercised`: a host with other things to do may keep
/// a processor of the machine waiting for longer than a turn lasts.
fn figures_until(
    machine: &mut Machine,
    handle: Handle,
    start: StressStart,
    is_exercised: impl Fn(&StressArmResult) -> bool,
) -> Vec<StressArmResult> {
    let mut start = start;
    loop {
        let figures = figures(machine, handle, &start);
        if figures.iter().all(&is_exercised) {
            return figures;
        }
        start.milliseconds *= 2;
        assert!(start.milliseconds < 60_000, "{figures:?}");
    }
}

#[test]
fn every_workload_on_every_arm() {
    let mut machine = Machine::boot(&["--cpus", "2", "--seed", "1"]);
    let handle = machine.open();
    for &workload in Workload::ALL {
        for flags in [0, flags::FALSE_SHARING] {
            let arms = arms(workload);
            let start = StressStart {
                flags,
                ..start(workload, arms, 100 * arms.count_ones())
            };
            let figures = figures_until(&mut machine, handle, start, |figures| {
                is_exercised(workload, figures)
            });
            for (arm, figures) in Arm::of_set(arms).zip(figures) {
                let what = format!("{workload:?} {arm:?}: {figures:?}");
                println!(
                    "{workload:?} {arm:?}: {} acquires, {} refused, {} generations, {} contested, p50 {} cycles",
                    figures.acquires,
                    figures.refused,
                    figures.generations,
                    figures.contested,
                    figures.operation.quantile(5_000).unwrap()
                );
                match workload {
                    Workload::Refused => assert_eq!(figures.acquires, 0, "{what}"),
                    Workload::Uncontended | Workload::Contended => assert_eq!(figures.refused, 0, "{what}"),
                    _ => {}
                }
                assert_eq!(figures.generations > 0, workload.has_owner(), "{what}");
            }
        }
    }
    machine.quit().assert_passed();
}

#[test]
fn the_owner_waits_at_each_level() {
    let mut machine = Machine::boot(&["--cpus", "2", "--seed", "2"]);
    let handle = machine.open();
    for &workload in Workload::ALL.iter().filter(|workload| workload.has_owner()) {
        for &waiter in Waiter::ALL {
            let arms = Arm::of_set(arms(workload))
                .filter(|arm| waiter != Waiter::Dispatch || !arm.waits_below_dispatch())
                .fold(0, |set, arm| set | arm.bit());
            let start = StressStart {
                waiter: waiter as u32,
                hold_cycles: 60_000,
                flags: flags::FORCE_NATIVE_AT_DISPATCH,
                ..start(workload, arms, 100 * arms.count_ones())
            };
            let told = |figures: &StressArmResult| figures.arm != Arm::Native as u32;
            let at_dispatch = waiter == Waiter::Dispatch;
            let figures = figures_until(&mut machine, handle, start, |figures| {
                is_exercised(workload, figures)
                    && (!at_dispatch || !told(figures) || figures.ways_out.dispatch > 0)
            });
            for figures in figures {
                let ways = figures.ways_out;
                if !at_dispatch {
                    assert_eq!(ways.dispatch, 0, "{workload:?} {waiter:?}: {figures:?}");
                } else if told(&figures) {
                    assert_eq!(ways.dispatch + ways.drained, figures.generations);
                }
            }
        }
    }
    machine.quit().assert_passed();
}

/// What an operation takes on average, in cycles, by the turns of each arm.
fn cycles_per_operation(machine: &mut Machine, handle: Handle, start: &StressStart) -> Vec<(Arm, u64)> {
    let run = machine.run_to_end(handle, start).run;
    let turns = machine.turns(handle, run);
    Arm::of_set(start.arms)
        .map(|arm| {
            let of_arm = || turns.iter().filter(|turn| turn.arm == arm as u32);
            let cycles: u64 = of_arm().map(|turn| turn.cycles).sum();
            let operations: u64 = of_arm().map(|turn| turn.operations).sum();
            (arm, cycles * u64::from(start.threads) * 1_000 / operations)
        })
        .collect()
}

/// Only what goes through calls of the system is compared: the emulator makes a call dearer than a locked instruction, so
/// that an empty call is not below an acquire that is inlined. How far ours are above the floors is the benchmarks' affair.
#[test]
fn floors_are_below_what_calls_the_system() {
    let mut machine = Machine::boot(&["--cpus", "2", "--seed", "3"]);
    let handle = machine.open();
    let start = StressStart {
        threads: 1,
        rounds: 3,
        warm_up_milliseconds: 10,
        ..start(Workload::Uncontended, Arm::EVERY, 3_000)
    };
    let costs = cycles_per_operation(&mut machine, handle, &start);
    println!("thousandths of a cycle per operation: {costs:?}");
    let of = |arm| costs.iter().find(|(other, _)| *other == arm).unwrap().1;
    for caller in [Arm::OursCacheAware, Arm::Native, Arm::NativeCacheAware] {
        for floor in [Arm::EmptyCall, Arm::LockXadd] {
            assert!(
                of(floor) < of(caller),
                "{floor:?} is not below {caller:?}: {costs:?}"
            );
        }
    }
    machine.quit().assert_passed();
}

#[test]
fn a_run_tells_how_far_it_is_and_can_be_stopped() {
    let mut machine = Machine::boot(&["--cpus", "2", "--seed", "4"]);
    let [handle, other] = [machine.open(), machine.open()];
    let endless = start(Workload::Storm, arms(Workload::Storm), 600_000);
    let run = machine.start(handle, &endless).unwrap();
    sleep(Duration::from_millis(300));
    let first = machine.result(handle, run).unwrap();
    assert_eq!(RunState::from_wire(first.state), Some(RunState::Running));
    assert_eq!((first.arm, first.turns), (Arm::Ours as u32, endless.turns()));
    sleep(Duration::from_millis(300));
    let second = machine.result(handle, run).unwrap();
    assert!(second.acquires > first.acquires && second.microseconds > first.microseconds);
    let partial = machine.arm(handle, run, Arm::Ours).unwrap();
    assert!(partial.acquires >= second.acquires && partial.operation.samples > 0);

    assert_eq!(machine.start(handle, &endless), Err(Refusal::Busy));
    assert_eq!(machine.start(other, &endless), Err(Refusal::Busy));
    assert_eq!(machine.result(other, run), Err(Refusal::NoSuchRun));
    assert_eq!(machine.stop(other, run), Err(Refusal::NoSuchRun));
    assert_eq!(machine.stop(handle, run + 1), Err(Refusal::NoSuchRun));
    assert_eq!(machine.arm(handle, run, Arm::LockXadd), Err(Refusal::Arm));

    machine.stop(handle, run).unwrap();
    let last = machine.result(handle, run).unwrap();
    assert_eq!(RunState::from_wire(last.state), Some(RunState::Stopped));
    assert_eq!((last.arm, last.turns_done), (0, 0));
    assert_eq!(machine.result(handle, run), Ok(last), "the counters are final");
    assert_sound("stopped", last.violations);
    machine.stop(handle, run).expect("stopping twice is no error");

    // The next one, by another handle.
    let next = machine.start(other, &endless).unwrap();
    assert_eq!(next, run + 1);
    assert_eq!(machine.result(handle, run), Err(Refusal::NoSuchRun));
    machine.quit().assert_passed();
}

#[test]
fn a_run_ends_with_its_handle_and_with_its_process() {
    let mut machine = Machine::boot(&["--cpus", "2", "--seed", "5"]);
    let last = machine.open();
    for &workload in Workload::ALL {
        let endless = start(workload, arms(workload), 600_000);
        let handle = machine.open();
        machine.start(handle, &endless).unwrap();
        sleep(Duration::from_millis(50));
        assert_eq!(machine.start(last, &endless), Err(Refusal::Busy), "{workload:?}");
        assert_eq!(machine.close(handle), 0);
        // The device is free at once.
        let run = machine.start(last, &endless).unwrap();
        machine.stop(last, run).unwrap();
    }
    machine
        .start(last, &start(Workload::HandOff, Arm::OursWide.bit(), 600_000))
        .unwrap();
    sleep(Duration::from_millis(50));
    machine.die().assert_passed();
}

#[test]
fn a_wait_that_lasts_too_long_is_reported_and_ends_by_itself() {
    let mut machine = Machine::boot(&["--cpus", "2", "--seed", "8"]);
    let handle = machine.open();
    let long = machine.info(handle).limits.hold_cycles;
    for (arm, word) in [(Arm::Ours, WordState::Waiting as u32), (Arm::OursWide, 0)] {
        let start = StressStart {
            // The holder and the owner have a processor each, so that a wait lasts for as long as the hold.
            threads: 1,
            hold_cycles: long,
            stall_milliseconds: 1,
            ..start(Workload::Storm, arm.bit(), 600_000)
        };
        let run = machine.start(handle, &start).unwrap();
        // While it goes on: at the last look at a wait its holders may have left.
        let mut holders = 0;
        for _ in 0..1_200 {
            let stall = machine.result(handle, run).unwrap().stall;
            holders |= stall.holders;
            if stall.waits > 3 && holders != 0 {
                break;
            }
            sleep(Duration::from_millis(50));
        }
        machine.stop(handle, run).unwrap();
        let result = machine.result(handle, run).unwrap();
        let stall = result.stall;
        println!("{arm:?}: {stall:?}");
        assert!(stall.waits > 3 && stall.milliseconds > 1, "{stall:?}");
        assert_eq!(holders, 1, "{stall:?}");
        assert_eq!((stall.arm, stall.word), (arm as u32, word), "{stall:?}");
        assert!(result.generations >= stall.waits, "they ended by themselves");
        assert_sound("long holds", result.violations);
    }
    machine.quit().assert_passed();
}
