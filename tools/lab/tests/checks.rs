//! The judge's checks against their specimens, and against the table that `docs/lab.md` shows. Needs no machine: the suites
//! `specimens` and `framework` run the rows.

mod offences;

use lab_wire::code::{self, Check};
use std::fmt::Write as _;
use std::path::Path;

/// A check that no specimen trips does not count. `LAB_FAILURE` is no verdict about a driver.
#[test]
fn every_check_has_a_specimen_and_every_specimen_a_check() {
    let untested: Vec<Check> = code::checks()
        .filter(|check| check.code != code::LAB_FAILURE)
        .filter(|check| !offences::all().any(|(_, offence)| found_by(*check, &offence)))
        .collect();
    assert!(untested.is_empty(), "no specimen trips {untested:#x?}");
    for (suite, offence) in offences::all() {
        assert!(
            code::checks().any(|check| found_by(check, &offence)),
            "{suite} {}: the judge has no such check",
            offence.specimen
        );
    }
}

fn found_by(check: Check, offence: &offences::Offence) -> bool {
    check.code == offence.code
        && check.first.is_none_or(|first| offence.first == Some(first))
        && check.second.is_none_or(|second| offence.second == Some(second))
}

/// The table of checks, as `docs/lab.md` has it.
fn table() -> String {
    let mut text =
        String::from("| bug check | first parameter | what the driver did | specimen |\n|---|---|---|---|\n");
    for check in code::checks().filter(|check| check.code != code::LAB_FAILURE) {
        let specimens: Vec<String> = offences::all()
            .filter(|(_, offence)| found_by(check, offence))
            .map(|(suite, offence)| match suite {
                "specimens" => offence.specimen.to_owned(),
                suite => format!("{suite} {} {}", offence.specimen, offence.options)
                    .trim_end()
                    .to_owned(),
            })
            .collect();
        let first = check
            .first
            .map_or(String::new(), |first| format!("{first:#x} {}", check.name));
        // A branch's second parameter.
        let first = check
            .second
            .map_or(first.clone(), |second| format!("{first}, {second}"));
        let (what, _) = check
            .what
            .trim()
            .split_once(": ")
            .unwrap_or((check.what.trim(), ""));
        let what = what.trim_end_matches('.');
        writeln!(
            text,
            "| {:#x} {} | {first} | {what} | {} |",
            check.code,
            code::name(check.code),
            specimens.join(", ")
        )
        .unwrap();
    }
    text
}

#[test]
fn the_documentation_shows_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lab.md");
    let text = std::fs::read_to_string(&file).expect("docs/lab.md is in the repository");
    let table = table();
    assert!(
        text.contains(&table),
        "docs/lab.md does not have this table:\n\n{table}"
    );
}
