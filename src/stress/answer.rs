//! A run's figures as the protocol has them.

use ex_rundown::State;
use rundown_abi::{
    Arm as Name, Header, Latency, RunState, Stall, StressArmResult, StressResult, StressTurns,
    TURNS_PER_ANSWER, Turn, Violations, WaysOut, WordState, marks,
};
use rundown_stress::{Arm, Tally, Waits};

use super::{ActiveRun, crew::Shared};
use crate::kernel::{clock, hypervisor, verifier};

pub(super) fn result(run: &ActiveRun) -> StressResult {
    // The state first: when the threads are done, what is read after it is final.
    let state = match (run.crew.is_at_work(), run.stopped) {
        (true, _) => RunState::Running,
        (false, false) => RunState::Finished,
        (false, true) => RunState::Stopped,
    };
    let Shared {
        number,
        run: engine,
        stopwatch,
    } = &*run.crew.shared;
    let sum = engine
        .arms()
        .iter()
        .fold(Tally::default(), |sum, arm| sum + arm.tally());
    let schedule = engine.schedule();
    let turns_done = engine.turns_done();
    let at_work = (state == RunState::Running).then(|| engine.arms().get(schedule.arm(turns_done)));
    StressResult {
        header: Header::of::<StressResult>(),
        run: *number,
        state: state as u32,
        arms: run.arms,
        microseconds: stopwatch.microseconds(),
        acquires: sum.acquires,
        refused: sum.refused,
        generations: sum.generations,
        contested: sum.contested,
        ways_out: ways_out(&sum.waits),
        violations: violations(&sum),
        stall: stall(&run.crew.shared),
        turns_done,
        turns: schedule.turns(),
        arm: at_work.flatten().map_or(0, |arm| arm.name() as u32),
        marks: marks(),
    }
}

pub(super) fn arm(run: &ActiveRun, name: Name) -> Option<StressArmResult> {
    let engine = &run.crew.shared.run;
    let (index, arm) = engine
        .arms()
        .iter()
        .enumerate()
        .find(|(_, arm)| arm.name() == name)?;
    let schedule = engine.schedule();
    let turns_done = (0..engine.turns_done()).filter(|&turn| schedule.arm(turn) == index);
    let tally = arm.tally();
    Some(StressArmResult {
        header: Header::of::<StressArmResult>(),
        run: run.number,
        arm: name as u32,
        turns_done: u32::try_from(turns_done.count()).unwrap_or(u32::MAX),
        acquires: tally.acquires,
        refused: tally.refused,
        generations: tally.generations,
        contested: tally.contested,
        ways_out: ways_out(&tally.waits),
        violations: violations(&tally),
        operation: latency(arm.operation()),
        hand_over: latency(arm.hand_over()),
    })
}

pub(super) fn turns(run: &ActiveRun, first: u32) -> StressTurns {
    let engine = &run.crew.shared.run;
    let schedule = engine.schedule();
    let mut answer = StressTurns {
        header: Header::of::<StressTurns>(),
        run: run.number,
        done: engine.turns_done(),
        count: 0,
        turns: [Turn::default(); TURNS_PER_ANSWER],
    };
    for (place, number) in answer.turns.iter_mut().zip(first..) {
        let Some(turn) = engine.turn(number) else {
            break;
        };
        let arm = engine.arms().get(schedule.arm(number));
        *place = Turn {
            arm: arm.map_or(0, |arm| arm.name() as u32),
            round: schedule.round(number),
            operations: turn.operations,
            generations: turn.generations,
            nanoseconds: turn.nanoseconds,
            cycles: turn.cycles,
        };
        answer.count += 1;
    }
    answer
}

fn ways_out(waits: &Waits) -> WaysOut {
    WaysOut {
        drained: waits.drained,
        mwaitx: waits.mwaitx,
        pause: waits.pause,
        dispatch: waits.dispatch,
        event: waits.event,
        late: waits.late,
    }
}

fn violations(tally: &Tally) -> Violations {
    Violations {
        poisoned: tally.poisoned,
        inside: tally.inside,
    }
}

// The engine knows no protocol, and the protocol no engine.
const _: () = assert!(matches!(rundown_stress::SHARES, rundown_abi::SHARES));

fn latency(latency: rundown_stress::Latency) -> Latency {
    Latency {
        samples: latency.samples,
        sum: latency.sum,
        max: latency.max,
        quantiles: latency.quantiles,
    }
}

/// What the watch saw, without the pointer in the word.
fn stall(shared: &Shared) -> Stall {
    let stall = shared.run.stall();
    if stall.waits == 0 {
        return Stall::default();
    }
    let arm = shared.run.arms().get(stall.arm);
    let word = stall.word.map(|word| match State::of(word) {
        State::Live(_) => WordState::Live,
        State::RunDown => WordState::RunDown,
        State::Waiting(_) => WordState::Waiting,
    });
    Stall {
        waits: stall.waits,
        milliseconds: stall.cycles / (clock::cycle_frequency() / 1_000).max(1),
        generation: stall.generation,
        holders: stall.holders,
        arm: arm.map_or(0, |arm| arm.name() as u32),
        word: word.map_or(0, |word| word as u32),
    }
}

/// What makes figures unfit for comparison.
fn marks() -> u32 {
    let verifier = verifier::checks_this_driver().then_some(marks::VERIFIER);
    let hypervisor = hypervisor::vendor().map(|_| marks::HYPERVISOR);
    verifier.unwrap_or(0) | hypervisor.unwrap_or(0)
}
