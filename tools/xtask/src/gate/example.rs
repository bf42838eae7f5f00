//! The example driver: built by the kit as a stranger would, looked at, and run in the lab.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use rundown_kit::{
    driver::{self, Package, Profile, Workspace},
    exports::Windows,
    pe,
    toolchain::Toolchain,
};

use super::tally::{Gate, Tally};
use crate::{build, process, progress::Progress, tree::Tree};

/// Builds it; whether there is one.
pub(super) fn build(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) -> bool {
    gate.group("build, example", || {
        let workspace = Workspace::new(tree.root()).with_package(Package::EXAMPLE);
        let artefacts = driver::build(&workspace, toolchain, Profile::Release)?;
        for file in [&artefacts.sys, &artefacts.pdb, &artefacts.inf] {
            build::gather(file, &tree.lab())?;
        }
        Ok(Tally::one(None))
    })
}

/// Checks its image, and has its requests answered: undisturbed, and with a cancellation, a close, a death and a removal at the points
/// of its calls.
pub(super) fn steps(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    gate.group("clippy, example", || {
        let workspace = Workspace::new(tree.root()).with_package(Package::EXAMPLE);
        driver::clippy(&workspace, toolchain, Profile::Release)?;
        Ok(Tally::one(None))
    });
    gate.step("image of the example", |_| {
        let mut tally = Tally::default();
        let artefact = |name: &str| tree.lab().join(name);
        // It has no version resource, to be short.
        let checks = pe::check(
            &artefact("inflight.sys"),
            &artefact("inflight.pdb"),
            Windows::V2004,
        )?;
        for check in checks.into_iter().filter(|check| check.name != "version") {
            tally.count(check.result.err().map(|why| format!("{}: {why}", check.name)));
        }
        Ok(tally)
    });
    gate.step("example in the lab", |progress| {
        let sys = tree.lab().join("inflight.sys");
        Ok(Tally::one(undisturbed(tree, &sys, "example", progress)?))
    });
    gate.step("example, sweeps", |progress| {
        let mut command = lab(tree, "sweep", &tree.lab().join("inflight.sys"));
        command.args([
            "--what",
            "low-resources,cancel,close,kill,unload",
            "--points",
            "40",
        ]);
        Ok(Tally::of_sweeps(&process::watch(&mut command, progress)?))
    });
}

fn lab(tree: &Tree, subcommand: &str, sys: &Path) -> Command {
    let mut command = Command::new(tree.lab().join("rundown-lab"));
    command
        .args([subcommand, "--driver"])
        .arg(sys)
        .arg("--script")
        .arg(tree.root().join("example/inflight.script"));
    command
}

/// Its requests are answered; then the device is removed, with two in flight, and leaves nothing. The log has the name `run`.
pub(super) fn undisturbed(tree: &Tree, sys: &Path, run: &str, progress: &Progress) -> Result<Option<String>> {
    let log = tree.target().join(run).with_extension("log");
    let finished = process::watch(lab(tree, "serve", sys).arg("--log").arg(&log), progress)?;
    let text = fs::read_to_string(&log).with_context(|| format!("{} cannot be read", log.display()))?;
    Ok((!finished.status.success() || !right(&text)).then(|| {
        format!(
            "it ended with {}; {} has to have 1 as the answer to step 2, the next numbers as those to others, and the rest cancelled\n{}",
            finished.status,
            log.display(),
            finished.tail()
        )
    }))
}

/// Steps 2 to 8 are its requests. The client waits for 2 and 6; each of the others has a thread of its own, which may come late, and is
/// cancelled if it is in flight when the client ends. Each tick counts: no number is left out, and none is there twice.
fn right(log: &str) -> bool {
    let is_cancelled = |step: &u32| log.contains(&format!("log: step {step} is answered with 0xc0000120"));
    let (cancelled, answered): (Vec<u32>, Vec<u32>) = (2..=8).partition(is_cancelled);
    let numbers: Option<Vec<u64>> = answered.iter().map(|&step| number(log, step)).collect();
    numbers.is_some_and(|mut numbers| {
        let first = numbers.first().copied();
        numbers.sort_unstable();
        first == Some(1) && numbers.into_iter().eq(1..=answered.len() as u64)
    }) && !cancelled.contains(&2)
        && !cancelled.contains(&6)
}

/// The number that a step of the script is answered with, as the log has it.
fn number(log: &str, step: u32) -> Option<u64> {
    let (_, rest) = log.split_once(&format!(
        "log: step {step} is answered with 0x00000000 and 8 bytes: "
    ))?;
    u64::from_str_radix(rest.get(..16)?, 16).ok().map(u64::swap_bytes)
}

#[test]
fn every_request_is_answered_in_turn_or_cancelled() {
    let answer = |step: u32, number: u8| {
        format!("log: step {step} is answered with 0x00000000 and 8 bytes: {number:02x}00000000000000\n")
    };
    let cancelled = |step: u32| format!("log: step {step} is answered with 0xc0000120 and 0 bytes\n");
    let usual = [
        answer(2, 1),
        answer(6, 5),
        answer(3, 2),
        answer(4, 4),
        answer(5, 3),
        cancelled(7),
        cancelled(8),
    ];
    assert!(right(&usual.concat()));
    let late = [
        answer(2, 1),
        answer(6, 4),
        cancelled(3),
        answer(4, 2),
        answer(5, 3),
        cancelled(7),
        cancelled(8),
    ];
    assert!(right(&late.concat()));
    let twice = [
        answer(2, 1),
        answer(6, 2),
        answer(3, 2),
        cancelled(4),
        cancelled(5),
        cancelled(7),
        cancelled(8),
    ];
    assert!(!right(&twice.concat()));
    let left_out = [
        answer(2, 1),
        answer(6, 4),
        answer(3, 2),
        cancelled(4),
        cancelled(5),
        cancelled(7),
        cancelled(8),
    ];
    assert!(!right(&left_out.concat()));
    let unanswered = [
        answer(2, 1),
        answer(6, 2),
        cancelled(4),
        cancelled(5),
        cancelled(7),
        cancelled(8),
    ];
    assert!(!right(&unanswered.concat()));
}

#[test]
fn a_number_is_eight_bytes_the_lowest_first() {
    let log = "log: step 2 is answered with 0x00000000 and 8 bytes: 0102000000000000\n\
               log: step 3 is answered with 0xc0000120 and 0 bytes\n";
    assert_eq!(number(log, 2), Some(0x201));
    assert_eq!(number(log, 3), None);
    assert_eq!(number(log, 4), None);
}
