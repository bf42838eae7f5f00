//! A mutant's patch file: a header that says where the defect is found and why, then a unified diff against the tree's root.
//!
//! ```text
//! # The releaser reads and writes the flag in two steps, so that its clear and the waiter's can both see a one.
//! loom: plain_two_holders_asleep
//!   expect: deadlock
//! lab: cpus=2,mode=chaos,unparked=1
//!   stress: --threads 4 --hold 2000
//!   milliseconds: 5000
//!   expect: LOST_WAKEUP
//! conform: - one thread at a time makes steps
//! --- a/crates/ex-rundown/src/wait_block.rs
//! ...
//! ```
//!
//! The three detectors are all there, each with its settings or with `-` and the reason why it cannot see the defect. `loom`
//! names tests of `crates/ex-rundown/tests/loom`, `lab` and `conform` have the keys of `rundownctl --target lab:`, `stress`
//! the options of `rundownctl stress`, `pair` that of `rundownctl conform`. `expect` is what the reason of a failure must
//! contain, or several such texts between bars (`|`).

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
    /// What each detector makes of it, in the order of [`NAMES`].
    pub(super) columns: [Column; 3],
}

/// The detectors, as headers and the table name them.
pub(super) const NAMES: [&str; 3] = ["loom", "lab", "conform"];

/// What one detector makes of a defect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// It finds it.
    Found {
        by: Trial,
        /// What the reason contains, one of these.
        expect: Vec<String>,
    },
    /// It cannot see it, and why.
    Unseen(String),
}

/// A detector with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// Models, by the names of their tests.
    Loom { scenes: Vec<String> },
    /// A stress run in the lab.
    Stress {
        lab: String,
        options: Vec<String>,
        milliseconds: u64,
    },
    /// A comparison in the lab, step by step, with the lab's reference of NT's routines.
    Conform { lab: String, pair: String },
}

/// The lines of one detector.
#[derive(Default)]
struct Section {
    value: String,
    expect: Vec<String>,
    stress: Vec<String>,
    milliseconds: Option<u64>,
    pair: String,
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
        let name = file.file_stem().context("it has no name")?;
        let mut sections: [Option<Section>; 3] = [None, None, None];
        let mut current = None;
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
            if let Some(column) = NAMES.iter().position(|name| *name == key) {
                let section = sections[column].insert(Section::default());
                value.clone_into(&mut section.value);
                current = Some(column);
            } else {
                let section = current.and_then(|column| sections[column].as_mut());
                let section = section.with_context(|| format!("`{key}` belongs to no detector"))?;
                section.set(key.trim(), value)?;
            }
        }
        let mut columns = Vec::new();
        for (name, section) in NAMES.into_iter().zip(sections) {
            let section = section.with_context(|| format!("it says nothing about {name}"))?;
            columns.push(section.column(name).with_context(|| name.to_owned())?);
        }
        let columns: [Column; 3] = columns.try_into().ok().context("there are three detectors")?;
        if columns.iter().all(|column| matches!(column, Column::Unseen(_))) {
            bail!("nothing finds it");
        }
        if !lines.any(|line| line.starts_with("@@ ")) {
            bail!("it changes nothing");
        }
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            file: file.into(),
            columns,
        })
    }
}

impl Section {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "expect" => self.expect = value.split('|').map(|text| text.trim().to_owned()).collect(),
            "stress" => self.stress = words(value),
            "milliseconds" => self.milliseconds = Some(value.parse().context("milliseconds is no number")?),
            "pair" => value.clone_into(&mut self.pair),
            _ => bail!("there is no key `{key}`"),
        }
        Ok(())
    }

    fn column(self, detector: &str) -> Result<Column> {
        if let Some(reason) = self.value.strip_prefix('-') {
            let reason = reason.trim();
            if reason.is_empty() {
                bail!("it does not say why the defect cannot be seen");
            }
            return Ok(Column::Unseen(reason.to_owned()));
        }
        if self.expect.is_empty() || self.expect.iter().any(String::is_empty) {
            bail!("it does not say what to expect");
        }
        if self.value.is_empty() {
            bail!("it does not say what to run");
        }
        let by = match detector {
            "loom" => Trial::Loom {
                scenes: words(&self.value),
            },
            "lab" => Trial::Stress {
                lab: self.value,
                options: self.stress,
                milliseconds: self
                    .milliseconds
                    .context("it does not say how many milliseconds a run may take")?,
            },
            _ if self.pair.is_empty() => bail!("it does not say which pair"),
            _ => Trial::Conform {
                lab: self.value,
                pair: self.pair,
            },
        };
        Ok(Column::Found {
            by,
            expect: self.expect,
        })
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Why.\nloom: one two\n  expect: deadlock | Causality\nlab: cpus=2,mode=chaos\n  \
                        stress: --threads 4\n  milliseconds: 500\n  expect: LOST_WAKEUP\nconform: - no second thread\n\
                        --- a/x\n+++ b/x\n@@ -1 +1 @@\n-a: 1\n+b: 2\n";

    fn parse(text: &str) -> Result<Mutant> {
        Mutant::parse(Path::new("mutants/splits.patch"), text)
    }

    #[test]
    fn a_header_is_read() {
        let mutant = parse(GOOD).unwrap();
        assert_eq!(mutant.name, "splits");
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let [loom, lab, conform] = mutant.columns;
        assert_eq!(
            loom,
            Column::Found {
                by: Trial::Loom {
                    scenes: texts(&["one", "two"])
                },
                expect: texts(&["deadlock", "Causality"]),
            }
        );
        assert_eq!(
            lab,
            Column::Found {
                by: Trial::Stress {
                    lab: "cpus=2,mode=chaos".into(),
                    options: texts(&["--threads", "4"]),
                    milliseconds: 500,
                },
                expect: texts(&["LOST_WAKEUP"]),
            }
        );
        assert_eq!(conform, Column::Unseen("no second thread".into()));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (from, to, message) in [
            ("  expect: LOST_WAKEUP\n", "", "expect"),
            ("deadlock | Causality", "deadlock |", "expect"),
            ("  milliseconds: 500\n", "", "milliseconds"),
            ("500", "soon", "milliseconds"),
            ("stress:", "stres:", "stres"),
            ("- no second thread", "-", "why"),
            ("- no second thread", "cpus=2\n  expect: difference", "pair"),
            ("conform: - no second thread\n", "", "nothing about conform"),
            ("loom: one two\n", "", "no detector"),
            ("cpus=2,mode=chaos", "", "what to run"),
            ("@@", "", "changes nothing"),
        ] {
            let error = format!("{:#}", parse(&GOOD.replace(from, to)).unwrap_err());
            assert!(error.contains(message), "{from}: {error}");
        }
        let unseen = "loom: - a\nlab: - b\nconform: - c\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n";
        assert_eq!(parse(unseen).unwrap_err().to_string(), "nothing finds it");
    }

    #[test]
    fn the_mutants_of_this_tree_are_sound() {
        Mutant::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants")).unwrap();
    }
}
