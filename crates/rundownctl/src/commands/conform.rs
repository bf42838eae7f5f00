//! `rundownctl conform`: the same steps on ours and on the system's, compared after each.

use clap::Args;
use rundown_abi::{ConformanceResult, ConformanceRun, ObjectState, Observed, StepCounts, TraceStep};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    EXIT_VIOLATION,
    client::Client,
    error::Error,
    names::{Operation, Pair},
    print,
    progress::Progress,
    record::SCHEMA,
    session::Session,
    show::{self, count},
    target::Access,
};

/// What is compared, and for how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Which references, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "plain,wide,cache-aware"
    )]
    pub pair: Vec<Pair>,
    /// Steps for each pair
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
    /// Seeds the steps
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Conformance {
    /// The version of this object's form.
    pub schema: u32,
    /// What came of each pair.
    pub pairs: Vec<Verdict>,
}

/// What came of a pair.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// Which references.
    pub pair: Pair,
    /// Steps that were compared.
    pub steps: u64,
    /// Steps after which the two differed.
    pub differences: u32,
    /// Acquires that were granted.
    pub granted: u64,
    /// Acquires that were refused.
    pub refused: u64,
    /// Releases on the word.
    pub released: u64,
    /// Releases to a waiter.
    pub released_to_waiter: u64,
    /// Waits that returned at once.
    pub waits_at_once: u64,
    /// Waits that had to wait.
    pub waits: u64,
    /// References that were marked as run down.
    pub completed: u64,
    /// References that were made live again.
    pub reinitialized: u64,
    /// The seed of the request that showed a difference.
    pub differing_seed: Option<u64>,
    /// The last steps before the difference, and the differing one.
    pub trace: Vec<String>,
}

impl Verdict {
    const fn new(pair: Pair) -> Self {
        Self {
            pair,
            steps: 0,
            differences: 0,
            granted: 0,
            refused: 0,
            released: 0,
            released_to_waiter: 0,
            waits_at_once: 0,
            waits: 0,
            completed: 0,
            reinitialized: 0,
            differing_seed: None,
            trace: Vec::new(),
        }
    }

    fn add(&mut self, result: &ConformanceResult) {
        let StepCounts {
            granted,
            refused,
            released,
            released_to_waiter,
            waits_at_once,
            waits,
            completed,
            reinitialized,
        } = result.counts;
        self.steps += result.steps;
        self.differences += result.differences;
        self.granted += granted;
        self.refused += refused;
        self.released += released;
        self.released_to_waiter += released_to_waiter;
        self.waits_at_once += waits_at_once;
        self.waits += waits;
        self.completed += completed;
        self.reinitialized += reinitialized;
        if result.differences > 0 {
            self.differing_seed = Some(result.seed);
            self.trace = result
                .trace
                .iter()
                .take(result.trace_length as usize)
                .map(line)
                .collect();
        }
    }
}

/// A step of the trace: what was done, and what both sides showed.
fn line(step: &TraceStep) -> String {
    let side = |observed: &Observed| {
        let word = if observed.word == ObjectState::MASK {
            "a pointer".to_owned()
        } else {
            format!("{:#x}", observed.word)
        };
        let waiting = if observed.waiting == 0 { "" } else { ", waiting" };
        format!(
            "returned {}, word {word}, {} references{waiting}",
            observed.returned, observed.references
        )
    };
    let operation = rundown_abi::Operation::from_wire(step.operation)
        .map_or("unknown", |operation| Operation::of(operation).name());
    format!(
        "step {}: {operation} {}\n    ours:   {}\n    native: {}",
        step.step,
        step.count,
        side(&step.ours),
        side(&step.native)
    )
}

/// Sends as many requests as the steps need and prints what came of each pair. Exit code 1: there is a difference.
///
/// # Errors
/// As [`crate::target::Target::ioctl`].
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    let progress = Progress::new(session.beginning());
    let mut target = session.connect()?;
    let mut client = Client::open(&mut *target, Access::ReadWrite)?;
    let most = u64::from(client.object_limits()?.steps.max(1));
    let mut verdicts = Vec::with_capacity(options.pair.len());
    for &pair in &options.pair {
        let mut verdict = Verdict::new(pair);
        let mut seed = options.seed;
        while verdict.steps < options.steps && verdict.differences == 0 && !session.interrupted() {
            let steps = (options.steps - verdict.steps).min(most);
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            verdict.add(&client.conform(&ConformanceRun::new(pair.wire(), steps, seed))?);
            // Each request begins anew, so each needs a seed of its own.
            seed = seed.wrapping_add(1);
            progress.show(verdict.steps, options.steps, || {
                format!(
                    "{}: {} of {} steps",
                    pair.name(),
                    count(verdict.steps),
                    count(options.steps)
                )
            });
        }
        verdicts.push(verdict);
    }
    client.close()?;
    target.finish()?;
    drop(progress);
    let outcome = Conformance {
        schema: SCHEMA,
        pairs: verdicts,
    };
    if options.json {
        print::line(show::json(&outcome))?;
    } else {
        for verdict in &outcome.pairs {
            print::raw(text(verdict))?;
        }
    }
    Ok(if outcome.pairs.iter().any(|verdict| verdict.differences > 0) {
        EXIT_VIOLATION
    } else if session.interrupted() {
        crate::EXIT_INTERRUPTED
    } else {
        0
    })
}

fn text(verdict: &Verdict) -> String {
    let mut text = format!(
        "{}: {} steps, {} differences ({} acquires granted, {} refused, {} releases, {} of them to a waiter, {} waits, {} of them at once)\n",
        verdict.pair.name(),
        count(verdict.steps),
        verdict.differences,
        count(verdict.granted),
        count(verdict.refused),
        count(verdict.released + verdict.released_to_waiter),
        count(verdict.released_to_waiter),
        count(verdict.waits + verdict.waits_at_once),
        count(verdict.waits_at_once),
    );
    if let Some(seed) = verdict.differing_seed {
        text.extend(["DIFFERENCE with seed ", &seed.to_string(), "; the last steps:\n"]);
        text.extend(verdict.trace.iter().flat_map(|step| [step, "\n"]));
    }
    text
}
