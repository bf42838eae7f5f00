//! `rundownctl`: see the library and `rundownctl --help`.

use std::{
    process::{ExitCode, exit},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Parser;
use rundownctl::{EXIT_INTERRUPTED, cli::Cli};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(rundownctl::print::of_clap(&error)),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    // The first Ctrl-C stops the run in the driver, the second one leaves at once.
    let handler = move || {
        // Relaxed: the flag carries nothing but itself.
        if seen.swap(true, Ordering::Relaxed) {
            exit(EXIT_INTERRUPTED.into());
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        rundownctl::print::tell(format_args!(
            "rundownctl: Ctrl-C will not stop the run in the driver: {error}"
        ));
    }
    rundownctl::run(&cli, &interrupted)
}
