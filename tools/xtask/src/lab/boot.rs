//! One boot of the lab, through the driver's client.

use std::{fs, path::Path, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use super::report::{Client, Lab};
use crate::{process, progress::Progress, tree::Tree};

/// A path as the value of a key of `rundownctl --target lab:`, where a comma is doubled.
pub(crate) fn value(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// A boot that is about to be made.
pub(crate) struct Boot {
    command: Command,
    report: PathBuf,
}

/// What came of it.
pub(crate) struct Outcome {
    /// What the driver's client says.
    pub(crate) client: Client,
    /// What the lab says.
    pub(crate) lab: Lab,
    /// What both told people.
    pub(crate) messages: String,
}

impl Boot {
    /// A boot of the machine that `target` describes (see `rundownctl --help`).
    pub(crate) fn new(tree: &Tree, target: &str, seed: u64, report: &Path) -> Self {
        let mut command = Command::new(tree.lab().join("rundownctl"));
        command.args([
            "--target",
            &format!("{target},seed={seed},report={}", value(report)),
        ]);
        Self {
            command,
            report: report.into(),
        }
    }

    /// Makes it a stress run.
    pub(crate) fn stress(&mut self, options: &[String], duration: Duration, seed: u64) {
        self.command.args([
            "stress",
            "--json",
            "--duration",
            &duration.as_millis().to_string(),
        ]);
        self.command.args(["--seed", &seed.to_string()]).args(options);
    }

    /// The command that repeats it.
    pub(crate) fn line(&self) -> String {
        process::line(&self.command)
    }

    /// Boots, runs to the end, and reads both sides' accounts. A driver that fails is an outcome; a lab that cannot be
    /// started or fails by itself is an error.
    pub(crate) fn run(&mut self, progress: &Progress) -> Result<Outcome> {
        // A report of an earlier boot must not be taken for this one's.
        if self.report.exists() {
            fs::remove_file(&self.report)
                .with_context(|| format!("{} cannot be removed", self.report.display()))?;
        }
        let finished = process::watch(&mut self.command, progress)?;
        let client: Client = serde_json::from_str(&finished.stdout)
            .with_context(|| format!("`{}` printed no JSON but:\n{}", self.line(), finished.tail()))?;
        if let Some(error) = &client.error
            && matches!(error.kind.as_str(), "unreachable" | "protocol" | "usage")
        {
            bail!("`{}`:\n{}", self.line(), finished.tail());
        }
        let lab =
            Lab::read(&self.report).with_context(|| format!("`{}`:\n{}", self.line(), finished.tail()))?;
        Ok(Outcome {
            client,
            lab,
            messages: finished.stderr,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::scenario::{Arm, Scenario};

    /// A comma separates the keys of a target, so in a path it is doubled.
    #[test]
    fn a_tree_and_a_listing_may_have_a_comma_in_their_paths() {
        let scenario = Scenario::all(2, Arm::Nt)[0];
        let target = scenario.target(Some(Path::new("/Müller, b/nt.txt")));
        assert!(target.contains(",native=/Müller,, b/nt.txt"), "{target}");
        let boot = Boot::new(
            &Tree::at("/a, b"),
            &target,
            1,
            Path::new("/a, b/target/lab/reports/x.json"),
        );
        let line = boot.line();
        assert!(
            line.contains(",report=/a,, b/target/lab/reports/x.json"),
            "{line}"
        );
    }
}
