//! The command line.

use std::{io::stdout, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser, value_parser};
use rundown_kit::{
    driver::Profile,
    toolchain::{Route, Toolchain},
};
use rundown_streams as streams;

use crate::{
    build, depth, exit, gate,
    lab::{self, Settings},
    mutate::{self, by_rule},
    native, package,
    setup::{self, Consent, GDB, MAKE, NODE, OSSLSIGNCODE, PATCH, QEMU},
    tree::Tree,
};

const AFTER_HELP: &str = "\
Exit codes:
  0  it was done, and the verdict is good
  1  the verdict is bad: a violation, a difference, a step of the gate, a goal that is missed
  2  the command line, or a file that it names, cannot be used; nothing was built or booted
  3  there is no verdict: the set-up, a build, or the lab itself failed
  7  standard output cannot be written
  8  nothing went wrong, and too little was seen for a verdict: the host was too busy, or is too slow (`lab`)";

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            // Nobody to tell.
            let _ = error.print();
            return exit::BAD_INPUT.into();
        }
        Err(help) => return streams::printed("xtask", help.print()).into(),
    };
    let (code, line) = exit::code(&carry_out(&matches));
    if let Some(line) = line {
        streams::tell!("xtask: {line}");
    }
    code.into()
}

fn command() -> Command {
    let yes = Arg::new("yes").long("yes").short('y').action(ArgAction::SetTrue);
    let yes = yes.help("Install missing packages without asking (so does CI=true)");
    let route = Arg::new("route")
        .long("route")
        .value_parser(PossibleValuesParser::new(["rustup", "debian"]));
    let route = route
        .help("Take the driver's toolchain from rustup, or from Debian's packages [default: what works]");
    let with_setup = |name: &'static str| Command::new(name).args([yes.clone(), route.clone()]);

    Command::new("cargo xtask")
        .bin_name("cargo xtask")
        .about("From the sources of the rundown driver to a verdict")
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_setup("setup").about("Install what the other commands need, and nothing else"))
        .subcommand(lab_arguments(with_setup("lab")))
        .subcommand(
            with_setup("test")
                .about("The gate: format, lints, tests, models, the driver's image, the lab")
                .arg(
                    Arg::new("deep")
                        .long("deep")
                        .action(ArgAction::SetTrue)
                        .help("Also what takes hours"),
                )
                .arg(
                    Arg::new("only")
                        .long("only")
                        .value_name("WORDS")
                        .action(ArgAction::Append)
                        .help("Only the steps whose name has these words, on what was built before"),
                ),
        )
        .subcommand(
            with_setup("coverage")
                .about("Which lines of the driver its suite and the sweeps carry out, and which need not be"),
        )
        .subcommand(
            with_setup("driver")
                .about("Build rundown.sys and rundown.pdb")
                .args(driver_arguments()),
        )
        .subcommand(with_setup("client").about("Build rundownctl.exe, the client for Windows"))
        .subcommand(
            with_setup("package")
                .about("Build, sign and verify a folder that a Windows test machine can install"),
        )
        .subcommand(
            Command::new("windows-report")
                .about("Judge the file that scripts/walk.ps1 wrote on a Windows test machine")
                .arg(
                    Arg::new("file")
                        .value_name("FILE")
                        .required(true)
                        .value_parser(value_parser!(PathBuf)),
                ),
        )
        .subcommands(native::commands())
        .subcommand(
            with_setup("mutate")
                .about(
                    "Plant defects, one at a time, and see whether models and lab find each for the right reason",
                )
                .args(mutate_arguments()),
        )
}

/// What `cargo xtask mutate` takes besides.
fn mutate_arguments() -> [Arg; 3] {
    let number = |name: &'static str, default: &'static str| {
        let argument = Arg::new(name).long(name).value_name("N").default_value(default);
        argument.value_parser(value_parser!(u64).range(1..))
    };
    let names = Arg::new("names").num_args(0..);
    [
        number("seeds", "10").help("Runs of the original and of each mutant, with the seeds 1 to N"),
        number("every", "1").help("Of the mutants by rule only each N-th"),
        names.help("Mutants by name, or parts of the product for their mutants by rule [default: all]"),
    ]
}

/// What `cargo xtask driver` takes besides.
fn driver_arguments() -> [Arg; 2] {
    let dev = Arg::new("dev").long("dev").action(ArgAction::SetTrue);
    let chains = Arg::new("chains").long("chains").value_name("N");
    let chains = chains.value_parser(value_parser!(usize)).default_value("1");
    [
        dev.help("With cargo's dev profile [default: release]"),
        chains.help("Print so many of the deepest chains of calls, one for each entry"),
    ]
}

/// Returns whether the command's own verdict is good.
/// `cargo xtask lab`.
fn lab_arguments(command: Command) -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
    command
                .about("Build the driver, run it at ring 0 in the lab, and print a verdict")
                .arg(json.help("Print one JSON object and nothing else on standard output"))
                .arg(
                    Arg::new("cpus")
                        .long("cpus")
                        .value_name("N,N")
                        .value_delimiter(',')
                        .value_parser(value_parser!(u32).range(2..=8))
                        .default_value("2,4")
                        .help("Numbers of virtual processors, one machine each"),
                )
                .arg(
                    Arg::new("seed")
                        .long("seed")
                        .value_parser(value_parser!(u64))
                        .default_value("1")
                        .help("Seeds the first boot of each scenario; further boots count up"),
                )
                .arg(
                    Arg::new("framework")
                        .long("framework")
                        .value_name("FILE")
                        .value_parser(value_parser!(PathBuf))
                        .help("A Windows' own Wdf01000.sys for the driver to run on (docs/your-windows.md)"),
                )
                .arg(
                    Arg::new("trace")
                        .long("trace")
                        .value_name("FILE.json")
                        .value_parser(value_parser!(PathBuf))
                        .help("Write a timeline of the first boot of each scenario, as FILE.SCENARIO.json (docs/lab.md)"),
                )
                .arg(native::listing())
}

fn carry_out(matches: &ArgMatches) -> Result<bool> {
    carry_out_in(&Tree::here()?, matches)
}

fn carry_out_in(tree: &Tree, matches: &ArgMatches) -> Result<bool> {
    let Some((name, matches)) = matches.subcommand() else {
        unreachable!("clap demands a subcommand")
    };
    native::check(matches)?;
    if name == "windows-report" {
        let file = matches.get_one::<PathBuf>("file");
        return package::report(tree, file.map_or("".as_ref(), PathBuf::as_path));
    }
    if matches!(name, "bench" | "interop") {
        return native::run(tree, name, matches);
    }
    let route = matches
        .get_one::<String>("route")
        .map(|name| match name.as_str() {
            "rustup" => Route::Installed,
            _ => Route::Debian,
        });
    let consent = Consent::new(matches.get_flag("yes"));
    match name {
        "setup" => {
            setup::ensure(route, consent, &[QEMU, PATCH, OSSLSIGNCODE, NODE, GDB, MAKE])?;
            setup::ensure_client(route, consent)?;
            setup::ensure_components()?;
            rundown_streams::tell!("everything is there");
            Ok(true)
        }
        "driver" => driver(tree, &setup::ensure(route, consent, &[])?, matches),
        "client" => {
            let toolchain = setup::ensure_client(route, consent)?;
            streams::line(build::windows_client(tree, &toolchain)?.display())?;
            Ok(true)
        }
        "package" => {
            let toolchain = setup::ensure(route, consent, &[OSSLSIGNCODE])?;
            let for_client = setup::ensure_client(route, consent)?;
            let folder = package::make(tree, &toolchain, &for_client)?;
            streams::line(package::directions(&folder)?)?;
            Ok(true)
        }
        "lab" => {
            let settings = Settings {
                cpus: matches.get_many("cpus").into_iter().flatten().copied().collect(),
                seed: matches.get_one("seed").copied().unwrap_or(1),
                framework: matches.get_one("framework").cloned(),
                trace: matches.get_one("trace").cloned(),
                ..Settings::default()
            };
            let settings = settings.with_native(matches.get_one("native").cloned());
            settings.try_out()?;
            let toolchain = setup::ensure(route, consent, &[QEMU])?;
            build::all(tree, &toolchain)?;
            lab::tell(
                &lab::run(tree, &settings)?,
                matches.get_flag("json"),
                &mut stdout(),
            )
        }
        "test" => {
            let deep = matches.get_flag("deep");
            let toolchain = setup::ensure(route, consent, &[QEMU, OSSLSIGNCODE, NODE, GDB, PATCH, MAKE])?;
            let for_client = setup::ensure_client(route, consent)?;
            setup::ensure_components()?;
            let only = matches.get_many("only").into_iter().flatten().cloned().collect();
            gate::run(tree, &toolchain, &for_client, consent, deep, only)
        }
        "coverage" => {
            let toolchain = setup::ensure(route, consent, &[QEMU])?;
            build::all(tree, &toolchain)?;
            let outcome = gate::coverage::run(tree, &toolchain)?;
            streams::line(outcome.tables())?;
            outcome.faults.iter().try_for_each(streams::line)?;
            Ok(outcome.faults.is_empty())
        }
        "mutate" => {
            let (_, patches) = by_rule::chosen(tree, mutant_names(matches))?;
            patches.map_or(Ok(()), |names| mutate::check(tree, &names))?;
            let toolchain = setup::ensure(route, consent, &[QEMU, PATCH])?;
            build::all(tree, &toolchain)?;
            mutants(tree, &toolchain, matches)
        }
        other => unreachable!("clap accepts no subcommand {other}"),
    }
}

/// `cargo xtask driver`: builds it, and tells its deepest chains of calls.
fn driver(tree: &Tree, toolchain: &Toolchain, matches: &ArgMatches) -> Result<bool> {
    let profile = if matches.get_flag("dev") {
        Profile::Dev
    } else {
        Profile::Release
    };
    let driver = build::driver(tree, toolchain, profile)?;
    let shown = matches.get_one("chains").copied().unwrap_or(1);
    match depth::chains(&driver.sys, &driver.pdb) {
        Ok(chains) => chains
            .iter()
            .take(shown)
            .for_each(|chain| rundown_streams::tell!("a chain of calls takes {chain}")),
        // A build like any other, but not one that the gate lets pass.
        Err(error) => rundown_streams::tell!("{error}"),
    }
    for file in [driver.sys, driver.pdb, driver.inf] {
        streams::line(file.display())?;
    }
    Ok(true)
}

fn mutant_names(matches: &ArgMatches) -> Vec<String> {
    matches.get_many("names").into_iter().flatten().cloned().collect()
}

/// `cargo xtask mutate`, once all is built; whether everything is found that has to be.
fn mutants(tree: &Tree, toolchain: &Toolchain, matches: &ArgMatches) -> Result<bool> {
    let number = |name: &str| matches.get_one(name).copied().unwrap_or(1_u64);
    let (parts, patches) = by_rule::chosen(tree, mutant_names(matches))?;
    let mut passed = true;
    if let Some(names) = patches {
        let outcome = mutate::run(tree, toolchain, number("seeds"), &names)?;
        streams::line(outcome.table())?;
        passed &= outcome.passed();
    }
    let sums = by_rule::run(tree, toolchain, &parts, usize::try_from(number("every"))?)?;
    streams::line(by_rule::table(&sums))?;
    Ok(passed && sums.iter().all(|sum| sum.faults.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        command().debug_assert();
    }

    /// There is no tree to build in, and none can be made there: whoever tries has another error.
    #[test]
    fn bad_input_is_found_first() {
        let listing = env::temp_dir().join(format!("xtask-listing-{}.txt", std::process::id()));
        std::fs::write(&listing, "nt!ExAcquireRundownProtection:\nno code\n").unwrap();
        let listing = listing.display().to_string();
        for words in [
            &["lab", "--native", "/proc/nowhere/x.txt"][..],
            &["lab", "--native", &listing],
            &["lab", "--framework", "/proc/nowhere/Wdf01000.sys"],
            &["lab", "--trace", "/proc/nowhere/t.json"],
            &["interop", "--native", "/proc/nowhere/x.txt"],
            &["interop", "--native", &listing],
            &["bench", "--native", &listing],
            &["bench", "--svg", "/proc/nowhere/x.svg"],
            &["windows-report", "/proc/nowhere/x.jsonl"],
        ] {
            let matches = command()
                .try_get_matches_from([&["xtask"], words].concat())
                .unwrap();
            let (code, line) = exit::code(&carry_out_in(&Tree::at("/proc/nowhere"), &matches));
            let line = line.unwrap();
            assert!(code == 2 && line.lines().count() == 1, "{words:?}: {code} {line}");
        }
        std::fs::remove_file(listing).unwrap();
    }

    #[test]
    fn processors_are_a_list() {
        let matches = command()
            .try_get_matches_from(["xtask", "lab", "--cpus", "2,8"])
            .unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        assert_eq!(
            matches
                .get_many::<u32>("cpus")
                .unwrap()
                .copied()
                .collect::<Vec<_>>(),
            [2, 8]
        );
        for nonsense in ["0", "1", "9", "two", "2;4"] {
            assert!(
                command()
                    .try_get_matches_from(["xtask", "lab", "--cpus", nonsense])
                    .is_err(),
                "{nonsense}"
            );
        }
    }
}
