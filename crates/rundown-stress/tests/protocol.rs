//! Every field of the engine's figures arrives in its own field of the answer, and every field of a request in the plan.

use rundown_abi::{
    Arm, Header, Refusal, StressResult, StressStart, Violations, Waiter, WaysOut, WordState, Workload, flags,
};
use rundown_stress::{Latency, Level, Plan, SHARES, Stall, Tally, Turn, Waits, protocol};

/// A value of its own for each counter.
const TALLY: Tally = Tally {
    acquires: 1,
    refused: 2,
    generations: 3,
    contested: 4,
    waits: Waits {
        drained: 5,
        mwaitx: 6,
        pause: 7,
        dispatch: 8,
        event: 9,
        late: 10,
    },
    poisoned: 11,
    inside: 12,
};
const WAYS_OUT: WaysOut = WaysOut {
    drained: 5,
    mwaitx: 6,
    pause: 7,
    dispatch: 8,
    event: 9,
    late: 10,
};
const VIOLATIONS: Violations = Violations {
    poisoned: 11,
    inside: 12,
};

fn latency(first: u64) -> Latency {
    let mut values = first..;
    let mut next = || values.next().unwrap();
    Latency {
        samples: next(),
        sum: next(),
        max: next(),
        quantiles: [(); SHARES.len()].map(|()| next()),
    }
}

#[test]
fn the_counters_of_a_run_arrive_and_the_rest_stays() {
    let rest = StressResult {
        header: Header::of::<StressResult>(),
        run: 21,
        state: 22,
        arms: 23,
        microseconds: 24,
        acquires: 0,
        refused: 0,
        generations: 0,
        contested: 0,
        ways_out: WaysOut::default(),
        violations: Violations::default(),
        stall: rundown_abi::Stall {
            waits: 25,
            ..rundown_abi::Stall::default()
        },
        turns_done: 26,
        turns: 27,
        arm: 28,
        marks: 29,
    };
    let expected = StressResult {
        acquires: 1,
        refused: 2,
        generations: 3,
        contested: 4,
        ways_out: WAYS_OUT,
        violations: VIOLATIONS,
        ..rest
    };
    assert_eq!(protocol::result(TALLY, rest), expected);
}

#[test]
fn the_figures_of_an_arm_arrive() {
    let result = protocol::arm_result(21, Arm::Native, 22, TALLY, latency(100), latency(200));
    assert_eq!(result.header, Header::of::<rundown_abi::StressArmResult>());
    assert_eq!(
        (result.run, result.arm, result.turns_done),
        (21, Arm::Native as u32, 22)
    );
    assert_eq!((result.acquires, result.refused), (1, 2));
    assert_eq!((result.generations, result.contested), (3, 4));
    assert_eq!((result.ways_out, result.violations), (WAYS_OUT, VIOLATIONS));
    for (told, first) in [(result.operation, 100), (result.hand_over, 200)] {
        let Latency {
            samples,
            sum,
            quantiles,
            max,
        } = latency(first);
        assert_eq!((told.samples, told.sum, told.max), (samples, sum, max));
        assert_eq!(told.quantiles, quantiles);
    }
}

#[test]
fn counters_of_arms_add_up() {
    let Tally {
        acquires,
        refused,
        generations,
        contested,
        waits,
        poisoned,
        inside,
    } = TALLY + TALLY + TALLY;
    assert_eq!((acquires, refused, generations, contested), (3, 6, 9, 12));
    let Waits {
        drained,
        mwaitx,
        pause,
        dispatch,
        event,
        late,
    } = waits;
    assert_eq!(
        (drained, mwaitx, pause, dispatch, event, late),
        (15, 18, 21, 24, 27, 30)
    );
    assert_eq!((poisoned, inside), (33, 36));
    assert_eq!(TALLY.operations(), 3);
}

#[test]
fn a_turn_arrives() {
    let turn = Turn {
        operations: 1,
        generations: 2,
        nanoseconds: 3,
        cycles: 4,
    };
    let told = rundown_abi::Turn {
        arm: Arm::OursWide as u32,
        round: 5,
        operations: 1,
        generations: 2,
        nanoseconds: 3,
        cycles: 4,
    };
    assert_eq!(protocol::turn(turn, Some(Arm::OursWide), 5), told);
    assert_eq!(
        protocol::turn(turn, None, 5),
        rundown_abi::Turn { arm: 0, ..told }
    );
}

#[test]
fn a_stall_arrives_without_its_pointer() {
    let stall = Stall {
        waits: 1,
        arm: 2,
        cycles: 3_999,
        generation: 4,
        holders: 5,
        word: None,
    };
    let told = rundown_abi::Stall {
        waits: 1,
        milliseconds: 3,
        generation: 4,
        holders: 5,
        arm: Arm::Ours as u32,
        word: 0,
    };
    let of = |stall| protocol::stall(stall, Some(Arm::Ours), 1_000);
    assert_eq!(of(stall), told);
    for (word, state) in [
        (0, WordState::Live),
        (6, WordState::Live),
        (1, WordState::RunDown),
        (0x1001, WordState::Waiting),
    ] {
        let word = Some(word);
        let told = rundown_abi::Stall {
            word: state as u32,
            ..told
        };
        assert_eq!(of(Stall { word, ..stall }), told);
    }
    assert_eq!(of(Stall { waits: 0, ..stall }), rundown_abi::Stall::default());
    assert_eq!(
        protocol::stall(stall, None, 0),
        rundown_abi::Stall {
            arm: 0,
            milliseconds: 3_999,
            ..told
        }
    );
}

#[test]
fn a_request_becomes_a_plan() {
    let start = StressStart {
        threads: 1,
        hold_cycles: 2,
        gap_cycles: 3,
        batch: 4,
        stall_milliseconds: 5,
        flags: flags::FALSE_SHARING,
        seed: 6,
        ..StressStart::storm(Arm::Ours, 7, 8)
    };
    let Plan {
        workload,
        waiter,
        holders,
        hold_cycles,
        gap_cycles,
        batch,
        false_sharing,
        stall_cycles,
        seed,
    } = protocol::plan(&start, 1_000).unwrap();
    assert_eq!(
        (workload, waiter),
        (rundown_stress::Workload::Storm, Level::Passive)
    );
    assert_eq!((holders, hold_cycles, gap_cycles, batch), (1, 2, 3, 4));
    assert_eq!((false_sharing, stall_cycles, seed), (true, 5_000, 6));

    let of = |change: &dyn Fn(&mut StressStart)| {
        let mut start = start;
        change(&mut start);
        protocol::plan(&start, 1_000)
    };
    let other_flags = of(&|start| start.flags = flags::EVERY & !flags::FALSE_SHARING).unwrap();
    assert!(!other_flags.false_sharing);
    assert_eq!(
        of(&|start| start.stall_milliseconds = 0).unwrap().stall_cycles,
        5_000_000
    );
    for &workload in Workload::ALL {
        let plan = of(&|start| start.workload = workload as u32).unwrap();
        assert_eq!(format!("{:?}", plan.workload), format!("{workload:?}"));
        assert_eq!(plan.workload.has_owner(), workload.has_owner());
    }
    for &waiter in Waiter::ALL {
        let plan = of(&|start| start.waiter = waiter as u32).unwrap();
        assert_eq!(format!("{:?}", plan.waiter), format!("{waiter:?}"));
    }
    assert_eq!(of(&|start| start.workload = 0).unwrap_err(), Refusal::Workload);
    assert_eq!(of(&|start| start.waiter = 0).unwrap_err(), Refusal::Waiter);
}
