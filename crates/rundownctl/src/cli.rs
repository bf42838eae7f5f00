//! The command line. `--help`, the manual pages, docs/rundownctl.md and the shells' completions are all made of it.

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        compare, completions, conform, info, install, interop, man, objects, raw, report, schema, status,
        stress, uninstall, watch,
    },
    target::Spec,
};

const AFTER_HELP: &str = "\
Examples:
    rundownctl status                      is the target ready?
    rundownctl stress --arm ours,native    one run, in which both take turns
    rundownctl compare                     workload by workload, with ratios
    rundownctl report                      the same as a page with charts
    rundownctl shell                       objects by hand

Exit codes:
    0  it was done, and no violation was found
    1  a violation of run-down protection, a stalled wait or a difference from the system's
    2  the command line, or a file that it gives to the lab, is wrong
    3  the target cannot be reached: no device, no lab, or the lab itself failed
    4  a request was refused; the NTSTATUS is explained
    5  the driver failed: a bugcheck, a hang, or a leak in the lab
    6  the other side does not speak our version of the protocol
    7  a file cannot be read or written
    8  Windows refused to install or remove the driver, or its device does not start
  130  the run was interrupted (Ctrl-C), and no violation was found until then";

/// Talks to the rundown driver: what it is, and whether its run-down protection holds under stress.
// `bin_name`: clap would take the name out of argv[0], which on Windows ends in `.exe`.
#[derive(Debug, Parser)]
#[command(version, bin_name = "rundownctl", after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// Where the driver runs: `device` (this Windows), `lab`, or `lab:key=value,...`, whose keys are the options of
    /// `rundown-lab serve` (cpus, seed, monitorx, ...) and `program`, the path of rundown-lab; `,,` is a comma in a value
    /// [default: device on Windows, lab elsewhere]
    #[arg(long, global = true, default_value = Spec::DEFAULT, hide_default_value = true, value_name = "TARGET")]
    pub target: Spec,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Whether the system's machine code is wanted.
    #[must_use]
    pub const fn native_code(&self) -> bool {
        match &self.command {
            Command::Stress(options) => options.output.shown.native_code,
            Command::Compare(options) => options.output.shown.native_code,
            Command::Report(options) => options.shown.native_code,
            _ => false,
        }
    }

    /// Whether the answer is for a program.
    #[must_use]
    pub const fn json(&self) -> bool {
        match &self.command {
            Command::Info(options) => options.json,
            Command::Stress(options) => options.output.json,
            Command::Compare(options) => options.output.json,
            Command::Conform(options) => options.json,
            Command::Interop(options) => options.json,
            Command::Objects(options) => options.json,
            Command::Status(options) => options.json,
            _ => false,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Describe the driver, the machine, and how a wait spins on it
    Info(info::Options),
    /// Stress run-down protection: holders against an owner that runs the object down again and again
    #[command(
        mut_arg("listing", |arg| arg.requires("report")),
        mut_arg("native_code", |arg| arg.requires("report"))
    )]
    Stress(stress::Options),
    /// Compare ours with the system's, workload by workload
    #[command(
        mut_arg("duration", |arg| arg.default_value("4000")),
        mut_arg("rounds", |arg| arg.default_value("10")),
        mut_arg("warm_up", |arg| arg.default_value("5")),
        mut_arg("listing", |arg| arg.requires("report")),
        mut_arg("native_code", |arg| arg.requires("report"))
    )]
    Compare(compare::Options),
    /// Watch a run that goes on until Ctrl-C
    #[command(mut_arg("duration", |arg| arg.default_value("3600000")), mut_arg("rounds", |arg| arg.default_value("100")))]
    Watch(watch::Options),
    /// Write a page with charts about a comparison, or about runs that were made before
    #[command(
        mut_arg("duration", |arg| arg.default_value("4000")),
        mut_arg("rounds", |arg| arg.default_value("10")),
        mut_arg("warm_up", |arg| arg.default_value("5"))
    )]
    Report(report::Options),
    /// Make objects and work on them step by step, with one handle
    Objects(objects::Options),
    /// The same by hand, with history and completion
    Shell,
    /// Do the same steps on ours and on the system's, and compare after each
    Conform(conform::Options),
    /// Let ours and the system's routines share a word
    Interop(interop::Options),
    /// Send one request byte by byte and print the answer in hexadecimal
    Raw(raw::Options),
    /// Install the driver on this Windows, as `devcon install` does
    Install(install::Options),
    /// Remove the driver from this Windows, its device and its package
    Uninstall(uninstall::Options),
    /// Tell whether the target is ready, and what to do when it is not
    Status(status::Options),
    /// Print the JSON Schema of what `--json` prints
    Schema(schema::Options),
    /// Print what a shell needs to complete this command line
    Completions(completions::Options),
    /// Print the manual page
    Man(man::Options),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
