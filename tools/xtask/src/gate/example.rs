//! The example driver: built by the kit as a stranger would, looked at, and run in the lab.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use rundown_kit::{
    driver::{self, Package, Profile, Workspace},
    pe,
    toolchain::Toolchain,
};

use super::tally::{Gate, Tally};
use crate::{build, process, progress::Progress, tree::Tree};

/// Builds it, checks its image, and has its requests answered: undisturbed, and with a cancellation, a close, a death and a removal
/// at the points of its calls.
pub(super) fn steps(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    let built = gate.group("build, example", || {
        let workspace = Workspace::new(tree.root()).with_package(Package::EXAMPLE);
        let artefacts = driver::build(&workspace, toolchain, Profile::Release)?;
        for file in [&artefacts.sys, &artefacts.pdb, &artefacts.inf] {
            build::gather(file, &tree.lab())?;
        }
        Ok(Tally::one(None))
    });
    gate.group("clippy, example", || {
        let workspace = Workspace::new(tree.root()).with_package(Package::EXAMPLE);
        driver::clippy(&workspace, toolchain, Profile::Release)?;
        Ok(Tally::one(None))
    });
    if !built {
        return;
    }
    gate.step("image of the example", |_| {
        let mut tally = Tally::default();
        let artefact = |name: &str| tree.lab().join(name);
        // It has no version resource, to be short.
        let checks = pe::check(&artefact("inflight.sys"), &artefact("inflight.pdb"))?;
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
    // Those of the script whose answers the client waits for: line 2, which is alone, and lines 3 to 6, which are in flight together.
    let answers: Option<Vec<u64>> = (2..=6).map(|step| number(&text, step)).collect();
    let right = answers.is_some_and(|mut answers| {
        let first = answers[0];
        answers.sort_unstable();
        first == 1 && answers == [1, 2, 3, 4, 5]
    });
    Ok((!finished.status.success() || !right).then(|| {
        format!(
            "it ended with {}; {} has to have 1 as the answer to step 2, and to steps 3 to 6 the numbers 2 to 5\n{}",
            finished.status,
            log.display(),
            finished.tail()
        )
    }))
}

/// The number that a step of the script is answered with, as the log has it.
fn number(log: &str, step: u32) -> Option<u64> {
    let (_, rest) = log.split_once(&format!(
        "log: step {step} is answered with 0x00000000 and 8 bytes: "
    ))?;
    u64::from_str_radix(rest.get(..16)?, 16).ok().map(u64::swap_bytes)
}

#[test]
fn a_number_is_eight_bytes_the_lowest_first() {
    let log = "log: step 2 is answered with 0x00000000 and 8 bytes: 0102000000000000\n\
               log: step 3 is answered with 0xc0000120 and 0 bytes\n";
    assert_eq!(number(log, 2), Some(0x201));
    assert_eq!(number(log, 3), None);
    assert_eq!(number(log, 4), None);
}
