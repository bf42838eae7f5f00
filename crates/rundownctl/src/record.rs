//! What is known of a run: what `--json` prints, `report` reads, and every table and chart is made of.
//!
//! The names are a contract: docs/rundownctl.schema.json describes them, and within a [`SCHEMA`] version fields are added
//! and never changed.

use rundown_abi::{Code, Info, SHARES, StressArmResult, StressResult, marks};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    hexadecimal,
    load::Load,
    names::{Arm, RunState, SpinPath, WordState, Workload},
};

/// The version of the JSON.
pub const SCHEMA: u32 = 1;

const EMULATED: &str = "An emulator ran this (TCG): times tell how it translates code, not what a processor does, and in the lab the \
     system's arm is a reference written from the contract, unless NT's own code was brought.";
const VERIFIED: &str =
    "Driver Verifier was on, which interposes on the system's routines: times compare nothing.";

/// A run: what was asked for, where, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The version of this object's form.
    pub schema: u32,
    /// The command that repeats the run.
    pub command: String,
    /// The arms as they were asked for, separated by commas.
    pub arm: String,
    /// What the threads did.
    pub workload: Workload,
    /// What else was asked for.
    #[serde(flatten)]
    pub load: Load,
    /// The machine and the driver; absent when nobody answered.
    pub machine: Option<Machine>,
    /// The mode of the lab's machine; absent where the lab ran nothing, and in what an older client has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<String>,
    /// The machine code of the arms' fast paths, the system's only if it was asked for; a file of an older client has none.
    #[serde(default)]
    pub code: Vec<FastPath>,
    /// The sums over all arms; absent when the run never began.
    #[serde(flatten)]
    pub counters: Option<Counters>,
    /// Each arm's figures.
    pub arms: Vec<ArmFigures>,
    /// The turns in which the arms were measured, in their order.
    pub turns: Vec<Turn>,
    /// Why the client gave up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// The machine code of an arm's fast path, in hexadecimal digits: the routine, and whatever lies behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FastPath {
    /// Whose.
    pub arm: Arm,
    /// Acquire.
    pub acquire: String,
    /// Release.
    pub release: String,
}

impl FastPath {
    /// What the driver told of an arm.
    #[must_use]
    pub fn of(arm: Arm, code: &Code) -> Self {
        Self {
            arm,
            acquire: hexadecimal::encode(code.acquire()),
            release: hexadecimal::encode(code.release()),
        }
    }
}

/// The driver and the machine that it runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Major, minor, patch.
    pub driver_version: [u16; 3],
    /// The protocol's version.
    pub protocol_version: u32,
    /// Major, minor, build.
    pub os_version: [u32; 3],
    /// Active processors in all groups.
    pub processors: u32,
    /// Active processor groups.
    pub groups: u32,
    /// `KUSER_SHARED_DATA.UnparkedProcessorCount`.
    pub unparked_processors: u16,
    /// `KUSER_SHARED_DATA.CyclesPerYield`.
    pub cycles_per_yield: u16,
    /// Whether the processor has MONITORX and MWAITX.
    pub monitorx: bool,
    /// Driver Verifier checks the driver: figures compare nothing.
    pub verifier: bool,
    /// The hypervisor's vendor; absent without one.
    pub hypervisor: Option<String>,
    /// The spin budget of a wait below `DISPATCH_LEVEL`, in TSC cycles.
    pub spin_cycles: u32,
    /// How it spins; absent when this client does not know.
    pub spin_path: Option<SpinPath>,
    /// What a run may ask for.
    pub limits: Limits,
    /// Of the performance counter, in hertz.
    pub performance_frequency: u64,
    /// Of the time stamp counter, in hertz.
    pub cycle_frequency: u64,
}

/// What a run may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Holder threads.
    pub threads: u32,
    /// Duration in milliseconds.
    pub milliseconds: u32,
    /// Hold time in TSC cycles.
    pub hold_cycles: u32,
    /// Hold time at `DISPATCH_LEVEL` in TSC cycles.
    pub dispatch_hold_cycles: u32,
    /// Time between run-downs in TSC cycles.
    pub gap_cycles: u32,
    /// Spin budget in TSC cycles.
    pub spin_cycles: u32,
    /// References in a batch.
    pub batch: u32,
    /// Turns of all arms together.
    pub turns: u32,
    /// Bytes of pool for a run.
    pub bytes: u32,
    /// Bytes of pool for the objects of all handles together; 0 in what an older client has written.
    #[serde(default)]
    pub object_bytes: u32,
}

/// The sums over the arms of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// How far the run is; absent when this client does not know the state.
    pub state: Option<RunState>,
    /// How long it lasted.
    pub seconds: f64,
    /// Acquires that were granted; a floor's operations.
    pub acquires: u64,
    /// Acquires that were refused.
    pub refused: u64,
    /// Times that the object was run down, waited for, completed and re-initialised.
    pub generations: u64,
    /// Generations in which a holder was inside when the wait began.
    pub contested: u64,
    /// Waits by their end.
    pub ways_out: WaysOut,
    /// Proofs that protection failed.
    pub violations: Violations,
    /// Granted acquires per second.
    pub rate: u64,
    /// The longest wait over the threshold.
    pub stall: Option<Stall>,
    /// Driver Verifier checked the driver during the run.
    pub verifier: bool,
    /// A hypervisor ran the system.
    pub hypervisor: bool,
}

/// Waits by their end. All zero for the native arms, which do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaysOut {
    /// Nobody held a reference.
    pub drained: u64,
    /// Handed over while the waiter was in MWAITX.
    pub mwaitx: u64,
    /// Handed over while the waiter spun with PAUSE.
    pub pause: u64,
    /// Handed over while the waiter polled at `DISPATCH_LEVEL`.
    pub dispatch: u64,
    /// The waiter slept on the event.
    pub event: u64,
    /// Handed over after the spin and before the sleep.
    pub late: u64,
}

impl WaysOut {
    /// With their names, in the order in which they are tried.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("drained", self.drained),
            ("mwaitx", self.mwaitx),
            ("pause", self.pause),
            ("dispatch", self.dispatch),
            ("late", self.late),
            ("event", self.event),
        ]
    }
}

/// Proofs that protection failed. One is a bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Violations {
    /// A holder found the object gone.
    pub poisoned: u64,
    /// A wait returned while holders were inside.
    pub inside: u64,
}

impl Violations {
    /// All of them.
    #[must_use]
    pub const fn sum(self) -> u64 {
        self.poisoned.saturating_add(self.inside)
    }
}

/// Waits that lasted longer than the threshold, and the longest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stall {
    /// How many.
    pub waits: u64,
    /// How long the longest has lasted, in milliseconds.
    pub milliseconds: u64,
    /// The generation that it waits for.
    pub generation: u64,
    /// The holders inside, a bit each.
    pub holders: u64,
    /// The arm.
    pub arm: Option<Arm>,
    /// What the word said; absent for a reference that is not one word.
    pub word: Option<WordState>,
}

/// A distribution of times in TSC cycles; the quantiles are at most 1/32 above the exact ones, the maximum is exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// How many were measured; without any, the others are zero.
    pub samples: u64,
    /// The sum of all.
    pub sum: u64,
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The 99.9th percentile.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// The distribution itself, from the most frequent to the rarest; a file of an older client has none.
    #[serde(default)]
    pub curve: Vec<Quantile>,
}

/// A point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantile {
    /// The share of the samples, from 0 to 1, ...
    pub share: f64,
    /// ... that took no longer than this.
    pub cycles: u64,
}

impl Latency {
    /// The quantiles that a table has room for, with their names.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p999),
            ("max", self.max),
        ]
    }

    /// The points to draw, the longest among them.
    #[must_use]
    pub fn points(&self) -> Vec<Quantile> {
        let named = [
            (0.5, self.p50),
            (0.9, self.p90),
            (0.99, self.p99),
            (0.999, self.p999),
        ];
        let mut points = self.curve.clone();
        if points.is_empty() {
            points.extend(named.map(|(share, cycles)| Quantile { share, cycles }));
        }
        points.push(Quantile {
            share: 1.0,
            cycles: self.max,
        });
        points
    }
}

/// An arm's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmFigures {
    /// The arm.
    pub arm: Arm,
    /// Acquires that were granted; a floor's operations.
    pub acquires: u64,
    /// Acquires that were refused.
    pub refused: u64,
    /// Times that the object was run down, waited for, completed and re-initialised.
    pub generations: u64,
    /// Generations in which a holder was inside when the wait began.
    pub contested: u64,
    /// Waits by their end.
    pub ways_out: WaysOut,
    /// Proofs that protection failed.
    pub violations: Violations,
    /// What the operations take, without the hold: an acquire and its release, or a refusal.
    pub operation: Latency,
    /// From before the last release until the wait has returned.
    pub hand_over: Latency,
}

/// One turn of one arm, without its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// The arm.
    pub arm: Arm,
    /// The round, from 0.
    pub round: u32,
    /// Acquires of all holders, granted or refused; a floor's operations.
    pub operations: u64,
    /// Times that the object was run down.
    pub generations: u64,
    /// How long it lasted.
    pub nanoseconds: u64,
    /// How long it lasted, in TSC cycles.
    pub cycles: u64,
}

/// Why the client gave up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The kind, such as `refused`.
    pub kind: String,
    /// The client's exit code.
    pub exit_code: u8,
    /// One line for people.
    pub message: String,
    /// The NTSTATUS of a refusal, such as `0xC00000F0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl Failure {
    /// What a program has to know of an error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let status = match error {
            Error::Refused { status, .. } => Some(format!("0x{status:08X}")),
            _ => None,
        };
        Self {
            kind: error.kind().to_owned(),
            exit_code: error.exit_code(),
            message: error.to_string(),
            status,
        }
    }
}

/// A command that failed before there was a run to tell of.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    error: Failure,
}

impl Failed {
    /// What a program has to know of an error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        Self {
            error: Failure::of(error),
        }
    }
}

impl Machine {
    /// Whether the lab's emulator ran it: QEMU's TCG names itself as a hypervisor does.
    #[must_use]
    pub fn is_emulated(&self) -> bool {
        self.hypervisor.as_deref() == Some("TCGTCGTCGTCG")
    }

    /// What the driver told.
    #[must_use]
    pub fn of(info: &Info) -> Self {
        let vendor = String::from_utf8_lossy(&info.hypervisor);
        let vendor = vendor.trim_end_matches('\0');
        let limits = info.limits;
        Self {
            driver_version: info.driver_version,
            protocol_version: info.header.version,
            os_version: info.os_version,
            processors: info.processors,
            groups: info.groups,
            unparked_processors: info.unparked_processors,
            cycles_per_yield: info.cycles_per_yield,
            monitorx: info.monitorx != 0,
            verifier: info.verifier != 0,
            hypervisor: (!vendor.is_empty()).then(|| vendor.to_owned()),
            spin_cycles: info.spin_cycles,
            spin_path: rundown_abi::SpinPath::from_wire(info.spin_path).map(SpinPath::of),
            limits: Limits {
                threads: limits.threads,
                milliseconds: limits.milliseconds,
                hold_cycles: limits.hold_cycles,
                dispatch_hold_cycles: limits.dispatch_hold_cycles,
                gap_cycles: limits.gap_cycles,
                spin_cycles: limits.spin_cycles,
                batch: limits.batch,
                turns: limits.turns,
                bytes: limits.bytes,
                object_bytes: limits.object_bytes,
            },
            performance_frequency: info.performance_frequency,
            cycle_frequency: info.cycle_frequency,
        }
    }
}

/// Microseconds in seconds.
fn seconds(microseconds: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a run of 285 years would lose a microsecond"
    )]
    let microseconds = microseconds as f64;
    microseconds / 1e6
}

/// How many there are in a second.
#[must_use]
pub fn per_second(number: u64, microseconds: u64) -> u64 {
    let rate = u128::from(number) * 1_000_000 / u128::from(microseconds.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

impl Counters {
    /// What the driver told.
    #[must_use]
    pub fn of(result: &StressResult) -> Self {
        let stall = result.stall;
        Self {
            state: rundown_abi::RunState::from_wire(result.state).map(RunState::of),
            seconds: seconds(result.microseconds),
            acquires: result.acquires,
            refused: result.refused,
            generations: result.generations,
            contested: result.contested,
            ways_out: WaysOut::of(&result.ways_out),
            violations: Violations::of(&result.violations),
            rate: per_second(result.acquires, result.microseconds),
            stall: (stall.waits > 0).then(|| Stall {
                waits: stall.waits,
                milliseconds: stall.milliseconds,
                generation: stall.generation,
                holders: stall.holders,
                arm: rundown_abi::Arm::from_wire(stall.arm).map(Arm::of),
                word: rundown_abi::WordState::from_wire(stall.word).map(WordState::of),
            }),
            verifier: result.marks & marks::VERIFIER != 0,
            hypervisor: result.marks & marks::HYPERVISOR != 0,
        }
    }
}

impl Counters {
    /// How long the run lasted.
    #[must_use]
    pub const fn microseconds(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no run is older than time"
        )]
        {
            (self.seconds * 1e6) as u64
        }
    }
}

impl WaysOut {
    const fn of(ways: &rundown_abi::WaysOut) -> Self {
        Self {
            drained: ways.drained,
            mwaitx: ways.mwaitx,
            pause: ways.pause,
            dispatch: ways.dispatch,
            event: ways.event,
            late: ways.late,
        }
    }
}

impl Violations {
    const fn of(violations: &rundown_abi::Violations) -> Self {
        Self {
            poisoned: violations.poisoned,
            inside: violations.inside,
        }
    }
}

impl Latency {
    fn of(latency: &rundown_abi::Latency) -> Self {
        let quantile = |share| latency.quantile(share).unwrap_or_default();
        let curve = |(share, cycles)| Quantile {
            share: f64::from(share) / 10_000.0,
            cycles,
        };
        Self {
            samples: latency.samples,
            sum: latency.sum,
            p50: quantile(5_000),
            p90: quantile(9_000),
            p99: quantile(9_900),
            p999: quantile(9_990),
            max: latency.max,
            curve: if latency.samples > 0 {
                SHARES.into_iter().zip(latency.quantiles).map(curve).collect()
            } else {
                Vec::new()
            },
        }
    }
}

impl ArmFigures {
    /// What the driver told of an arm.
    #[must_use]
    pub fn of(arm: Arm, result: &StressArmResult) -> Self {
        Self {
            arm,
            acquires: result.acquires,
            refused: result.refused,
            generations: result.generations,
            contested: result.contested,
            ways_out: WaysOut::of(&result.ways_out),
            violations: Violations::of(&result.violations),
            operation: Latency::of(&result.operation),
            hand_over: Latency::of(&result.hand_over),
        }
    }
}

impl Turn {
    /// What the driver told of a turn; `None` for an arm that this client does not know.
    #[must_use]
    pub fn of(turn: &rundown_abi::Turn) -> Option<Self> {
        Some(Self {
            arm: Arm::of(rundown_abi::Arm::from_wire(turn.arm)?),
            round: turn.round,
            operations: turn.operations,
            generations: turn.generations,
            nanoseconds: turn.nanoseconds,
            cycles: turn.cycles,
        })
    }
}

impl Record {
    /// Whether the lab ran it, where times mean nothing.
    #[must_use]
    pub fn is_of_the_lab(&self) -> bool {
        self.lab.is_some() || self.machine.as_ref().is_some_and(Machine::is_emulated)
    }

    /// Whether the machine's clock is the number of instructions that it has carried out.
    #[must_use]
    pub fn counts_instructions(&self) -> bool {
        self.lab
            .as_deref()
            .is_some_and(|mode| ["counted", "replay"].contains(&mode))
    }

    /// What the machine's clock counts, in words.
    #[must_use]
    pub fn clock(&self) -> &'static str {
        if self.counts_instructions() {
            "instructions of all processors"
        } else {
            "TSC cycles"
        }
    }

    /// Why its times are not to be compared with anybody's, one sentence each.
    #[must_use]
    pub fn caveats(&self) -> Vec<&'static str> {
        let mut caveats = Vec::new();
        let Some(machine) = &self.machine else {
            return caveats;
        };
        if machine.is_emulated() {
            caveats.push(EMULATED);
        }
        if machine.verifier {
            caveats.push(VERIFIED);
        }
        caveats
    }

    /// Violations that were found: the sums, or the arms' own if the driver tells more of them there.
    #[must_use]
    pub fn violations(&self) -> u64 {
        let sums = self.counters.as_ref().map(|counters| counters.violations.sum());
        let arms = self.arms.iter().map(|arm| arm.violations.sum());
        sums.unwrap_or(0).max(arms.fold(0, u64::saturating_add))
    }

    /// Whether protection failed, or a wait lasted for longer than it may: what the exit code has to tell.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        let stalled = self
            .counters
            .as_ref()
            .is_some_and(|counters| counters.stall.is_some());
        stalled || self.violations() > 0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    /// A run of ten rounds with turns of 1 ms and 2 000 000 cycles, and as many operations as `operations` says.
    pub(crate) fn record(arms: &[Arm], operations: impl Fn(Arm, u32) -> u64) -> Record {
        let cli = Cli::parse_from(["rundownctl", "stress", "--rounds", "10"]);
        let Command::Stress(options) = cli.command else {
            unreachable!("it was asked for")
        };
        let turn = |arm, round| Turn {
            arm,
            round,
            operations: operations(arm, round),
            generations: 0,
            nanoseconds: 1_000_000,
            cycles: 2_000_000,
        };
        Record {
            schema: SCHEMA,
            command: "rundownctl stress".into(),
            arm: "ours".into(),
            workload: Workload::Storm,
            load: options.load,
            machine: None,
            lab: None,
            code: Vec::new(),
            counters: None,
            arms: arms.iter().map(|&arm| figures(arm)).collect(),
            turns: (0..10)
                .flat_map(|round| arms.iter().chain(arms.iter().rev()).map(move |&arm| (arm, round)))
                .map(|(arm, round)| turn(arm, round))
                .collect(),
            error: None,
        }
    }

    fn figures(arm: Arm) -> ArmFigures {
        ArmFigures {
            arm,
            acquires: 1,
            refused: 0,
            generations: 0,
            contested: 0,
            ways_out: WaysOut::default(),
            violations: Violations::default(),
            operation: Latency::default(),
            hand_over: Latency::default(),
        }
    }

    #[test]
    fn a_record_survives_json() {
        let record = record(&[Arm::Ours, Arm::Native], |_, _| 7);
        let text = serde_json::to_string(&record).unwrap();
        let again: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
