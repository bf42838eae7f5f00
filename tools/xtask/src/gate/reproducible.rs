//! The same sources give the same driver, wherever they and cargo's registry lie: two clean builds, byte for byte.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rundown_kit::{
    driver::{self, Profile, Workspace},
    toolchain::{Toolchain, cargo_home},
};

use super::tally::Tally;
use crate::{mutate::copy, tree::Tree};

/// Builds twice and compares the driver and its PDB.
pub(super) fn driver(tree: &Tree, toolchain: &Toolchain) -> Result<Tally> {
    let folder = tree.target().join("reproducible");
    remove(&folder)?;
    // wdk-build looks for Cargo.lock in the folders above its own, so both lie in the tree; their names have other lengths.
    let here = folder.join("here");
    let elsewhere = folder.join("some/where/else");
    let home = folder.join("cargo home");
    copy_registry(&home)?;

    let first = build(tree, toolchain, &here, None)?;
    let second = build(tree, toolchain, &elsewhere, Some(&home))?;
    let mut tally = Tally::default();
    for (name, first, second) in [
        ("rundown.sys", &first.sys, &second.sys),
        ("rundown.pdb", &first.pdb, &second.pdb),
        ("rundown.inf", &first.inf, &second.inf),
    ] {
        let differs = read(first)? != read(second)?;
        tally.count(differs.then(|| {
            format!(
                "{name} differs: compare {} with {}",
                first.display(),
                second.display()
            )
        }));
    }
    if tally.failures.is_empty() {
        remove(&folder)?;
    }
    Ok(tally)
}

fn build(
    tree: &Tree,
    toolchain: &Toolchain,
    sources: &Path,
    home: Option<&PathBuf>,
) -> Result<driver::Artefacts> {
    copy::refresh(tree.root(), sources)?;
    let workspace = Workspace::copy(tree.root(), sources, &sources.join("artefacts"));
    let workspace = match home {
        Some(home) => workspace.with_cargo_home(home),
        None => workspace,
    };
    Ok(driver::build(&workspace, toolchain, Profile::Release)?)
}

/// A folder for cargo with what is downloaded already; the sources are unpacked anew.
fn copy_registry(home: &Path) -> Result<()> {
    let from = cargo_home().context("there is neither CARGO_HOME nor HOME")?;
    for part in ["registry/index", "registry/cache"] {
        copy::refresh(&from.join(part), &home.join(part))?;
    }
    for settings in ["config.toml", "config"] {
        if from.join(settings).is_file() {
            fs::copy(from.join(settings), home.join(settings))
                .with_context(|| format!("{settings} cannot be copied to {}", home.display()))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}
