//! A driver in the lab, once per seed: under stress, or compared with the lab's reference step by step.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use rundown_kit::driver::Artefacts;
use serde::Deserialize;

use super::outcome::{Failure, Runs};
use crate::{
    lab::{
        boot::{Boot, value},
        judge,
        report::Lab,
    },
    process,
    progress::Progress,
    tree::Tree,
};

/// Steps of each comparison. A defect that shows itself does so in the first hundred.
const STEPS: &str = "10000";
/// `rundownctl`'s exit codes: done; a difference; the driver failed.
const JUDGED: [i32; 3] = [0, 1, 5];

/// A driver, and where the lab's reports of it go.
pub(super) struct Subject<'a> {
    pub(super) tree: &'a Tree,
    pub(super) driver: &'a Artefacts,
    pub(super) reports: &'a Path,
    pub(super) seeds: u64,
}

impl Subject<'_> {
    fn target(&self, lab: &str) -> String {
        let Artefacts { sys, pdb, inf } = self.driver;
        format!(
            "lab:{lab},driver={},pdb={},inf={}",
            value(sys),
            value(pdb),
            value(inf)
        )
    }

    /// Stress runs with the seeds 1 to `seeds`.
    pub(super) fn stress(
        &self,
        lab: &str,
        options: &[String],
        milliseconds: u64,
        progress: &Progress,
    ) -> Result<Runs> {
        let mut runs = Runs::new(self.seeds);
        for seed in 1..=self.seeds {
            let report = self.reports.join(format!("stress-{seed}.json"));
            let mut boot = Boot::new(self.tree, &self.target(lab), seed, &report);
            boot.stress(options, Duration::from_millis(milliseconds), seed);
            let ran = boot.run(progress)?;
            let faults = judge::faults(None, &ran.client, &ran.lab);
            if !faults.is_empty() {
                runs.failures.push(Failure {
                    seed,
                    faults,
                    seconds: Some(ran.lab.seconds),
                    repeat: boot.line(),
                });
            }
        }
        Ok(runs)
    }

    /// Comparisons of a pair, with the seeds 1 to `seeds`.
    pub(super) fn conform(&self, lab: &str, pair: &str, progress: &Progress) -> Result<Runs> {
        let mut runs = Runs::new(self.seeds);
        for seed in 1..=self.seeds {
            let report = self.reports.join(format!("conform-{seed}.json"));
            if report.exists() {
                // An earlier boot's must not be taken for this one's.
                fs::remove_file(&report)
                    .with_context(|| format!("{} cannot be removed", report.display()))?;
            }
            let mut command = Command::new(self.tree.lab().join("rundownctl"));
            let target = format!("{},seed={seed},report={}", self.target(lab), value(&report));
            command.args(["--target", &target, "conform", "--json"]);
            command.args(["--pair", pair, "--steps", STEPS, "--seed", &seed.to_string()]);
            let finished = process::watch(&mut command, progress)?;
            if !finished.status.code().is_some_and(|code| JUDGED.contains(&code)) {
                bail!("`{}`:\n{}", process::line(&command), finished.tail());
            }
            let lab = Lab::read(&report).with_context(|| process::line(&command))?;
            let faults = comparison_faults(&finished.stdout, &lab)?;
            if !faults.is_empty() {
                runs.failures.push(Failure {
                    seed,
                    faults,
                    seconds: Some(lab.seconds),
                    repeat: process::line(&command),
                });
            } else if !finished.status.success() {
                bail!("`{}`:\n{}", process::line(&command), finished.tail());
            }
        }
        Ok(runs)
    }
}

/// `rundownctl conform --json`, of which nothing is there when the driver died.
#[derive(Deserialize)]
struct Comparison {
    #[serde(default)]
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    differences: u32,
    trace: Vec<String>,
}

fn comparison_faults(stdout: &str, lab: &Lab) -> Result<Vec<String>> {
    let comparison: Comparison =
        serde_json::from_str(stdout).with_context(|| format!("rundownctl printed no JSON but:\n{stdout}"))?;
    let differing = comparison.pairs.iter().filter(|pair| pair.differences > 0);
    let mut faults: Vec<String> = differing
        .map(|pair| {
            let last = pair.trace.last().map_or("", |step| step.as_str());
            format!("difference: {}", last.lines().next().unwrap_or(last))
        })
        .collect();
    if let Some(bugcheck) = &lab.bugcheck {
        faults.push(format!(
            "bugcheck {} {}: {}",
            bugcheck.code, bugcheck.name, bugcheck.text
        ));
    }
    if lab.leaks > 0 {
        faults.push(format!("the driver left {} thing(s) behind", lab.leaks));
    }
    if !lab.passed && faults.is_empty() {
        faults.push("the lab failed the boot and gives no reason".into());
    }
    Ok(faults)
}
