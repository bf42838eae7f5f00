//! A run's figures as the protocol has them.

use rundown_abi::{
    Arm as Name, Header, RunState, Stall, StressArmResult, StressResult, StressTurns, TURNS_PER_ANSWER, Turn,
    marks,
};
use rundown_stress::{Arm, Tally, protocol};
use zerocopy::FromZeros;

use super::{active_run::ActiveRun, arms::AnyArm, crew::Shared};
use crate::kernel::{hypervisor, verifier};

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
        ..
    } = &*run.crew.shared;
    let sum = engine
        .arms()
        .iter()
        .fold(Tally::default(), |sum, arm| sum + arm.tally());
    let schedule = engine.schedule();
    let turns_done = engine.turns_done();
    let at_work = (state == RunState::Running).then(|| engine.arms().get(schedule.arm(turns_done)));
    let rest = StressResult {
        header: Header::of::<StressResult>(),
        run: *number,
        state: state as u32,
        arms: run.arms,
        microseconds: stopwatch.microseconds(),
        stall: stall(&run.crew.shared),
        turns_done,
        turns: schedule.turns(),
        arm: at_work.flatten().map_or(0, |arm| arm.name() as u32),
        marks: marks(),
        ..StressResult::new_zeroed()
    };
    protocol::result(sum, rest)
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
    Some(protocol::arm_result(
        run.number,
        name,
        u32::try_from(turns_done.count()).unwrap_or(u32::MAX),
        arm.tally(),
        arm.operation(),
        arm.hand_over(),
    ))
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
    for (place, number) in answer.turns.iter_mut().zip(first..=u32::MAX) {
        let Some(turn) = engine.turn(number) else {
            break;
        };
        let arm = engine.arms().get(schedule.arm(number));
        *place = protocol::turn(turn, arm.map(AnyArm::name), schedule.round(number));
        answer.count += 1;
    }
    answer
}

/// What the watch saw.
fn stall(shared: &Shared) -> Stall {
    let stall = shared.run.stall();
    let arm = shared.run.arms().get(stall.arm).map(AnyArm::name);
    protocol::stall(stall, arm, shared.cycles_per_millisecond)
}

/// What makes figures unfit for comparison.
fn marks() -> u32 {
    let verifier = verifier::checks_this_driver().then_some(marks::VERIFIER);
    let hypervisor = hypervisor::vendor().map(|_| marks::HYPERVISOR);
    verifier.unwrap_or(0) | hypervisor.unwrap_or(0)
}
