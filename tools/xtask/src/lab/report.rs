//! What the driver's client and the lab say of a run: the JSON of `rundownctl stress --json` and of `rundown-lab --report`.
//!
//! No field has a default: a counter that is missing is an error and not a zero.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Waits by the way in which they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
pub(crate) struct WaysOut {
    pub(crate) drained: u64,
    pub(crate) mwaitx: u64,
    pub(crate) pause: u64,
    pub(crate) dispatch: u64,
    pub(crate) event: u64,
    /// Handed over between the end of the spin and the sleep.
    pub(crate) late: u64,
}

impl WaysOut {
    /// All waits.
    pub(crate) const fn sum(&self) -> u64 {
        self.drained + self.mwaitx + self.pause + self.dispatch + self.event + self.late
    }

    /// Adds another run's.
    pub(crate) const fn add(&mut self, other: &Self) {
        self.drained += other.drained;
        self.mwaitx += other.mwaitx;
        self.pause += other.pause;
        self.dispatch += other.dispatch;
        self.event += other.event;
        self.late += other.late;
    }
}

/// `rundownctl stress --json`. The counters are absent when the driver never told any.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Client {
    #[serde(flatten)]
    pub(crate) counters: Option<Counters>,
    /// Each arm's figures; none when the run did not end by itself.
    #[serde(default)]
    pub(crate) arms: Vec<ArmFigures>,
    pub(crate) error: Option<ClientError>,
}

/// The driver's counters of a run.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Counters {
    pub(crate) acquires: u64,
    pub(crate) refused: u64,
    pub(crate) generations: u64,
    pub(crate) contested: u64,
    pub(crate) ways_out: WaysOut,
    pub(crate) violations: Violations,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) stall: Option<Stall>,
    pub(crate) seconds: f64,
}

/// What the driver tells of one arm.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct ArmFigures {
    pub(crate) violations: Violations,
}

/// Waits that lasted longer than the driver's threshold.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Stall {
    pub(crate) waits: u64,
    pub(crate) milliseconds: u64,
}

/// Proofs that protection failed.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Violations {
    pub(crate) poisoned: u64,
    pub(crate) inside: u64,
}

impl Client {
    /// What the run tells of violations: the sums, or the arms' own where the driver tells more of them there.
    pub(crate) fn violations(&self) -> Violations {
        let sums = self.counters.as_ref().map(|counters| counters.violations);
        let sums = sums.unwrap_or_default();
        let arms = |of: fn(&Violations) -> u64| self.arms.iter().map(|arm| of(&arm.violations)).sum::<u64>();
        Violations {
            poisoned: sums.poisoned.max(arms(|arm| arm.poisoned)),
            inside: sums.inside.max(arms(|arm| arm.inside)),
        }
    }
}

/// Why the client gave up.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClientError {
    pub(crate) kind: String,
    pub(crate) message: String,
}

/// `rundown-lab serve --report`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Lab {
    pub(crate) passed: bool,
    pub(crate) bugcheck: Option<Bugcheck>,
    pub(crate) leaks: u64,
    /// Whose code each native routine was.
    pub(crate) routines: BTreeMap<String, String>,
    pub(crate) counters: LabCounters,
    /// How often the driver wrote each event for ETW, by provider.
    pub(crate) events: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) seconds: f64,
}

/// The machine's death.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Bugcheck {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) text: String,
}

/// What the lab counted by itself.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct LabCounters {
    pub(crate) stack_event_waits: u64,
    pub(crate) monitorx_series: u64,
    pub(crate) cr8_reads: Cr8Reads,
    pub(crate) native: Native,
}

/// Reads of CR8 in the watched function, by the IRQL that was read.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Cr8Reads {
    pub(crate) below_dispatch: u64,
    pub(crate) at_dispatch: u64,
}

/// The lab's own `Ex*RundownProtection`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Native {
    pub(crate) acquires: u64,
    pub(crate) refused: u64,
    pub(crate) waits: WaysOut,
}

impl Lab {
    /// Reads the report that the lab wrote.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("the lab wrote no report {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of this version of the lab", file.display()))
    }
}
