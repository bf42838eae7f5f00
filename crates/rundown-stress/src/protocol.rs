//! Requests and figures between the protocol and the engine, whose other parts know no more of it than its workloads.
//!
//! Each function takes its input apart field by field, so that a field which is added and not told does not compile.

use ex_rundown::State;
use rundown_abi as abi;

use crate::{Latency, Level, Plan, SHARES, Stall, Tally, Turn, Waits, Workload};

/// How long a wait may last before it is reported as stalled, when the request does not say, in milliseconds.
const STALL: u32 = 5_000;

/// What the engine is to do for a request.
///
/// # Errors
/// For a workload and for a waiter that there is not.
pub fn plan(start: &abi::StressStart, cycles_per_millisecond: u64) -> Result<Plan, abi::Refusal> {
    let stall = match start.stall_milliseconds {
        0 => STALL,
        milliseconds => milliseconds,
    };
    Ok(Plan {
        workload: Workload::from_wire(start.workload).ok_or(abi::Refusal::Workload)?,
        waiter: Level::from_wire(start.waiter).ok_or(abi::Refusal::Waiter)?,
        holders: start.threads as usize,
        hold_cycles: start.hold_cycles,
        gap_cycles: start.gap_cycles,
        batch: start.batch,
        false_sharing: start.flags & abi::flags::FALSE_SHARING != 0,
        stall_cycles: cycles_per_millisecond.saturating_mul(stall.into()),
        seed: start.seed,
    })
}

/// The answer about a run: what `rest` says, with the counters of all arms together in it.
#[must_use]
pub fn result(sum: Tally, rest: abi::StressResult) -> abi::StressResult {
    let Tally {
        acquires,
        refused,
        generations,
        contested,
        waits,
        poisoned,
        inside,
    } = sum;
    abi::StressResult {
        acquires,
        refused,
        generations,
        contested,
        ways_out: ways_out(waits),
        violations: abi::Violations { poisoned, inside },
        ..rest
    }
}

/// The answer about an arm.
#[must_use]
pub fn arm_result(
    run: u64,
    arm: abi::Arm,
    turns_done: u32,
    tally: Tally,
    operation: Latency,
    hand_over: Latency,
) -> abi::StressArmResult {
    let Tally {
        acquires,
        refused,
        generations,
        contested,
        waits,
        poisoned,
        inside,
    } = tally;
    abi::StressArmResult {
        header: abi::Header::of::<abi::StressArmResult>(),
        run,
        arm: arm as u32,
        turns_done,
        acquires,
        refused,
        generations,
        contested,
        ways_out: ways_out(waits),
        violations: abi::Violations { poisoned, inside },
        operation: latency(operation),
        hand_over: latency(hand_over),
    }
}

/// A turn of `arm`, in round `round`.
#[must_use]
pub fn turn(turn: Turn, arm: Option<abi::Arm>, round: u32) -> abi::Turn {
    let Turn {
        operations,
        generations,
        nanoseconds,
        cycles,
    } = turn;
    abi::Turn {
        arm: number(arm),
        round,
        operations,
        generations,
        nanoseconds,
        cycles,
    }
}

/// What the watch saw of `arm`, without the pointer in the word; all zero when nothing stalled.
#[must_use]
pub fn stall(stall: Stall, arm: Option<abi::Arm>, cycles_per_millisecond: u64) -> abi::Stall {
    let Stall {
        waits,
        arm: _,
        cycles,
        generation,
        holders,
        word,
    } = stall;
    if waits == 0 {
        return abi::Stall::default();
    }
    let word = word.map(|word| match State::of(word) {
        State::Live(_) => abi::WordState::Live,
        State::RunDown => abi::WordState::RunDown,
        State::Waiting(_) => abi::WordState::Waiting,
    });
    abi::Stall {
        waits,
        milliseconds: cycles / cycles_per_millisecond.max(1),
        generation,
        holders,
        arm: number(arm),
        word: word.map_or(0, |word| word as u32),
    }
}

fn number(arm: Option<abi::Arm>) -> u32 {
    arm.map_or(0, |arm| arm as u32)
}

fn ways_out(waits: Waits) -> abi::WaysOut {
    let Waits {
        drained,
        mwaitx,
        pause,
        dispatch,
        event,
        late,
    } = waits;
    abi::WaysOut {
        drained,
        mwaitx,
        pause,
        dispatch,
        event,
        late,
    }
}

const _: () = assert!(matches!(SHARES, abi::SHARES));

fn latency(latency: Latency) -> abi::Latency {
    let Latency {
        samples,
        sum,
        quantiles,
        max,
    } = latency;
    abi::Latency {
        samples,
        sum,
        max,
        quantiles,
    }
}
