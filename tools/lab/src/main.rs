//! `rundown-lab`, the program; everything is in the library beside it.

use rundown_lab::cli::{self, Asked};
use rundown_lab::{serve, sweep};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse() {
        Asked::Serve(arguments) => serve::serve(&arguments),
        Asked::Sweep(arguments) => sweep::sweep(&arguments),
    }
}
