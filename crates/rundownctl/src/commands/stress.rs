//! A stress run from its start to its end: poll, show, stop when asked to.

use std::{
    io::{IsTerminal, stderr},
    thread::sleep,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rundown_abi::{Limits, RunState, StressResult, StressStart};

use crate::{
    EXIT_INTERRUPTED, EXIT_VIOLATION,
    client::Client,
    error::Error,
    print,
    session::Session,
    show::{self, count},
    target::{Access, Target},
};

/// A stress run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Whose run-down protection
    #[arg(long, value_enum, default_value_t = Arm::Ours)]
    pub arm: Arm,
    /// Holder threads
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub threads: u32,
    /// Duration in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub duration: u32,
    /// Each hold lasts a random time of up to this many TSC cycles
    #[arg(long, value_name = "CYCLES", default_value_t = 2000)]
    pub hold: u32,
    /// Each generation lives for a random time of up to this many TSC cycles
    #[arg(long, value_name = "CYCLES", default_value_t = 20_000)]
    pub gap: u32,
    /// At which IRQL the owner waits
    #[arg(long, value_enum, default_value_t = Waiter::Passive)]
    pub waiter: Waiter,
    /// The spin budget of a passive waiter of ours in TSC cycles [default: the driver's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Limits::DEFAULT.spin_cycles)))]
    pub spin_cycles: Option<u32>,
    /// Seeds the random times
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Whose run-down protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arm {
    /// The crate ex-rundown, with its checks on
    Ours,
    /// The system's `ExAcquireRundownProtection` and its relatives
    Native,
}

/// At which IRQL the owner waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Waiter {
    /// `PASSIVE_LEVEL`: it spins, then sleeps
    Passive,
    /// `DISPATCH_LEVEL`: it spins to the end, while its holders run on other processors
    Dispatch,
}

impl Arm {
    /// The arm's name on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Native => "native",
        }
    }
}

impl Waiter {
    /// The waiter's name on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Dispatch => "dispatch",
        }
    }
}

/// Makes the run and prints its counters, also those of a run that failed.
///
/// # Errors
/// When the target cannot be reached; what happens after that is told beside the counters.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    let run = Run::new(options);
    let outcome = run.carry_out(session.connect()?, session);
    let last = outcome.result.as_ref();
    match (&outcome.error, options.json) {
        (None, true) => print::line(show::stress_json(&run, last))?,
        (Some(error), true) => print::line(show::error_json(error, Some((&run, last))))?,
        (_, false) => print::raw(show::stress_table(&run, last))?,
    }
    if let Some(error) = outcome.error {
        eprintln!("rundownctl: {error}");
        return Ok(error.exit_code());
    }
    let violations = last.map_or(0, |r| r.violations.poisoned + r.violations.inside);
    Ok(if violations > 0 {
        EXIT_VIOLATION
    } else if outcome.interrupted {
        EXIT_INTERRUPTED
    } else {
        0
    })
}

/// How often the counters are fetched.
const POLL: Duration = Duration::from_millis(100);
/// How often a line is printed where the progress is not shown on a terminal.
const LINE: Duration = Duration::from_secs(1);

/// A run that is about to be made.
pub struct Run {
    /// What the user asked for.
    pub options: Options,
    start: StressStart,
}

/// What came of a run.
pub struct Outcome {
    /// The last counters that the driver told, final unless there is an error.
    pub result: Option<StressResult>,
    /// What ended it early, or what the target found at its end.
    pub error: Option<Error>,
    /// The user stopped it.
    pub interrupted: bool,
}

impl Run {
    /// Prepares the run that `options` describe.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let arm = match options.arm {
            Arm::Ours => rundown_abi::Arm::Ours,
            Arm::Native => rundown_abi::Arm::Native,
        };
        let start = StressStart {
            hold_cycles: options.hold,
            gap_cycles: options.gap,
            waiter: match options.waiter {
                Waiter::Passive => rundown_abi::Waiter::Passive,
                Waiter::Dispatch => rundown_abi::Waiter::Dispatch,
            } as u32,
            spin_cycles: options.spin_cycles.unwrap_or(0),
            seed: options.seed,
            ..StressStart::storm(arm, options.threads, options.duration)
        };
        Self {
            options: options.clone(),
            start,
        }
    }

    /// Starts the run, follows it to its end and ends the target.
    #[must_use]
    pub fn carry_out(&self, mut target: Box<dyn Target>, session: &Session<'_>) -> Outcome {
        let mut outcome = Outcome {
            result: None,
            error: None,
            interrupted: false,
        };
        let progress = Progress::new();
        let followed = self.follow(&mut *target, session, &progress, &mut outcome);
        progress.clear();
        outcome.error = followed.and_then(|()| target.finish()).err();
        outcome
    }

    fn follow(
        &self,
        target: &mut dyn Target,
        session: &Session<'_>,
        progress: &Progress,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let mut client = Client::open(target, Access::ReadWrite)?;
        let run = client.start(&self.start)?;
        let mut shown = Instant::now();
        loop {
            if session.interrupted() && !outcome.interrupted {
                outcome.interrupted = true;
                client.stop(run)?;
            }
            let result = client.result(run)?;
            outcome.result = Some(result);
            match RunState::from_wire(result.state) {
                Some(RunState::Running) => {}
                Some(RunState::Finished | RunState::Stopped) => break,
                None => {
                    return Err(Error::Protocol(format!(
                        "the driver calls the run's state {}",
                        result.state
                    )));
                }
            }
            progress.show(&result, &mut shown);
            sleep(POLL);
        }
        client.close()
    }
}

/// The line that tells how far the run is, on standard error: redrawn on a terminal, else one line a second.
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar }
    }

    fn show(&self, result: &StressResult, shown: &mut Instant) {
        let line = progress_line(result);
        if let Some(bar) = &self.bar {
            bar.set_message(line);
            bar.tick();
        } else if shown.elapsed() >= LINE {
            *shown = Instant::now();
            eprintln!("{line}");
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn progress_line(result: &StressResult) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let seconds = result.microseconds as f64 / 1e6;
    format!(
        "{seconds:.1} s  acquires {}  refused {}  generations {}",
        count(result.acquires),
        count(result.refused),
        count(result.generations)
    )
}
