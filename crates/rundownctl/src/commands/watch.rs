//! `rundownctl watch`: a run that goes on until Ctrl-C, with every arm's figures once a second.

use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::stress::{self, exit_code};
use crate::{
    client::Client,
    error::Error,
    load::Load,
    names::{Arm, Workload},
    print,
    record::{ArmFigures, Counters},
    run::Plan,
    session::Session,
    show,
    target::Access,
};

/// What to watch.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Whose run-down protection; several, separated by commas, take turns
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ours,native")]
    pub arm: Vec<Arm>,
    /// What the threads do
    #[arg(long, value_enum, default_value_t = Workload::Storm)]
    pub workload: Workload,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub interval: u64,
    /// Threads, times and levels.
    #[command(flatten)]
    pub load: Load,
}

/// Makes the run and shows it.
///
/// # Errors
/// When the target cannot be reached.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    let plan = stress::plan(&options.arm, options.workload, &options.load);
    let screen = Screen::new();
    screen.draw(session.beginning());
    let mut target = session.connect()?;
    let mut client = Client::open(&mut *target, Access::ReadWrite)?;
    let interval = Duration::from_secs(options.interval);
    let mut looked = Instant::now();
    let mut outcome = plan.carry_out_on(&mut client, session, &mut |client, run, result| {
        if looked.elapsed() >= interval {
            looked = Instant::now();
            let arms = plan.figures(client, run)?;
            screen.draw(&picture(&plan, &Counters::of(result), &arms));
        }
        Ok(())
    });
    if outcome.error.is_none() {
        outcome.error = client.close().and_then(|()| target.finish()).err();
    }
    drop(screen);
    print::raw(show::run_table(&outcome.record))?;
    Ok(exit_code(&outcome))
}

fn picture(plan: &Plan, counters: &Counters, arms: &[ArmFigures]) -> String {
    format!(
        "{} after {:.0} s; Ctrl-C ends it\n{}",
        plan.workload.name(),
        counters.seconds,
        show::figures_table(counters, arms)
    )
}

/// What is redrawn on a terminal, and printed anew where there is none.
struct Screen(ProgressBar);

impl Screen {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn draw(&self, picture: &str) {
        if self.0.is_hidden() {
            crate::print::tell(format_args!("{picture}"));
        } else {
            self.0.set_message(picture.to_owned());
            self.0.tick();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
