//! `cargo xtask mutate`: planted defects, and whether the lab finds each for the right reason.
//!
//! A mutant is a patch file. It is applied to a copy of the tree, the kit builds that copy's driver, and the lab runs it
//! with the settings that the patch names, once per seed. The sound driver runs with the same settings and seeds: it has
//! to pass them all, and a mutant has to fail nine of ten for its stated reason.

pub(crate) mod copy;
mod outcome;
mod patch;

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use rundown_kit::{
    driver::{self, Artefacts, Profile, Workspace},
    toolchain::Toolchain,
};

pub(crate) use self::outcome::Outcome;
use self::{
    outcome::{Failure, Subject},
    patch::Mutant,
};
use crate::{
    lab::{boot::Boot, judge},
    process,
    progress::Progress,
    tree::Tree,
};

/// Runs the original and the mutants called `names`, or all of them. The original's artefacts are in `target/lab`.
pub(crate) fn run(tree: &Tree, toolchain: &Toolchain, seeds: u64, names: &[String]) -> Result<Outcome> {
    let mutants = chosen(&Mutant::all(&tree.mutants())?, names)?;
    let folder = tree.target().join("mutants");
    let original = artefacts_in(&tree.lab());
    let mut outcome = Outcome::new(seeds);
    for mutant in &mutants {
        let home = folder.join(&mutant.name);
        fs::create_dir_all(&home).with_context(|| format!("{} cannot be made", home.display()))?;
        outcome.add(subject(
            tree,
            mutant,
            None,
            &original,
            &home.join("original"),
            seeds,
        )?);
        let mutated = build(tree, toolchain, mutant, &folder.join("tree"), &home)?;
        outcome.add(subject(
            tree,
            mutant,
            Some(&mutant.name),
            &mutated,
            &home.join("mutant"),
            seeds,
        )?);
    }
    Ok(outcome)
}

fn chosen(all: &[Mutant], names: &[String]) -> Result<Vec<Mutant>> {
    for name in names {
        if !all.iter().any(|mutant| mutant.name == *name) {
            let known: Vec<&str> = all.iter().map(|mutant| mutant.name.as_str()).collect();
            bail!("there is no mutant {name}; there are: {}", known.join(", "));
        }
    }
    let chosen: Vec<Mutant> = all
        .iter()
        .filter(|mutant| names.is_empty() || names.contains(&mutant.name))
        .cloned()
        .collect();
    if chosen.is_empty() {
        bail!("there are no mutants");
    }
    Ok(chosen)
}

fn artefacts_in(folder: &Path) -> Artefacts {
    Artefacts {
        sys: folder.join("rundown.sys"),
        pdb: folder.join("rundown.pdb"),
        inf: folder.join("rundown.inf"),
    }
}

/// Applies the patch to a fresh copy of the tree and builds its driver.
fn build(tree: &Tree, toolchain: &Toolchain, mutant: &Mutant, copy: &Path, to: &Path) -> Result<Artefacts> {
    let progress = Progress::begin_group(format!("building the mutant {}", mutant.name));
    let built = copy::refresh(tree.root(), copy).and_then(|()| {
        let mut patch = Command::new("patch");
        patch
            .args(["--strip=1", "--fuzz=0", "--no-backup-if-mismatch", "--input"])
            .arg(&mutant.file);
        process::succeed(patch.current_dir(copy), &progress)
            .with_context(|| format!("{} does not apply to these sources", mutant.file.display()))?;
        let workspace = Workspace::copy(tree.root(), copy, to);
        Ok(driver::build(&workspace, toolchain, Profile::Release)?)
    });
    match &built {
        Ok(_) => progress.done(""),
        Err(_) => progress.failed(""),
    }
    built
}

/// Runs one driver with the mutant's settings, once per seed.
fn subject(
    tree: &Tree,
    mutant: &Mutant,
    defect: Option<&str>,
    driver: &Artefacts,
    reports: &Path,
    seeds: u64,
) -> Result<Subject> {
    let name = match defect {
        Some(name) => name.to_owned(),
        None => format!("the original, as for {}", mutant.name),
    };
    fs::create_dir_all(reports).with_context(|| format!("{} cannot be made", reports.display()))?;
    let progress = Progress::begin(&name);
    let Artefacts { sys, pdb, inf } = driver;
    let target = format!(
        "{},driver={},pdb={},inf={}",
        mutant.target(),
        sys.display(),
        pdb.display(),
        inf.display()
    );
    let mut subject = Subject::new(name, defect.map(|_| mutant.expect.clone()));
    for seed in 1..=seeds {
        let mut boot = Boot::new(tree, &target, seed, &reports.join(format!("{seed}.json")));
        boot.stress(&mutant.stress, Duration::from_millis(mutant.milliseconds), seed);
        let ran = match boot.run(&progress) {
            Ok(ran) => ran,
            Err(error) => {
                progress.failed("");
                return Err(error);
            }
        };
        let faults = judge::faults(None, &ran.client, &ran.lab);
        if !faults.is_empty() {
            subject.failures.push(Failure {
                seed,
                faults,
                seconds: ran.lab.seconds,
                repeat: boot.line(),
            });
        }
    }
    progress.done(&format!("failed {} of {seeds}", subject.failures.len()));
    Ok(subject)
}
