//! `rundownctl stress`: one run, its counters and its latencies.

use std::path::PathBuf;

use clap::Args;

use crate::{
    EXIT_INTERRUPTED, EXIT_VIOLATION,
    error::Error,
    load::Load,
    names::{Arm, Workload},
    print,
    progress::Progress,
    report::{self, Shown},
    run::{Outcome, Plan},
    session::Session,
    show,
};

/// A stress run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Whose run-down protection; several, separated by commas, take turns
    #[arg(
        long,
        value_enum,
        value_name = "ARM",
        value_delimiter = ',',
        default_value = "ours"
    )]
    pub arm: Vec<Arm>,
    /// What the threads do
    #[arg(long, value_enum, default_value_t = Workload::Storm)]
    pub workload: Workload,
    /// Threads, times and levels.
    #[command(flatten)]
    pub load: Load,
    /// How to tell it.
    #[command(flatten)]
    pub output: Output,
}

/// How to tell the figures.
#[derive(Args, Clone, Debug, Default)]
pub struct Output {
    /// Print one JSON object and nothing else (`rundownctl schema` describes it)
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print a line per turn, separated by commas, and nothing else
    #[arg(long)]
    pub csv: bool,
    /// Write a page with charts, which needs nothing but itself
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The code on the page.
    #[command(flatten)]
    pub shown: Shown,
}

/// The run of these arms, each of them once.
#[must_use]
pub fn plan(arms: &[Arm], workload: Workload, load: &Load) -> Plan {
    let mut arms = arms.to_vec();
    arms.sort_unstable();
    arms.dedup();
    Plan {
        arms,
        workload,
        load: load.clone(),
    }
}

/// Makes the run and prints its figures, also those of a run that failed.
///
/// # Errors
/// When the target cannot be reached; what happens after that is told beside the figures.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    options.output.report.as_deref().map_or(Ok(()), report::try_out)?;
    let progress = Progress::new(session.beginning());
    let plan = plan(&options.arm, options.workload, &options.load);
    let outcome = plan.carry_out(session.connect()?, session, &progress);
    drop(progress);
    let record = &outcome.record;
    if options.output.json {
        print::line(show::json(record))?;
    } else if options.output.csv {
        print::raw(show::csv(&[record]))?;
    } else {
        print::raw(show::run_table(record))?;
    }
    if let Some(file) = &options.output.report {
        report::write(file, &[record], &options.output.shown, session)?;
    }
    Ok(exit_code(&outcome))
}

/// Tells a run's error and returns its exit code.
#[must_use]
pub fn exit_code(outcome: &Outcome) -> u8 {
    if let Some(error) = &outcome.error {
        crate::print::tell(format_args!("rundownctl: {error}"));
        error.exit_code()
    } else if outcome.record.is_bad() {
        EXIT_VIOLATION
    } else if outcome.interrupted {
        EXIT_INTERRUPTED
    } else {
        0
    }
}
