//! What a run may not ask for: the machine's own refusals, and the administrator's.

use rundown_abi::{Arm, Limits, Refusal, StressStart, Waiter, Workload, flags, marks};
use rundown_suite::{Machine, inf_with};

use crate::common::{Stress as _, start};

fn at_dispatch(arm: Arm, flags: u32) -> StressStart {
    StressStart {
        waiter: Waiter::Dispatch as u32,
        flags,
        ..start(Workload::Storm, arm.bit(), 100)
    }
}

#[test]
fn one_processor_has_no_other() {
    let mut machine = Machine::boot(&["--cpus", "1"]);
    let handle = machine.open();
    assert_eq!(
        machine.start(handle, &at_dispatch(Arm::Ours, 0)),
        Err(Refusal::OneProcessor)
    );
    let dpcs = start(Workload::Dpcs, Arm::Ours.bit(), 100);
    assert_eq!(machine.start(handle, &dpcs), Err(Refusal::OneProcessor));
    // The level of a waiter that there is not does not matter.
    let refused = StressStart {
        workload: Workload::Refused as u32,
        ..at_dispatch(Arm::Ours, 0)
    };
    assert!(machine.run_to_end(handle, &refused).refused > 0);
    for workload in [Workload::Storm, Workload::HandOff, Workload::Batches] {
        let result = machine.run_to_end(handle, &start(workload, Arm::Ours.bit() | Arm::Native.bit(), 400));
        assert!(
            result.generations > 0 && result.acquires > 0,
            "{workload:?}: {result:?}"
        );
    }
    machine.quit().assert_passed();
}

#[test]
fn verifier_marks_figures_and_forbids_the_systems_wait_at_dispatch_level() {
    let forced = at_dispatch(Arm::Native, flags::FORCE_NATIVE_AT_DISPATCH);
    for (verifier, mark) in [("0", 0), ("1", marks::VERIFIER)] {
        let mut machine = Machine::boot(&["--cpus", "2", "--verifier", verifier]);
        let handle = machine.open();
        assert_eq!(u32::from(machine.info(handle).verifier), mark);
        assert_eq!(
            machine.start(handle, &at_dispatch(Arm::Native, 0)),
            Err(Refusal::NativeAtDispatch)
        );
        if mark == 0 {
            assert!(machine.run_to_end(handle, &forced).generations > 0);
        } else {
            assert_eq!(machine.start(handle, &forced), Err(Refusal::NativeUnderVerifier));
        }
        let result = machine.run_to_end(handle, &at_dispatch(Arm::Ours, 0));
        assert_eq!(result.marks & marks::VERIFIER, mark);
        machine.quit().assert_passed();
    }
}

#[test]
fn info_tells_what_the_machine_is() {
    let mut machine = Machine::boot(&[
        "--cpus",
        "3",
        "--monitorx",
        "0",
        "--unparked",
        "2",
        "--cycles-per-yield",
        "77",
    ]);
    let handle = machine.open();
    let info = machine.info(handle);
    assert_eq!((info.processors, info.groups), (3, 1));
    assert_eq!(
        (info.monitorx, info.unparked_processors, info.cycles_per_yield),
        (0, 2, 77)
    );
    assert_eq!(info.spin_cycles, 10_240);
    assert_eq!(&info.hypervisor, b"TCGTCGTCGTCG");
    let dispatch_hold_cycles = Limits::DEFAULT
        .dispatch_hold_cycles
        .min(u32::try_from(info.cycle_frequency / 20_000).unwrap());
    let told = u64::from(info.limits.dispatch_hold_cycles);
    // The frequency is measured anew each time.
    assert!(
        told.abs_diff(dispatch_hold_cycles.into()) <= told / 100,
        "{info:?}"
    );
    assert_eq!(
        Limits {
            dispatch_hold_cycles: 0,
            ..info.limits
        },
        Limits {
            dispatch_hold_cycles: 0,
            ..Limits::DEFAULT
        }
    );
    assert!(info.cycle_frequency > 100_000_000, "{info:?}");
    machine.quit().assert_passed();
}

#[test]
fn the_registry_lowers_limits_and_sets_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let inf = inf_with(
        &[
            ("SpinCycles", 4_321),
            ("MaximumThreads", 2),
            ("MaximumMilliseconds", 300),
            ("MaximumBytes", 50_000),
        ],
        folder.path(),
    );
    let mut machine = Machine::boot(&["--cpus", "2", "--inf", &inf]);
    let handle = machine.open();
    let info = machine.info(handle);
    let limits = info.limits;
    assert_eq!(info.spin_cycles, 4_321);
    assert_eq!(
        (limits.threads, limits.milliseconds, limits.bytes),
        (2, 300, 50_000)
    );

    let fits = StressStart {
        threads: 2,
        ..start(Workload::Storm, Arm::Ours.bit(), 300)
    };
    assert!(machine.run_to_end(handle, &fits).generations > 0);
    let refusal = |machine: &mut Machine, change: fn(&mut StressStart)| {
        let mut start = fits;
        change(&mut start);
        machine.start(handle, &start).map(|_| ())
    };
    assert_eq!(refusal(&mut machine, |s| s.threads = 3), Err(Refusal::Threads));
    assert_eq!(
        refusal(&mut machine, |s| s.milliseconds = 301),
        Err(Refusal::Milliseconds)
    );
    assert_eq!(
        refusal(&mut machine, |s| s.arms |= Arm::OursWide.bit()),
        Err(Refusal::Bytes)
    );

    // A run's own budget, which the next run without one takes back.
    let spinning = StressStart {
        spin_cycles: 9_999,
        ..fits
    };
    machine.run_to_end(handle, &spinning);
    assert_eq!(machine.info(handle).spin_cycles, 9_999);
    machine.run_to_end(handle, &fits);
    assert_eq!(machine.info(handle).spin_cycles, 4_321);
    machine.quit().assert_passed();
}

#[test]
fn the_registry_raises_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inf = inf_with(
        &[
            ("SpinCycles", u32::MAX),
            ("MaximumThreads", u32::MAX),
            ("MaximumMilliseconds", 0),
            ("MaximumBytes", u32::MAX),
        ],
        folder.path(),
    );
    let mut machine = Machine::boot(&["--cpus", "2", "--inf", &inf]);
    let handle = machine.open();
    let info = machine.info(handle);
    assert_eq!(info.spin_cycles, Limits::DEFAULT.spin_cycles);
    let limits = info.limits;
    assert_eq!(
        (limits.threads, limits.milliseconds, limits.bytes),
        (Limits::DEFAULT.threads, 1, Limits::DEFAULT.bytes)
    );
    machine.quit().assert_passed();
}

#[test]
fn the_smallest_run_is_a_run() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    for &workload in Workload::ALL {
        let smallest = StressStart {
            threads: if workload == Workload::HandOff { 2 } else { 1 },
            milliseconds: 2,
            hold_cycles: 0,
            gap_cycles: 0,
            batch: 1,
            ..start(workload, Arm::Ours.bit(), 2)
        };
        let result = machine.run_to_end(handle, &smallest);
        assert_eq!(
            (result.turns, result.turns_done),
            (2, 2),
            "{workload:?}: {result:?}"
        );
    }
    let most = StressStart {
        threads: Limits::DEFAULT.threads,
        ..start(Workload::Storm, Arm::Ours.bit(), 500)
    };
    assert!(machine.run_to_end(handle, &most).acquires > 0);
    machine.quit().assert_passed();
}
