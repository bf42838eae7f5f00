//! The requests about stress runs, each in a call.

#![allow(dead_code, reason = "each of the test programs uses a part of it")]

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rundown_abi::{
    Arm, Info, InfoRequest, Latency, Refusal, RunState, StressArmQuery, StressArmResult, StressQuery,
    StressResult, StressStart, StressStarted, StressTurns, StressTurnsQuery, Turn, Violations, Workload,
    ioctl,
};
use rundown_suite::{Handle, Machine};

/// What a client does with stress runs.
pub(crate) trait Stress {
    fn info(&mut self, handle: Handle) -> Info;
    fn start(&mut self, handle: Handle, start: &StressStart) -> Result<u64, Refusal>;
    fn result(&mut self, handle: Handle, run: u64) -> Result<StressResult, Refusal>;
    fn arm(&mut self, handle: Handle, run: u64, arm: Arm) -> Result<StressArmResult, Refusal>;
    fn turns(&mut self, handle: Handle, run: u64) -> Vec<Turn>;
    fn stop(&mut self, handle: Handle, run: u64) -> Result<(), Refusal>;
    /// Starts a run and waits for its end.
    fn run_to_end(&mut self, handle: Handle, start: &StressStart) -> StressResult;
}

impl Stress for Machine {
    fn info(&mut self, handle: Handle) -> Info {
        self.ask(handle, ioctl::QUERY_INFO, &InfoRequest::new()).unwrap()
    }

    fn start(&mut self, handle: Handle, start: &StressStart) -> Result<u64, Refusal> {
        let started: StressStarted = self.ask(handle, ioctl::STRESS_START, start)?;
        Ok(started.run)
    }

    fn result(&mut self, handle: Handle, run: u64) -> Result<StressResult, Refusal> {
        self.ask(handle, ioctl::STRESS_RESULT, &StressQuery::new(run))
    }

    fn arm(&mut self, handle: Handle, run: u64, arm: Arm) -> Result<StressArmResult, Refusal> {
        self.ask(handle, ioctl::STRESS_ARM, &StressArmQuery::new(run, arm))
    }

    fn turns(&mut self, handle: Handle, run: u64) -> Vec<Turn> {
        let mut turns = Vec::new();
        loop {
            let first = u32::try_from(turns.len()).unwrap();
            let query = StressTurnsQuery::new(run, first);
            let answer: StressTurns = self.ask(handle, ioctl::STRESS_TURNS, &query).unwrap();
            let (filled, rest) = answer.turns.split_at(answer.count as usize);
            assert!(rest.iter().all(|turn| *turn == Turn::default()));
            turns.extend_from_slice(filled);
            if filled.is_empty() || turns.len() >= answer.done as usize {
                return turns;
            }
        }
    }

    fn stop(&mut self, handle: Handle, run: u64) -> Result<(), Refusal> {
        self.tell(handle, ioctl::STRESS_STOP, &StressQuery::new(run))
    }

    fn run_to_end(&mut self, handle: Handle, start: &StressStart) -> StressResult {
        let run = self
            .start(handle, start)
            .unwrap_or_else(|refusal| panic!("{start:?} was refused: {refusal:?}"));
        let begin = Instant::now();
        let patience = Duration::from_millis(start.milliseconds.into()) * 10 + Duration::from_secs(30);
        loop {
            let result = self.result(handle, run).unwrap();
            if RunState::from_wire(result.state) != Some(RunState::Running) {
                return result;
            }
            assert!(begin.elapsed() < patience, "{start:?} does not end: {result:?}");
            sleep(Duration::from_millis(20));
        }
    }
}

/// A workload's start with a few threads and short times, over a set of arms.
pub(crate) fn start(workload: Workload, arms: u32, milliseconds: u32) -> StressStart {
    // In the emulator a DPC on another processor takes long to be asked for.
    let (hold_cycles, gap_cycles) = match workload {
        Workload::Dpcs => (60_000, 20_000),
        workload if workload.has_owner() => (2_000, 2_000),
        _ => (0, 0),
    };
    StressStart {
        arms,
        workload: workload as u32,
        batch: if workload == Workload::Batches { 7 } else { 1 },
        hold_cycles,
        gap_cycles,
        ..StressStart::storm(Arm::Ours, 3, milliseconds)
    }
}

/// The arms that can take part in a workload.
pub(crate) fn arms(workload: Workload) -> u32 {
    Arm::ALL
        .iter()
        .filter(|arm| workload.allows_floors() || !arm.is_floor())
        .fold(0, |set, arm| set | arm.bit())
}

/// That protection held.
pub(crate) fn assert_sound(what: &str, violations: Violations) {
    assert_eq!(violations, Violations::default(), "{what}");
}

/// That a distribution is one.
pub(crate) fn assert_distribution(what: &str, latency: &Latency) {
    assert!(latency.quantiles.is_sorted(), "{what}: {latency:?}");
    assert!(latency.quantiles[18] <= latency.max, "{what}: {latency:?}");
    assert_eq!(
        latency.samples == 0,
        *latency == Latency::default(),
        "{what}: {latency:?}"
    );
    assert!(
        latency.sum <= latency.max.saturating_mul(latency.samples),
        "{what}: {latency:?}"
    );
}
