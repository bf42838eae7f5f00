//! The user-mode client of the rundown driver, as a library, so that it can be tested without a driver.
//!
//! The layers, from the bottom: a [`target::Target`] opens a device and carries requests as bytes ([`lab`] to a
//! machine in the lab, `device` to the driver of the running Windows); [`client`] gives the requests of
//! [`rundown_abi`] their types; [`commands`] has a file for each thing that the user can ask for; [`show`] says
//! outcomes to people or to programs; [`cli`] is what the user types. [`run()`] ties them together.
#![deny(unsafe_code)]

use std::{process::ExitCode, sync::atomic::AtomicBool};

use crate::{
    cli::{Cli, Command},
    error::Error,
    session::Session,
};

pub mod bench;
pub mod cli;
pub mod client;
pub mod commands;
pub mod counted;
// Windows' own routines can only be called through pointers.
#[cfg(windows)]
#[allow(unsafe_code)]
pub mod device;
pub mod error;
pub mod hexadecimal;
pub mod installation;
pub mod lab;
pub mod load;
pub mod names;
pub mod ntstatus;
pub mod outcome;
pub mod print;
pub mod progress;
pub mod record;
pub mod report;
pub mod run;
pub mod session;
pub mod show;
pub mod statistics;
pub mod target;
pub mod text;

/// The exit code of a client that found a violation, or a wait that stalled.
pub const EXIT_VIOLATION: u8 = 1;
/// The exit code of a run that was interrupted and had found no violation until then.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Does what the command line says and tells how it went on the standard streams.
///
/// `interrupted` becomes true when the user presses Ctrl-C.
pub fn run(cli: &Cli, interrupted: &AtomicBool) -> ExitCode {
    let session = Session::new(&cli.target, interrupted).with_native_code(cli.native_code());
    let code = match carry_out(cli, &session) {
        Ok(code) => code,
        Err(error) => {
            if cli.json() {
                // Where that cannot be written either, the line for people is all there is.
                let _ = print::line(show::json(&record::Failed::of(&error)));
            }
            print::tell(format_args!("rundownctl: {error}"));
            error.exit_code()
        }
    };
    ExitCode::from(code)
}

/// Carries out a command and returns the exit code.
///
/// # Errors
/// What [`Error`] lists. A run whose target died has already printed its last counters.
pub fn carry_out(cli: &Cli, session: &Session<'_>) -> Result<u8, Error> {
    match &cli.command {
        Command::Info(options) => commands::info::run(*options, session),
        Command::Stress(options) => commands::stress::run(options, session),
        Command::Compare(options) => commands::compare::run(options, session),
        Command::Watch(options) => commands::watch::run(options, session),
        Command::Report(options) => commands::report::run(options, session),
        Command::Objects(options) => commands::objects::run(options, session),
        Command::Shell => commands::shell::run(session),
        Command::Conform(options) => commands::conform::run(options, session),
        Command::Interop(options) => commands::interop::run(options, session),
        Command::Raw(options) => commands::raw::run(options, session),
        Command::Install(options) => commands::install::run(options),
        Command::Uninstall(options) => commands::uninstall::run(*options),
        Command::Status(options) => commands::status::run(*options, &cli.target),
        Command::Schema(options) => commands::schema::run(*options),
        Command::Completions(options) => commands::completions::run(*options),
        Command::Man(options) => commands::man::run(options),
    }
}
