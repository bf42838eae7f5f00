//! `rundownctl interop`: ours and the system's routines on one word.

use clap::Args;
use rundown_abi::InteropRun;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    EXIT_VIOLATION,
    client::Client,
    error::Error,
    names::{InteropCheck, Pairing},
    print,
    progress::Progress,
    record::SCHEMA,
    session::Session,
    show::{self, count},
    target::Access,
};

/// Who shares, and how often.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Who does what, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',', hide_default_value = true, default_values_t = Pairing::ALL.to_vec())]
    pub pairing: Vec<Pairing>,
    /// Rounds of each
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Seeds counts and order
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Interoperation {
    /// The version of this object's form.
    pub schema: u32,
    /// What came of each pairing.
    pub pairings: Vec<Verdict>,
}

/// What came of a pairing.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// Who does what.
    pub pairing: Pairing,
    /// Rounds that were run.
    pub rounds: u64,
    /// What was looked at in them.
    pub checks: u64,
    /// References that were taken in them.
    pub references: u64,
    /// The check that failed, which ends the pairing.
    pub failed: Option<Failed>,
}

/// A check that failed.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Failed {
    /// Which; absent when this client does not know.
    pub check: Option<InteropCheck>,
    /// What had to be there.
    pub expected: u64,
    /// What was there.
    pub found: u64,
}

/// Runs the pairings and prints what came of each. Exit code 1: a check failed.
///
/// # Errors
/// As [`crate::target::Target::ioctl`]; a system with another wait block is refused.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    let progress = Progress::new(session.beginning());
    let mut target = session.connect()?;
    let mut client = Client::open(&mut *target, Access::ReadWrite)?;
    let mut verdicts = Vec::with_capacity(options.pairing.len());
    for &pairing in &options.pairing {
        if session.interrupted() {
            break;
        }
        progress.say(pairing.name());
        let result = client.interoperate(&InteropRun::new(pairing.wire(), options.rounds, options.seed))?;
        verdicts.push(Verdict {
            pairing,
            rounds: result.rounds,
            checks: result.checks,
            references: result.references,
            failed: (result.differences > 0).then(|| Failed {
                check: rundown_abi::InteropCheck::from_wire(result.failed).map(InteropCheck::of),
                expected: result.expected,
                found: result.found,
            }),
        });
    }
    client.close()?;
    target.finish()?;
    drop(progress);
    let outcome = Interoperation {
        schema: SCHEMA,
        pairings: verdicts,
    };
    if options.json {
        print::line(show::json(&outcome))?;
    } else {
        for verdict in &outcome.pairings {
            print::line(text(verdict))?;
        }
    }
    Ok(
        if outcome.pairings.iter().any(|verdict| verdict.failed.is_some()) {
            EXIT_VIOLATION
        } else if session.interrupted() {
            crate::EXIT_INTERRUPTED
        } else {
            0
        },
    )
}

fn text(verdict: &Verdict) -> String {
    let failed = verdict.failed.map_or_else(
        || "all held".to_owned(),
        |failed| {
            format!(
                "FAILED at {}: expected {}, found {}",
                failed.check.map_or("an unknown check", InteropCheck::name),
                failed.expected,
                failed.found
            )
        },
    );
    format!(
        "{}: {} rounds, {} references, {} checks, {failed}",
        verdict.pairing.name(),
        count(verdict.rounds),
        count(verdict.references),
        count(verdict.checks)
    )
}
