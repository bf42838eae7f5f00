//! A mutant's patch file: a header of `key: value` lines, then a unified diff against the tree's root.
//!
//! ```text
//! # The releaser reads and writes the flag in two steps, so that its clear and the waiter's can both see a one.
//! expect: LOST_WAKEUP
//! lab: cpus=2,mode=chaos,unparked=1
//! stress: --threads 4 --hold 2000
//! milliseconds: 5000
//! --- a/crates/ex-rundown/src/wait_block.rs
//! ...
//! ```
//!
//! `expect` is what the reason of a failure must contain, or several such texts between bars (`|`). `lab` has the keys of
//! `rundownctl --target lab:`, `stress` the options of `rundownctl stress`, `milliseconds` how long a run may take.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// A planted defect and how it is found.
#[derive(Clone, Debug)]
pub(super) struct Mutant {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) expect: Vec<String>,
    lab: String,
    pub(super) stress: Vec<String>,
    pub(super) milliseconds: u64,
}

impl Mutant {
    /// All patch files of a folder, by name.
    pub(super) fn all(folder: &Path) -> Result<Vec<Self>> {
        let unreadable = || format!("{} cannot be read", folder.display());
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).with_context(unreadable)? {
            let file = entry.with_context(unreadable)?.path();
            if file.extension().is_some_and(|extension| extension == "patch") {
                files.push(file);
            }
        }
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }

    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        Self::parse(file, &text).with_context(|| format!("{} is no mutant", file.display()))
    }

    fn parse(file: &Path, text: &str) -> Result<Self> {
        let name = file
            .file_stem()
            .context("it has no name")?
            .to_string_lossy()
            .into_owned();
        let mut mutant = Self {
            name,
            file: file.into(),
            expect: Vec::new(),
            lab: String::new(),
            stress: Vec::new(),
            milliseconds: 0,
        };
        let mut lines = text.lines();
        for line in &mut lines {
            if line.starts_with("--- ") || line.starts_with("diff ") {
                break;
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line
                .split_once(':')
                .with_context(|| format!("`{line}` is not key: value"))?;
            let value = value.trim();
            match key {
                "expect" => mutant.expect = value.split('|').map(|text| text.trim().to_owned()).collect(),
                "lab" => mutant.lab = value.into(),
                "stress" => mutant.stress = value.split_whitespace().map(str::to_owned).collect(),
                "milliseconds" => mutant.milliseconds = value.parse().context("milliseconds is no number")?,
                _ => bail!("there is no key `{key}`"),
            }
        }
        if mutant.expect.is_empty() || mutant.expect.iter().any(String::is_empty) {
            bail!("it does not say what to expect");
        }
        if mutant.lab.is_empty() || mutant.milliseconds == 0 {
            bail!("it does not say how to run it: lab and milliseconds");
        }
        if !lines.any(|line| line.starts_with("@@ ")) {
            bail!("it changes nothing");
        }
        Ok(mutant)
    }

    /// `rundownctl --target`, but for the driver.
    pub(super) fn target(&self) -> String {
        format!("lab:{}", self.lab)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Why.\nexpect: LOST_WAKEUP | HANG\nlab: cpus=2,mode=chaos\nstress: --threads 4\nmilliseconds: 500\n\
                        --- a/x\n+++ b/x\n@@ -1 +1 @@\n-a: 1\n+b: 2\n";

    fn parse(text: &str) -> Result<Mutant> {
        Mutant::parse(Path::new("mutants/splits.patch"), text)
    }

    #[test]
    fn a_header_is_read() {
        let mutant = parse(GOOD).unwrap();
        assert_eq!(mutant.name, "splits");
        assert_eq!(mutant.expect, ["LOST_WAKEUP", "HANG"]);
        assert_eq!(mutant.target(), "lab:cpus=2,mode=chaos");
        assert_eq!(
            (mutant.stress, mutant.milliseconds),
            (vec!["--threads".into(), "4".into()], 500)
        );
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (from, to, message) in [
            ("expect: LOST_WAKEUP | HANG\n", "", "expect"),
            ("LOST_WAKEUP | HANG", "LOST_WAKEUP |", "expect"),
            ("milliseconds: 500\n", "", "milliseconds"),
            ("500", "soon", "milliseconds"),
            ("stress:", "stres:", "stres"),
            ("@@", "", "nothing"),
        ] {
            let error = format!("{:#}", parse(&GOOD.replace(from, to)).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_mutants_of_this_tree_are_sound() {
        Mutant::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants")).unwrap();
    }
}
