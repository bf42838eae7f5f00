//! The crates that are published: packed as `cargo publish` packs them, built from their archives, and their examples run where the archive
//! alone lies.
//!
//! `cargo publish` asks a registry besides whether it has what they depend on, so `ex-rundown` has to be there before `ex-rundown-nt`.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use rundown_kit::toolchain;

use super::{
    deep,
    steps::tests,
    tally::{Gate, Tally},
};
use crate::{
    build, process,
    progress::Progress,
    setup::{self, host_cargo},
    tree::Tree,
};

/// A crate after those that it depends on.
pub(super) const PUBLISHED: [&str; 2] = ["ex-rundown", "ex-rundown-nt"];

/// What an archive has besides its sources.
const READ_BY_PEOPLE: [&str; 3] = ["README.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// `all` also gets the oldest Rust, where it is not there.
pub(super) fn steps(gate: &mut Gate, tree: &Tree, all: bool) {
    gate.step("packages", |progress| {
        pack(tree, progress)?;
        let mut tally = Tally::default();
        for name in PUBLISHED {
            let listed =
                process::succeed(Command::new("tar").arg("tzf").arg(archive(tree, name)), progress)?.stdout;
            for file in READ_BY_PEOPLE {
                let there = listed
                    .lines()
                    .any(|line| line.split_once('/').is_some_and(|(_, path)| path == file));
                tally.count((!there).then(|| format!("{name} is packed without {file}")));
            }
        }
        Ok(tally)
    });
    gate.step("packages, alone", |progress| {
        // Outside the tree, whose workspace and configuration an archive does not have.
        let folder = env::temp_dir().join(format!("rundown-packages-{}", std::process::id()));
        let tally = examples(tree, &folder, progress);
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
        tally
    });
    let name = format!("packages, Rust {}", setup::OLDEST);
    if all || !gate.asks_for(&name) || setup::has_oldest() {
        gate.step(name, |progress| {
            setup::ensure_oldest()?;
            let mut command = Command::new("rustup");
            command.args(["run", setup::OLDEST, "cargo", "check"]);
            command.args(PUBLISHED.iter().flat_map(|name| ["--package", name]));
            build::in_workspace(&mut command, tree.root(), &tree.target().join("oldest"));
            toolchain::clear_settings(&mut command);
            deep::without_toolchain(&mut command);
            Ok(Tally::of_program(&process::watch(&mut command, progress)?))
        });
    } else {
        let install = format!("rustup toolchain install {} --profile minimal", setup::OLDEST);
        gate.not_run(name, &format!("it is not installed ({install})"));
    }
}

/// Packs them.
pub(super) fn pack(tree: &Tree, progress: &Progress) -> Result<()> {
    let mut command = host_cargo();
    // cargo's own verification would take the crate that another depends on from where it unpacked an earlier archive of that version.
    command.args(["package", "--allow-dirty", "--no-verify"]);
    command.args(PUBLISHED.iter().flat_map(|name| ["--package", name]));
    build::in_workspace(&mut command, tree.root(), &tree.target());
    process::succeed(&mut command, progress).map(drop)
}

/// Unpacks one into `folder`, in a folder of [its own](unpacked).
pub(super) fn unpack(tree: &Tree, name: &str, folder: &Path, progress: &Progress) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut command = Command::new("tar");
    // With the time of now: the files of all archives have the same, by which cargo would take an earlier build for this one's.
    command.arg("xzmf").arg(archive(tree, name)).arg("-C").arg(folder);
    process::succeed(&mut command, progress).map(drop)
}

fn archive(tree: &Tree, name: &str) -> std::path::PathBuf {
    tree.target()
        .join("package")
        .join(unpacked(name))
        .with_added_extension("crate")
}

/// The folder in an archive: the crate's name and version.
pub(super) fn unpacked(name: &str) -> String {
    // The tools have the version of the crates: both take the workspace's, which a release changes together.
    format!("{name}-{}", env!("CARGO_PKG_VERSION"))
}

fn examples(tree: &Tree, folder: &Path, progress: &Progress) -> Result<Tally> {
    let mut sum = Tally::default();
    for name in PUBLISHED {
        unpack(tree, name, folder, progress)?;
        let package = folder.join(unpacked(name));
        let manifest = package.join("Cargo.toml");
        let text = fs::read_to_string(&manifest)
            .with_context(|| format!("{} cannot be read", manifest.display()))?;
        // So no example needs what only the tests do, which are not packed.
        fs::write(&manifest, without_dev_dependencies(&text))
            .with_context(|| format!("{} cannot be written", manifest.display()))?;
        let mut command = host_cargo();
        command.args(["test", "--doc", "--target-dir"]);
        command.arg(tree.target().join("packed")).current_dir(&package);
        for before in PUBLISHED.iter().take_while(|before| **before != name) {
            let path = folder.join(unpacked(before));
            command
                .arg("--config")
                .arg(format!("patch.crates-io.{before}.path='{}'", path.display()));
        }
        let tally = tests(&mut command, progress)?;
        sum.passed += tally.passed;
        sum.ignored.extend(tally.ignored);
        sum.failures.extend(tally.failures);
    }
    Ok(sum)
}

/// A manifest as cargo normalises it, without the tables that only tests and benchmarks need.
fn without_dev_dependencies(manifest: &str) -> String {
    let mut kept = true;
    let mut text = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            kept = !line.contains("dev-dependencies") && !line.starts_with("[[");
        }
        if kept {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[test]
fn dev_dependencies_go_and_nothing_else() {
    let manifest = "[package]\nname = \"a\"\n[dev-dependencies]\nb = \"1\"\n[target.'cfg(x)'.dev-dependencies.c]\nversion = \"1\"\n\
                    [[bench]]\nname = \"d\"\n[dependencies.e]\nversion = \"2\"\n";
    assert_eq!(
        without_dev_dependencies(manifest),
        "[package]\nname = \"a\"\n[dependencies.e]\nversion = \"2\"\n"
    );
}
