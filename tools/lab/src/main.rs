//! `rundown-lab`, the program; everything is in the library beside it.

use rundown_lab::cli::{self, Asked};
use rundown_lab::{failure, serve, sweep};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse() {
        Asked::Serve(arguments) => serve::serve(&arguments),
        Asked::Sweep(arguments) => sweep::sweep(&arguments),
        Asked::Repeat(arguments) => match failure::again(&arguments) {
            Ok(arguments) => serve::serve(&arguments),
            Err(text) => {
                eprintln!("rundown-lab: {text}");
                cli::exit::BAD_INPUT.into()
            }
        },
    }
}
