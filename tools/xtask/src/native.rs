//! `cargo xtask bench` and `cargo xtask interop`: the programs that measure, and that run NT's code on this host.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command as Subcommand, value_parser};

use rundown_uf::protection;

use crate::{build, exit, process, setup::host_cargo, tree::Tree};

/// Options with a value that the programs take as they are.
const VALUES: [&str; 5] = ["svg", "rounds", "waits", "steps", "seed"];
/// The same, without one.
const FLAGS: [&str; 2] = ["json", "check"];

/// What is measured gets each loop at the start of a cache line: the same instructions take a tenth more or less as they lie, and
/// without this the rows of one build would differ by it.
const ALIGNED: &str = "-C llvm-args=-align-loops=64";

/// `--native FILE`.
pub(crate) fn listing() -> Arg {
    Arg::new("native")
        .long("native")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("NT's own code: what WinDbg's `uf` prints of the routines (docs/native.md)")
}

/// The definitions of both commands.
pub(crate) fn commands() -> [Subcommand; 2] {
    let value = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    [
        Subcommand::new("bench")
            .about("Measure ours, the floor and the peers, and with --native NT's code, in the same rounds")
            .args([
                flag("json", "Print one JSON object, {\"rows\":[...],\"goals\":[...]}"),
                flag("check", "A goal that is missed is a failure"),
                listing(),
                value("svg", "FILE", "Draw the rows as well"),
                value("rounds", "N", "Measure every row N times [default: 101]"),
            ]),
        Subcommand::new("interop")
            .about("Run NT's code against ours on this host: one waits and the other releases; then in lock-step")
            .args([
                flag("json", "Print one JSON object"),
                listing().required(true),
                value("waits", "N", "Waits by each way out, waiter and holders [default: 1000]"),
                value("steps", "N", "Steps of the lock-step [default: 1000000]"),
                value("seed", "N", "Seeds steps and times [default: 1]"),
            ]),
    ]
}

/// Builds the program behind a command and runs it in the user's own terminal and folder; whether it succeeded.
pub(crate) fn run(tree: &Tree, name: &str, matches: &ArgMatches) -> Result<bool> {
    let mut program = if let Some(listing) = matches.get_one::<PathBuf>("native") {
        let mut program = Command::new(if name == "bench" {
            measured(tree, "tools", "rundown-native")?
        } else {
            release(tree, "tools", &tree.tools_target(), "rundown-native", None)?
        });
        program.arg(name).arg("--native").arg(listing);
        program
    } else {
        Command::new(measured(tree, "", "rundown-bench")?)
    };
    let status = program.args(handed_on(matches)).status();
    let status = status.with_context(|| format!("`{}` cannot be started", process::line(&program)))?;
    exit::verdict(status)
}

/// Reads what the options name, before anything is built or booted.
pub(crate) fn check(matches: &ArgMatches) -> Result<()> {
    if let Ok(Some(listing)) = matches.try_get_one::<PathBuf>("native") {
        protection::check(&exit::read(listing)?)
            .map_err(|error| exit::bad_input(format!("{}: {error}", listing.display())))?;
    }
    if let Ok(Some(framework)) = matches.try_get_one::<PathBuf>("framework") {
        exit::read(framework)?;
    }
    if let Ok(Some(drawing)) = matches.try_get_one::<String>("svg")
        && let Some(folder) = Path::new(drawing).parent()
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(exit::bad_input(format!(
            "{drawing} cannot be written: {} is no folder",
            folder.display()
        )));
    }
    Ok(())
}

/// Builds a program that measures. Other flags are another build of everything: it has a folder of its own.
fn measured(tree: &Tree, workspace: &str, package: &str) -> Result<PathBuf> {
    release(
        tree,
        workspace,
        &tree.target().join("bench"),
        package,
        Some(ALIGNED),
    )
}

/// Builds a package's program of the same name.
fn release(
    tree: &Tree,
    workspace: &str,
    target: &Path,
    package: &str,
    flags: Option<&str>,
) -> Result<PathBuf> {
    let mut command = host_cargo();
    command.args(["build", "--release", "--package", package]);
    build::in_workspace(&mut command, &tree.root().join(workspace), target);
    command.envs(flags.map(|flags| ("RUSTFLAGS", flags)));
    build::program(command, package)
}

/// The options that were given, as the program behind the command takes them.
fn handed_on(matches: &ArgMatches) -> Vec<String> {
    let values = VALUES.iter().filter_map(|name| {
        let value = matches.try_get_one::<String>(name).ok().flatten()?;
        Some([format!("--{name}"), value.clone()])
    });
    let flags = FLAGS
        .iter()
        .filter(|name| matches!(matches.try_get_one::<bool>(name), Ok(Some(true))));
    values
        .flatten()
        .chain(flags.map(|name| format!("--{name}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_handed_on_as_they_were_given() {
        let [bench, interop] = commands();
        for (command, words, options) in [
            (
                bench,
                &["bench", "--check", "--rounds", "3"][..],
                &["--rounds", "3", "--check"][..],
            ),
            (
                interop,
                &["interop", "--json", "--native", "a", "--seed", "4"],
                &["--seed", "4", "--json"],
            ),
        ] {
            assert_eq!(handed_on(&command.try_get_matches_from(words).unwrap()), options);
        }
    }

    #[test]
    fn interop_needs_a_listing() {
        let [_, interop] = commands();
        assert!(interop.try_get_matches_from(["interop"]).is_err());
    }
}
