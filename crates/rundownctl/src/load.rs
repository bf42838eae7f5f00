//! What a run is asked for, as the user types it and as it is told with the figures.

use clap::Args;
use rundown_abi::{Limits, StressStart, flags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{Arm, Waiter, Workload};

/// Threads, times and levels of a run.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Holder threads
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub threads: u32,
    /// Duration in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    #[serde(rename = "duration_ms")]
    pub duration: u32,
    /// Rounds, in each of which every arm has two turns, forth and back
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub rounds: u32,
    /// How much of each turn, from its beginning, is left out of latencies and ratios, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    #[serde(rename = "warm_up_ms")]
    pub warm_up: u32,
    /// Each hold lasts a random time of up to this many TSC cycles [default: 2000 with an owner, 0 without]
    #[arg(long, value_name = "CYCLES")]
    #[serde(rename = "hold_cycles")]
    pub hold: Option<u32>,
    /// Each generation lives for a random time of up to this many TSC cycles
    #[arg(long, value_name = "CYCLES", default_value_t = 20_000)]
    #[serde(rename = "gap_cycles")]
    pub gap: u32,
    /// At which IRQL the owner waits
    #[arg(long, value_enum, default_value_t = Waiter::Passive)]
    pub waiter: Waiter,
    /// The spin budget of our waiters below `DISPATCH_LEVEL` in TSC cycles [default: the driver's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Limits::DEFAULT.spin_cycles)))]
    pub spin_cycles: Option<u32>,
    /// References in a batch of the workload `batches`
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub batch: u32,
    /// A wait that lasts longer is reported as stalled, in milliseconds [default: the driver's]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(rename = "stall_ms")]
    pub stall: Option<u32>,
    /// References and what they protect share cache lines with their neighbours
    #[arg(long)]
    pub false_sharing: bool,
    /// Let the system's routine wait at `DISPATCH_LEVEL`, where its documentation does not allow it
    #[arg(long)]
    pub force_native: bool,
    /// Seeds the random times
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

impl Load {
    /// The longest hold. Without an owner nobody waits for holders, and a hold would only hide what operations cost.
    #[must_use]
    pub fn hold_in(&self, workload: Workload) -> u32 {
        self.hold
            .unwrap_or(if workload.wire().has_owner() { 2000 } else { 0 })
    }

    /// The request for a run of these arms.
    #[must_use]
    pub fn start(&self, arms: &[Arm], workload: Workload) -> StressStart {
        let flag = |given: bool, flag: u32| if given { flag } else { 0 };
        StressStart {
            arms: arms.iter().fold(0, |set, arm| set | arm.wire().bit()),
            workload: workload.wire() as u32,
            rounds: self.rounds,
            warm_up_milliseconds: self.warm_up,
            hold_cycles: self.hold_in(workload),
            gap_cycles: self.gap,
            waiter: self.waiter.wire() as u32,
            spin_cycles: self.spin_cycles.unwrap_or(0),
            batch: if workload == Workload::Batches {
                self.batch
            } else {
                1
            },
            stall_milliseconds: self.stall.unwrap_or(0),
            flags: flag(self.false_sharing, flags::FALSE_SHARING)
                | flag(self.force_native, flags::FORCE_NATIVE_AT_DISPATCH),
            seed: self.seed,
            ..StressStart::storm(rundown_abi::Arm::Ours, self.threads, self.duration)
        }
    }
}
