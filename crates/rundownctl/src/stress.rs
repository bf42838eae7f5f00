//! A stress run from its start to its end: poll, show, stop when asked to.

use std::{
    io::{IsTerminal, stderr},
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use rundown_abi::{Arm, RunState, StressResult, StressStart, Waiter};

use crate::{
    cli::{self, StressOptions},
    client::Client,
    error::Error,
    show::count,
    target::{Access, Target},
};

/// How often the counters are fetched.
const POLL: Duration = Duration::from_millis(100);
/// How often a line is printed where the progress is not shown on a terminal.
const LINE: Duration = Duration::from_secs(1);

/// A run that is about to be made.
pub struct Run {
    /// What the user asked for.
    pub options: StressOptions,
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
    pub fn new(options: &StressOptions) -> Self {
        let arm = match options.arm {
            cli::Arm::Ours => Arm::Ours,
            cli::Arm::Native => Arm::Native,
        };
        let start = StressStart {
            hold_cycles: options.hold,
            gap_cycles: options.gap,
            waiter: match options.waiter {
                cli::Waiter::Passive => Waiter::Passive,
                cli::Waiter::Dispatch => Waiter::Dispatch,
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
    pub fn carry_out(&self, mut target: Box<dyn Target>, interrupted: &AtomicBool) -> Outcome {
        let mut outcome = Outcome {
            result: None,
            error: None,
            interrupted: false,
        };
        let progress = Progress::new();
        let followed = self.follow(&mut *target, interrupted, &progress, &mut outcome);
        progress.clear();
        outcome.error = followed.and_then(|()| target.finish()).err();
        outcome
    }

    fn follow(
        &self,
        target: &mut dyn Target,
        interrupted: &AtomicBool,
        progress: &Progress,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let mut client = Client::open(target, Access::ReadWrite)?;
        let run = client.start(&self.start)?;
        let mut shown = Instant::now();
        loop {
            // Relaxed: the flag carries nothing but itself.
            if interrupted.load(Ordering::Relaxed) && !outcome.interrupted {
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
