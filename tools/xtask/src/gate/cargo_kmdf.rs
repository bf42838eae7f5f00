//! `cargo kmdf` for drivers in the shape that `cargo wdk new` gives them, each run in the lab.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use rundown_kit::toolchain::Toolchain;

use super::tally::{Gate, Tally};
use crate::{
    mutate::copy,
    process::{self, Finished},
    progress::Progress,
    tree::Tree,
};

/// The templates below `tools/cargo-kmdf/tests/template`.
const DRIVERS: [&str; 2] = ["kmdf", "wdm"];

/// A step for each, after the lab is built.
pub(super) fn steps(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    let built = gate.step("build of cargo kmdf", |progress| {
        let mut cargo = toolchain.host_cargo();
        cargo
            .args(["build", "--locked", "--package", "cargo-kmdf", "--manifest-path"])
            .arg(tree.root().join("tools/Cargo.toml"))
            .arg("--target-dir")
            .arg(tree.tools_target());
        process::succeed(&mut cargo, progress)?;
        Ok(Tally::one(None))
    });
    if !built {
        return;
    }
    for kind in DRIVERS {
        gate.group(format!("cargo kmdf, {kind}"), || {
            let progress = Progress::begin(format!("cargo kmdf, {kind}"));
            let tally = built_and_run(tree, kind, &progress)?;
            progress.done("");
            Ok(tally)
        });
    }
}

fn built_and_run(tree: &Tree, kind: &str, progress: &Progress) -> Result<Tally> {
    let sources = tree.target().join("cargo-kmdf").join(kind);
    copy::refresh(
        &tree.root().join("tools/cargo-kmdf/tests/template").join(kind),
        &sources,
    )?;
    // With the versions that everything here is tested with. cargo leaves out the other crates' when it looks at it.
    fs::copy(tree.root().join("Cargo.lock"), sources.join("Cargo.lock"))
        .with_context(|| format!("Cargo.lock cannot be copied to {}", sources.display()))?;
    let mut tally = Tally::default();

    let finished = kmdf(tree, &sources, &["check", "--release"], progress)?;
    tally.count((!finished.status.success()).then(|| finished.tail()));
    let finished = kmdf(tree, &sources, &["build", "--release"], progress)?;
    ensure!(finished.status.success(), "{}", finished.tail());
    // It says what it made.
    let made: Vec<&Path> = finished.stdout.lines().map(Path::new).collect();
    let file = |name: &str| made.iter().copied().find(|path| path.ends_with(name));
    tally.count(match (file("a_kmdf_driver.inf"), kind) {
        (Some(inf), "kmdf") => wrong_inf(inf)?,
        (None, "wdm") => None,
        (inf, _) => Some(format!("{kind}: the INF is {inf:?}")),
    });
    let sys = format!("a_{kind}_driver.sys");
    tally.count(file(&sys).is_none().then(|| format!("{sys} is not named")));

    // As `cargo wdk new` makes it, a driver lacks what this project asks of its own, and nothing else.
    let finished = kmdf(tree, &sources, &["build", "--release", "--strict"], progress)?;
    let wrong: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("WRONG"))
        .collect();
    let only_the_version = matches!(wrong[..], [only] if only.starts_with("WRONG version: "));
    tally.count((!only_the_version || finished.status.success()).then(|| finished.tail()));

    let report = sources.join("report.json");
    let (lab, written) = (tree.lab().display().to_string(), report.display().to_string());
    let arguments = [
        "lab",
        "--release",
        "--lab",
        &lab,
        "--cpus",
        "1",
        "--report",
        &written,
    ];
    let finished = kmdf(tree, &sources, &arguments, progress)?;
    tally.count((!finished.status.success()).then(|| finished.tail()));
    let text = fs::read_to_string(&report).with_context(|| format!("{} cannot be read", report.display()))?;
    let report: serde_json::Value = serde_json::from_str(&text)?;
    tally.count((report["cpus"] != 1 || report["passed"] != true).then_some(text));
    Ok(tally)
}

/// `cargo kmdf`, as this tree has it, in a driver's folder.
fn kmdf(tree: &Tree, sources: &Path, arguments: &[&str], progress: &Progress) -> Result<Finished> {
    let mut command = Command::new(tree.tools_target().join("debug/cargo-kmdf"));
    command.arg("kmdf").args(arguments).current_dir(sources);
    process::watch(&mut command, progress)
}

/// What is wrong with the INF: it has the stamps, in UTF-16, which its text asks for.
fn wrong_inf(inf: &Path) -> Result<Option<String>> {
    let bytes = fs::read(inf).with_context(|| format!("{} cannot be read", inf.display()))?;
    let units: Vec<u16> = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .copied()
        .map(u16::from_le_bytes)
        .collect();
    let text = String::from_utf16_lossy(&units);
    let wanted = [",1.2.3.0\r\n", "KmdfLibraryVersion = 1.33\r\n", "NTamd64", "Köln"];
    let missing: Vec<&str> = wanted.into_iter().filter(|part| !text.contains(part)).collect();
    Ok((!bytes.starts_with(&[0xFF, 0xFE]) || !missing.is_empty())
        .then(|| format!("{} has no {missing:?}, or is not UTF-16", inf.display())))
}
