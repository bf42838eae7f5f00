//! `rundownctl completions`: what a shell needs to complete our command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{cli::Cli, error::Error, print};

/// For which shell.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// None.
pub fn run(options: Options) -> Result<u8, Error> {
    // Generated in memory first: clap_complete panics when the reader of a pipe has gone.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "rundownctl", &mut script);
    print::raw(script)?;
    Ok(0)
}
