//! `rundown-package`: makes, verifies and judges from the command line. `cargo xtask package` and
//! `cargo xtask windows-report` run it.

use std::{env, fs, path::PathBuf, process::ExitCode};

use rundown_inf::{Inf, decode};
use rundown_package::{
    Inputs, build,
    inf::{RULES, Rules, Severity, lint},
    natvis, verify, windows_report,
};
use rundown_streams::EXIT_OUTPUT;

const HELP: &str = "\
Makes a folder that a Windows test machine can install.

Usage: rundown-package build --inf F --driver F.sys --pdb F [--beside F]... --output FOLDER
       rundown-package verify FOLDER
       rundown-package lint FILE.inf
       rundown-package rules
       rundown-package natvis FILE.natvis FILE.pdb
       rundown-package report FILE

  build    parses and checks the INF, makes a test certificate, signs the driver, makes and signs the catalogue, verifies
  verify   checks a package's signatures, and its files against its catalogue
  lint     checks an INF that is stamped
  rules    lists the rules that lint checks; numbers are InfVerif's
  natvis   checks that a natvis file fits the types of a PDB
  report   judges the file that scripts/walk.ps1 wrote

Exit codes: 0 good; 1 not good; 2 the command line is wrong; 7 standard output cannot be written.";

enum Failure {
    Usage(String),
    NotGood(String),
}

impl From<rundown_package::Error> for Failure {
    fn from(error: rundown_package::Error) -> Self {
        Self::NotGood(error.to_string())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(text) => match rundown_streams::line(text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(unwritable) => {
                rundown_streams::tell!("rundown-package: {unwritable}");
                ExitCode::from(EXIT_OUTPUT)
            }
        },
        Err(Failure::NotGood(why)) => {
            rundown_streams::tell!("rundown-package: {why}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(why)) => {
            rundown_streams::tell!("rundown-package: {why}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[&str]) -> Result<String, Failure> {
    match arguments {
        [] | ["help" | "--help" | "-h"] => Ok(HELP.into()),
        ["build", options @ ..] => Ok(made(&build(&inputs(options)?)?)),
        ["verify", folder] => {
            let members = verify(folder.as_ref(), Rules::Project)?;
            let names: Vec<&str> = members.iter().map(|member| member.file.as_str()).collect();
            Ok(format!(
                "{folder}: signatures are good, and the catalogue vouches for {}",
                names.join(" and ")
            ))
        }
        ["lint", file] => linted(file),
        ["rules"] => {
            let lines: Vec<String> = RULES
                .iter()
                .map(|(rule, asks)| format!("{rule:16} {asks}"))
                .collect();
            Ok(lines.join(
                "
",
            ))
        }
        ["natvis", natvis, pdb] => {
            natvis::check(natvis.as_ref(), pdb.as_ref())?;
            Ok(format!("{natvis} fits {pdb}"))
        }
        ["report", file] => {
            let report = windows_report(file.as_ref())?;
            if report.passed() {
                Ok(report.to_string())
            } else {
                Err(Failure::NotGood(format!("{file}\n{report}")))
            }
        }
        _ => Err(Failure::Usage(format!("`{}` is no command", arguments.join(" ")))),
    }
}

fn inputs(options: &[&str]) -> Result<Inputs, Failure> {
    let mut beside = Vec::new();
    let [mut inf, mut driver, mut pdb, mut output] = [const { None }; 4];
    for pair in options.chunks(2) {
        let &[option, value] = pair else {
            return Err(Failure::Usage(format!("{} needs a value", pair[0])));
        };
        let value = PathBuf::from(value);
        match option {
            "--inf" => inf = Some(value),
            "--driver" => driver = Some(value),
            "--pdb" => pdb = Some(value),
            "--output" => output = Some(value),
            "--beside" => beside.push(value),
            _ => return Err(Failure::Usage(format!("build has no option {option}"))),
        }
    }
    let needed =
        |value: Option<PathBuf>, name| value.ok_or_else(|| Failure::Usage(format!("build needs {name}")));
    Ok(Inputs {
        inf: needed(inf, "--inf")?,
        driver: needed(driver, "--driver")?,
        pdb: needed(pdb, "--pdb")?,
        beside,
        rules: Rules::Project,
        output: needed(output, "--output")?,
    })
}

fn made(package: &rundown_package::Package) -> String {
    let warnings = package.warnings.iter().map(|warning| {
        format!(
            "\nwarning: line {}: {} [{}]",
            warning.line, warning.what, warning.rule
        )
    });
    let first = format!("{}: made and verified", package.folder.display());
    std::iter::once(first).chain(warnings).collect()
}

fn linted(file: &str) -> Result<String, Failure> {
    let failed = |error| Failure::NotGood(format!("{file}: {error}"));
    let bytes =
        fs::read(file).map_err(|error| Failure::NotGood(format!("{file}: cannot be read: {error}")))?;
    let text = decode(&bytes).map_err(failed)?;
    let inf = Inf::parse(&text).map_err(failed)?;
    let findings = lint(&text, &inf, Rules::Project);
    let lines = findings.iter().map(|finding| {
        format!(
            "
{file}:{}: {:?} {}: {}",
            finding.line, finding.severity, finding.rule, finding.what
        )
    });
    let lines = lines.collect::<Vec<_>>().concat();
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Failure::NotGood(lines));
    }
    Ok(format!("{file}: keeps all {} rules{lines}", RULES.len()))
}
