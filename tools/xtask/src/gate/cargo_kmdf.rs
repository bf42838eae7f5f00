//! `cargo kmdf` for drivers in the shape that `cargo wdk new` gives them, each run in the lab.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use rundown_kit::toolchain::Toolchain;

use super::tally::{Gate, Tally};
use crate::{mutate::copy, process, progress::Progress, tree::Tree};

/// The templates below `tools/cargo-kmdf/tests/template`, and what the lab is told of each.
const DRIVERS: [(&str, &[&str]); 2] = [("kmdf", &[]), ("wdm", &["--legacy"])];

/// A step for each, after the lab is built.
pub(super) fn steps(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    let built = gate.step("build of cargo kmdf", |progress| {
        let mut cargo = toolchain.host_cargo();
        cargo
            .args(["build", "--locked", "--package", "cargo-kmdf", "--manifest-path"])
            .arg(tree.root().join("tools/Cargo.toml"))
            .arg("--target-dir")
            .arg(tree.target().join("tools"));
        process::succeed(&mut cargo, progress)?;
        Ok(Tally::one(None))
    });
    if !built {
        return;
    }
    for (kind, options) in DRIVERS {
        gate.group(format!("cargo kmdf, {kind}"), || {
            let progress = Progress::begin(format!("cargo kmdf, {kind}"));
            let tally = built_and_run(tree, kind, options, &progress)?;
            progress.done("");
            Ok(tally)
        });
    }
}

fn built_and_run(tree: &Tree, kind: &str, options: &[&str], progress: &Progress) -> Result<Tally> {
    let sources = tree.target().join("cargo-kmdf").join(kind);
    copy::refresh(
        &tree.root().join("tools/cargo-kmdf/tests/template").join(kind),
        &sources,
    )?;
    // With the versions that everything here is tested with. cargo leaves out the other crates' when it looks at it.
    fs::copy(tree.root().join("Cargo.lock"), sources.join("Cargo.lock"))
        .with_context(|| format!("Cargo.lock cannot be copied to {}", sources.display()))?;
    let mut build = Command::new(tree.target().join("tools/debug/cargo-kmdf"));
    build.args(["kmdf", "build", "--release"]).current_dir(&sources);
    let finished = process::watch(&mut build, progress)?;
    ensure!(finished.status.success(), "{}", finished.tail());

    // It says what it made.
    let made: Vec<&Path> = finished.stdout.lines().map(Path::new).collect();
    let file = |name: &str| made.iter().copied().find(|path| path.ends_with(name));
    let mut tally = Tally::default();
    tally.count(match (file("a_kmdf_driver.inf"), kind) {
        (Some(inf), "kmdf") => wrong_inf(inf)?,
        (None, "wdm") => None,
        (inf, _) => Some(format!("{kind}: the INF is {inf:?}")),
    });
    let sys = file(&format!("a_{kind}_driver.sys")).context("no .sys is named")?;
    let mut lab = Command::new(tree.lab().join("rundown-lab"));
    lab.arg("run").args(options).arg(sys);
    let finished = process::watch(&mut lab, progress)?;
    tally.count((!finished.status.success()).then(|| finished.tail()));
    Ok(tally)
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
