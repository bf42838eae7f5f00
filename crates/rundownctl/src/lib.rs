//! The user-mode client of the rundown driver, as a library, so that it can be tested without a driver.
//!
//! The layers, from the bottom: a [`target::Target`] opens a device and carries requests as bytes ([`lab`] to a
//! machine in the lab, `device` to the driver of the running Windows); [`client`] gives the requests of
//! [`rundown_abi`] their types; [`stress`] runs one to its end; [`show`] says the outcome to people or to programs;
//! [`cli`] is what the user types. [`run`] ties them together.
#![deny(unsafe_code)]

use std::{path::PathBuf, process::ExitCode, sync::atomic::AtomicBool};

use crate::{
    cli::{Cli, Command},
    client::Client,
    error::Error,
    stress::Run,
    target::{Access, Target},
};

pub mod cli;
pub mod client;
// Windows' own routines can only be called through pointers.
#[cfg(windows)]
#[allow(unsafe_code)]
pub mod device;
pub mod error;
pub mod lab;
pub mod raw;
pub mod show;
pub mod status;
pub mod stress;
pub mod target;

/// The exit code of a client that found a violation.
pub const EXIT_VIOLATION: u8 = 1;
/// The exit code of a run that was interrupted and had found no violation until then.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Does what the command line says and tells how it went on the standard streams.
///
/// `interrupted` becomes true when the user presses Ctrl-C.
pub fn run(cli: &Cli, interrupted: &AtomicBool) -> ExitCode {
    match connect(cli).and_then(|target| carry_out(cli, target, interrupted)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            if cli.json() {
                println!("{}", show::error_json(&error, None));
            }
            eprintln!("rundownctl: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn connect(cli: &Cli) -> Result<Box<dyn Target>, Error> {
    match &cli.target {
        #[cfg(windows)]
        target::Spec::Device => Ok(Box::new(device::Device::new())),
        #[cfg(not(windows))]
        target::Spec::Device => Err(Error::Unreachable {
            what: "only Windows has the device".into(),
            advice: "use --target lab here".into(),
        }),
        target::Spec::Lab(options) => {
            let program: PathBuf = options.program()?;
            Ok(Box::new(lab::Lab::spawn(&program, &options.arguments())?))
        }
    }
}

/// Carries out the command on an already connected target and ends the target, whose own verdict counts too.
///
/// # Errors
/// What [`Error`] lists. A run whose target died has already printed its last counters.
pub fn carry_out(cli: &Cli, mut target: Box<dyn Target>, interrupted: &AtomicBool) -> Result<u8, Error> {
    match &cli.command {
        Command::Info { json } => {
            let mut client = Client::open(&mut *target, Access::Read)?;
            let info = client.info()?;
            client.close()?;
            target.finish()?;
            println!(
                "{}",
                if *json {
                    show::info_json(&info)
                } else {
                    show::info_table(&info)
                }
            );
            Ok(0)
        }
        Command::Stress(options) => {
            let run = Run::new(options);
            let outcome = run.carry_out(target, interrupted);
            let last = outcome.result.as_ref();
            match (&outcome.error, options.json) {
                (None, true) => println!("{}", show::stress_json(&run, last)),
                (Some(error), true) => println!("{}", show::error_json(error, Some((&run, last)))),
                (_, false) => print!("{}", show::stress_table(&run, last)),
            }
            if let Some(error) = outcome.error {
                eprintln!("rundownctl: {error}");
                return Ok(error.exit_code());
            }
            let violations = last.map_or(0, |r| r.violations.poisoned + r.violations.inside);
            Ok(if violations > 0 {
                EXIT_VIOLATION
            } else if outcome.interrupted {
                EXIT_INTERRUPTED
            } else {
                0
            })
        }
        Command::Raw(options) => {
            let output = raw::send(&mut *target, options)?;
            target.finish()?;
            println!("{}", raw::hex(&output));
            Ok(0)
        }
    }
}
