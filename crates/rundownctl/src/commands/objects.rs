//! `rundownctl objects`: objects, step by step, with one handle.

use clap::Args;

use crate::{
    bench::{Bench, Step},
    client::Client,
    error::Error,
    print,
    session::Session,
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

/// Takes the steps and prints what came of each.
///
/// # Errors
/// The first refusal, unless the user wants to go on; then the last one counts.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    let mut target = session.connect()?;
    let mut bench = Bench::new(Client::open(&mut *target, Access::ReadWrite)?);
    let mut exit_code = 0;
    for step in &options.steps {
        if session.interrupted() {
            exit_code = crate::EXIT_INTERRUPTED;
            break;
        }
        match bench.take(step) {
            Ok(said) => print::line(said)?,
            Err(error @ (Error::Refused { .. } | Error::Usage(_))) => {
                eprintln!("rundownctl: {error}");
                exit_code = error.exit_code();
                if !options.keep_going {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
        for news in bench.news()? {
            print::line(news)?;
        }
    }
    bench.close()?;
    target.finish()?;
    Ok(exit_code)
}
