//! `rundown-lab`, the program; everything is in the library beside it.

use rundown_lab::cli::{self, Asked};
use rundown_lab::{doctor, failure, run, serve, sweep};
use std::process::ExitCode;

fn main() -> ExitCode {
    let asked = match cli::parse() {
        Ok(Asked::Repeat(arguments)) => failure::again(&arguments),
        Ok(asked) => Ok(asked),
        Err(code) => return code.into(),
    };
    match asked {
        Ok(Asked::Serve(arguments)) => serve::serve(&arguments),
        Ok(Asked::Run(arguments)) => run::run(&arguments),
        Ok(Asked::Doctor(arguments)) => doctor::doctor(&arguments),
        Ok(Asked::Sweep(arguments)) => sweep::sweep(&arguments),
        Ok(Asked::Repeat(_)) => unreachable!("it was replaced by what it names"),
        Err(text) => {
            rundown_streams::tell!("rundown-lab: {text}");
            cli::exit::BAD_INPUT.into()
        }
    }
}
