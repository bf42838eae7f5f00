//! `rundown-lab`, the program; everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    rundown_lab::serve::serve(&rundown_lab::cli::parse())
}
