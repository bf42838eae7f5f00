//! `rundownctl interop`: ours and the system's routines on one word.

use clap::Args;
use rundown_abi::InteropRun;
use serde::Serialize;
use serde_json::json;

use crate::{
    EXIT_VIOLATION,
    client::Client,
    error::Error,
    names::{InteropCheck, Pairing},
    print,
    progress::Progress,
    record::SCHEMA,
    session::Session,
    show::count,
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

/// What came of a pairing.
#[derive(Clone, Debug, Serialize)]
struct Verdict {
    pairing: Pairing,
    rounds: u64,
    checks: u64,
    references: u64,
    /// The check that failed.
    failed: Option<Failed>,
}

/// A check that failed.
#[derive(Clone, Copy, Debug, Serialize)]
struct Failed {
    check: Option<InteropCheck>,
    expected: u64,
    found: u64,
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
    if options.json {
        print::line(json!({"schema": SCHEMA, "pairings": verdicts}).to_string())?;
    } else {
        for verdict in &verdicts {
            print::line(text(verdict))?;
        }
    }
    Ok(if verdicts.iter().any(|verdict| verdict.failed.is_some()) {
        EXIT_VIOLATION
    } else if session.interrupted() {
        crate::EXIT_INTERRUPTED
    } else {
        0
    })
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
