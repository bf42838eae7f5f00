//! `rundownctl objects`: objects, step by step, with one handle.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    bench::{Bench, Step},
    client::Client,
    error::Error,
    outcome::Outcome,
    print,
    record::{Failure, SCHEMA},
    session::Session,
    show,
    target::Access,
};

/// The steps.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = STEPS)]
pub struct Options {
    /// Steps such as "create ours", "acquire 1 3", "wait 1", "release 1 3", "state 1"
    #[arg(required = true, value_name = "STEP", value_parser = step)]
    pub steps: Vec<Step>,
    /// Go on after a refusal
    #[arg(long)]
    pub keep_going: bool,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcomes {
    /// The version of this object's form.
    pub schema: u32,
    /// What came of each step, and of each wait when it ended.
    pub outcomes: Vec<Outcome>,
}

const STEPS: &str = "\
Steps (an object is named by its number in the order of creation, from 1):
    create KIND [disabled]    KIND is ours, ours-wide, ours-cache-aware, native or native-cache-aware
    acquire OBJECT [N]        all or none; 0 only asks
    release OBJECT [N]
    wait OBJECT               begins run-down; its end is told when it comes
    cancel OBJECT             cancels the request that waits
    completed OBJECT
    reinit OBJECT
    state OBJECT              the words, raw and decoded
    destroy OBJECT
    limits";

fn step(text: &str) -> Result<Step, String> {
    Step::parse(text).map_err(|error| first_line(&error))
}

/// What is wrong with a step, without clap's advice about a command line that is not this one.
pub(super) fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ")
        .unwrap_or(line)
        .replace("subcommand", "step")
}

/// A line for people.
pub(super) fn tell(outcome: &Outcome) -> Result<(), Error> {
    print::line(outcome.to_string())
}

/// Takes the steps and prints what came of each.
///
/// # Errors
/// What ends the handle. A refusal is told, and ends the steps unless the user wants to go on; the last one counts.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    let mut target = session.connect()?;
    let mut bench = Bench::new(Client::open(&mut *target, Access::ReadWrite)?);
    let mut told = Vec::new();
    // For programs all at the end, for people as it comes.
    let mut tell = |outcome: Outcome| {
        if options.json {
            told.push(outcome);
            return Ok(());
        }
        match outcome {
            Outcome::Failed { error } => {
                crate::print::tell(format_args!("rundownctl: {}", error.message));
                Ok(())
            }
            outcome => tell(&outcome),
        }
    };
    let mut exit_code = 0;
    for step in &options.steps {
        if session.interrupted() {
            exit_code = crate::EXIT_INTERRUPTED;
            break;
        }
        match bench.take(step) {
            Ok(outcome) => outcome.into_iter().try_for_each(&mut tell)?,
            Err(error @ (Error::Refused { .. } | Error::Usage(_))) => {
                exit_code = error.exit_code();
                tell(Outcome::Failed {
                    error: Failure::of(&error),
                })?;
                if !options.keep_going {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
        bench.news()?.into_iter().try_for_each(&mut tell)?;
    }
    bench.close()?;
    target.finish()?;
    if options.json {
        print::line(show::json(&Outcomes {
            schema: SCHEMA,
            outcomes: told,
        }))?;
    }
    Ok(exit_code)
}
