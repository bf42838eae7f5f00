//! `cargo xtask mutate`: planted defects, and whether each is found by what has to find it, for the right reason.
//!
//! A mutant is a patch file. It is applied to a copy of the tree; the models run there, the kit builds that copy's driver,
//! and the lab runs it under stress and against its reference, with the settings that the patch names, once per seed. The
//! sound sources go through the same: they have to pass it all, and a mutant has to fail nine of ten for its stated reason.

mod boots;
pub(crate) mod by_rule;
pub(crate) mod copy;
mod loom;
mod outcome;
mod patch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use rundown_kit::{
    driver::{self, Artefacts, Profile, Workspace},
    toolchain::Toolchain,
};

pub(crate) use self::outcome::Outcome;
use self::{
    boots::Subject,
    outcome::{Cause, Runs},
    patch::{Column, Mutant, Trial},
};
use crate::{exit, process, progress::Progress, tree::Tree};

/// Runs the original and the mutants called `names`, or all of them. The original's artefacts are in `target/lab`.
pub(crate) fn run(tree: &Tree, toolchain: &Toolchain, seeds: u64, names: &[String]) -> Result<Outcome> {
    let mutants = chosen(tree, names)?;
    let bench = Bench {
        tree,
        toolchain,
        seeds,
        folder: tree.target().join("mutants"),
    };
    let mut outcome = Outcome::default();
    bench.originals(&mutants, &mut outcome)?;
    for mutant in &mutants {
        outcome.add(mutant.name.clone(), bench.mutant(mutant)?);
    }
    // It was patched; whoever looks at it next is not to wonder.
    copy::refresh(tree.root(), &bench.copy())?;
    Ok(outcome)
}

/// The mutants called `names`, by the models alone: no driver is built. What is wrong with each, if anything.
pub(crate) fn by_models(tree: &Tree, names: &[String]) -> Result<Vec<Option<String>>> {
    let folder = tree.target().join("mutants");
    let copy = folder.join("tree");
    let mut faults = Vec::new();
    for mutant in chosen(tree, names)? {
        let [Column::Found { by, expect }, ..] = &mutant.columns else {
            bail!("no model finds {}", mutant.name);
        };
        let Trial::Loom { scenes } = by else {
            bail!("the first detector is loom");
        };
        plant(tree, &copy, &mutant)?;
        let progress = Progress::begin(format!("{}, {}", mutant.name, settings(by)));
        let runs = loom::run(scenes, &copy, &tree.target().join("loom"), &progress);
        match &runs {
            Ok(_) => progress.done(""),
            Err(_) => progress.failed(""),
        }
        faults.push(runs?.fault(expect).map(|why| format!("{}: {why}", mutant.name)));
    }
    copy::refresh(tree.root(), &copy)?;
    Ok(faults)
}

/// Applies the patch to a fresh copy of the tree.
fn plant(tree: &Tree, copy: &Path, mutant: &Mutant) -> Result<()> {
    copy::refresh(tree.root(), copy)?;
    let progress = Progress::begin(format!("planting {}", mutant.name));
    let mut patch = Command::new("patch");
    patch
        .args(["--strip=1", "--fuzz=0", "--no-backup-if-mismatch", "--input"])
        .arg(&mutant.file);
    process::succeed(patch.current_dir(copy), &progress)
        .with_context(|| format!("{} does not apply to these sources", mutant.file.display()))?;
    progress.done("");
    Ok(())
}

/// Looks for the mutants of these names, before anything is built for them.
///
/// # Errors
/// Bad input, if there is none of a name.
pub(crate) fn check(tree: &Tree, names: &[String]) -> Result<()> {
    chosen(tree, names).map(drop)
}

fn chosen(tree: &Tree, names: &[String]) -> Result<Vec<Mutant>> {
    let mut all = Mutant::all(&tree.mutants())?;
    if let Some(name) = names
        .iter()
        .find(|name| !all.iter().any(|mutant| mutant.name == **name))
    {
        let known: Vec<&str> = all.iter().map(|mutant| mutant.name.as_str()).collect();
        return Err(exit::bad_input(format!(
            "there is no mutant {name}, and no part of the product; there are the mutants {}",
            known.join(", ")
        )));
    }
    all.retain(|mutant| names.is_empty() || names.contains(&mutant.name));
    if all.is_empty() {
        bail!("there are no mutants");
    }
    Ok(all)
}

/// Where mutants are made and tried.
struct Bench<'a> {
    tree: &'a Tree,
    toolchain: &'a Toolchain,
    seeds: u64,
    folder: PathBuf,
}

impl Bench<'_> {
    fn copy(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The sound sources, once with each setting that a mutant names.
    fn originals(&self, mutants: &[Mutant], outcome: &mut Outcome) -> Result<()> {
        copy::refresh(self.tree.root(), &self.copy())?;
        let lab = self.tree.lab();
        let sound = Artefacts {
            sys: lab.join("rundown.sys"),
            pdb: lab.join("rundown.pdb"),
            inf: lab.join("rundown.inf"),
        };
        let reports = self.folder.join("original");
        let mut done: Vec<&Trial> = Vec::new();
        for (detector, column) in mutants.iter().flat_map(|mutant| (0..).zip(&mutant.columns)) {
            let Column::Found { by, .. } = column else {
                continue;
            };
            if done.contains(&by) {
                continue;
            }
            let settings = settings(by);
            let runs = self.tried(&format!("the original, {settings}"), by, Some(&sound), &reports)?;
            outcome.add_original(detector, settings, runs);
            done.push(by);
        }
        Ok(())
    }

    /// Plants one defect, and tries each detector that has to find it.
    fn mutant(&self, mutant: &Mutant) -> Result<[Cause; 3]> {
        let home = self.folder.join(&mutant.name);
        let in_lab =
            |column: &Column| matches!(column, Column::Found { by, .. } if !matches!(by, Trial::Loom { .. }));
        plant(self.tree, &self.copy(), mutant)?;
        let driver = if mutant.columns.iter().any(in_lab) {
            Some(self.build(mutant, &home)?)
        } else {
            None
        };
        let mut causes = Vec::new();
        for column in &mutant.columns {
            causes.push(match column {
                Column::Unseen(reason) => Cause::Unseen(reason.clone()),
                Column::Found { by, expect } => {
                    let name = format!("{}, {}", mutant.name, settings(by));
                    let runs = self.tried(&name, by, driver.as_ref(), &home)?;
                    Cause::Tried(runs, expect.clone())
                }
            });
        }
        causes.try_into().ok().context("there are three detectors")
    }

    fn build(&self, mutant: &Mutant, to: &Path) -> Result<Artefacts> {
        fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
        let progress = Progress::begin_group(format!("building the driver with {}", mutant.name));
        let workspace = Workspace::copy(self.tree.root(), &self.copy(), to);
        let built = driver::build(&workspace, self.toolchain, Profile::Release);
        match &built {
            Ok(_) => progress.done(""),
            Err(_) => progress.failed(""),
        }
        Ok(built?)
    }

    /// Runs one detector on what is planted.
    fn tried(&self, name: &str, by: &Trial, driver: Option<&Artefacts>, reports: &Path) -> Result<Runs> {
        fs::create_dir_all(reports).with_context(|| format!("{} cannot be made", reports.display()))?;
        let progress = Progress::begin(name);
        let subject = || {
            Ok::<_, anyhow::Error>(Subject {
                tree: self.tree,
                driver: driver.context("no driver was built for the lab")?,
                reports,
                seeds: self.seeds,
            })
        };
        let runs = match by {
            Trial::Loom { scenes } => {
                loom::run(scenes, &self.copy(), &self.tree.target().join("loom"), &progress)
            }
            Trial::Stress {
                lab,
                options,
                milliseconds,
            } => subject().and_then(|subject| subject.stress(lab, options, *milliseconds, &progress)),
            Trial::Conform { lab, pair } => {
                subject().and_then(|subject| subject.conform(lab, pair, &progress))
            }
        };
        match &runs {
            Ok(runs) => progress.done(&format!("failed {} of {}", runs.failures.len(), runs.count)),
            Err(_) => progress.failed(""),
        }
        runs
    }
}

/// A detector and its settings in a few words.
fn settings(by: &Trial) -> String {
    match by {
        Trial::Loom { scenes } => format!("loom: {}", scenes.join(" ")),
        Trial::Stress { lab, options, .. } => format!("stress: {lab} {}", options.join(" ")),
        Trial::Conform { lab, pair } => format!("conform: {lab} {pair}"),
    }
}
