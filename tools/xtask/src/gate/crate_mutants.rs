//! cargo-mutants over the primitive and over the stress engine: what their tests let pass has to be what is listed, with the reason, beside it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use crate::{
    process,
    progress::Progress,
    setup::{self, host_cargo},
    tree::Tree,
};

/// The lists beside a crate: what survives, what only loom catches, what may loop.
const LISTS: &str = "mutants.txt";

/// A crate whose mutants are judged.
pub(super) struct Subject {
    package: &'static str,
    /// The files with its mutants; all, if none is named.
    files: &'static [&'static str],
    /// Whether loom has models of it.
    has_models: bool,
}

pub(super) const PRIMITIVE: Subject = Subject {
    package: "ex-rundown",
    files: &[],
    has_models: true,
};

/// What holders and owner do, and what is counted of it: the evidence that a run gives.
pub(super) const ENGINE: Subject = Subject {
    package: "rundown-stress",
    files: &[
        "batches.rs",
        "canary.rs",
        "counters.rs",
        "hand_off.rs",
        "owner.rs",
        "pairs.rs",
        "sampler.rs",
        "stage.rs",
        "stall.rs",
        "storm.rs",
    ],
    has_models: false,
};

impl Subject {
    fn folder(&self, tree: &Tree) -> PathBuf {
        tree.root().join("crates").join(self.package)
    }
}

/// Of the mutants that compile, one in so many may survive.
const ONE_IN: usize = 20;

/// Runs every mutant against the unit and integration tests, and what they let pass against loom's models, if there are any.
pub(super) fn judge(subject: &Subject, tree: &Tree, progress: &Progress) -> Result<Tally> {
    setup::ensure_cargo_mutants()?;
    let lists = subject.folder(tree).join(LISTS);
    let lists = fs::read_to_string(&lists).with_context(|| format!("cannot read {}", lists.display()))?;
    let expected = Expected::read(&lists)?;
    let by_tests = run(subject, tree, progress, "tests", |command| {
        for file in subject.files {
            command.args(["--file", file]);
        }
        // Long sequences of the oracle's find nothing more in one mutant than short ones in many.
        command
            .args(["--minimum-test-timeout", "30", "--", "--lib", "--tests"])
            .env("PROPTEST_CASES", "64");
    })?;
    let by_loom = if by_tests.missed.is_empty() || !subject.has_models {
        Outcome {
            missed: by_tests.missed.clone(),
            ..Outcome::default()
        }
    } else {
        run(subject, tree, progress, "loom", |command| {
            for name in &by_tests.missed {
                command.args(["--re", &exactly(name)]);
            }
            command
                .args(["--timeout", "1200", "--", "--release", "--test", "loom"])
                .env("RUSTFLAGS", "--cfg ex_rundown_loom");
        })?
    };
    Ok(expected.compare(&by_tests, &by_loom))
}

/// One run of cargo-mutants, in a copy of the tree that it makes by itself.
fn run(
    subject: &Subject,
    tree: &Tree,
    progress: &Progress,
    stage: &str,
    options: impl FnOnce(&mut Command),
) -> Result<Outcome> {
    let output = tree
        .target()
        .join("cargo-mutants")
        .join(subject.package)
        .join(stage);
    fs::create_dir_all(&output).with_context(|| format!("{} cannot be made", output.display()))?;
    let mut command = host_cargo();
    command.current_dir(tree.root());
    command.args([
        "mutants",
        "--package",
        subject.package,
        "--colors",
        "never",
        "--no-shuffle",
    ]);
    command.args(["--cargo-arg", "--locked", "--output"]).arg(&output);
    // Many a mutant hangs until its time-out; another has the processor meanwhile.
    command.args(["--jobs", "2"]);
    // Nobody debugs a mutant.
    command
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_TEST_DEBUG", "0");
    options(&mut command);
    let finished = process::watch_within(process::HOURS, &mut command, progress)?;
    // 2: some survive; 3: some ran into the time-out. Those are judged here.
    if !matches!(finished.status.code(), Some(0 | 2 | 3)) {
        bail!(
            "`{}` failed ({}):\n{}",
            process::line(&command),
            finished.status,
            finished.tail()
        );
    }
    Outcome::read(&output.join("mutants.out"))
}

/// A regular expression for this text and no other.
fn exactly(text: &str) -> String {
    let escaped: String = text
        .chars()
        .flat_map(|c| {
            // What has a meaning in an expression; `\<` would be the beginning of a word.
            let escape = r"\.+*?()|[]{}^$".contains(c);
            escape.then_some('\\').into_iter().chain([c])
        })
        .collect();
    format!("^{escaped}$")
}

/// What became of the mutants, as cargo-mutants names them.
#[derive(Debug, Default)]
struct Outcome {
    caught: Vec<String>,
    missed: Vec<String>,
    timed_out: Vec<String>,
}

impl Outcome {
    fn read(folder: &Path) -> Result<Self> {
        let names = |file: &str| -> Result<Vec<String>> {
            let path = folder.join(file);
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            caught: names("caught.txt")?,
            missed: names("missed.txt")?,
            timed_out: names("timeout.txt")?,
        })
    }
}

/// A mutant's name without folder, line and column: `file.rs: replace ...`.
fn short(name: &str) -> String {
    let Some((place, what)) = name.split_once(": ") else {
        return name.to_owned();
    };
    let file = place.split(':').next().unwrap_or(place);
    let file = file.rsplit('/').next().unwrap_or(file);
    format!("{file}: {what}")
}

/// How often each short name occurs: one function may have the same operator twice.
fn counted<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(short(name)).or_default() += 1;
    }
    counts
}

/// The lists.
#[derive(Debug, Default)]
struct Expected {
    equivalent: Vec<String>,
    loom: Vec<String>,
    loops: Vec<String>,
}

impl Expected {
    fn read(text: &str) -> Result<Self> {
        let mut expected = Self::default();
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
                continue;
            }
            // The reason is after the last: a mutant's name may have the sign.
            let Some((mutant, why)) = line.rsplit_once(" = ") else {
                bail!("{LISTS}: `{line}` has no reason: write `MUTANT = WHY`");
            };
            if why.is_empty() {
                bail!("{LISTS}: `{mutant}` has no reason");
            }
            let list = match section {
                "equivalent" => &mut expected.equivalent,
                "loom" => &mut expected.loom,
                "loops" => &mut expected.loops,
                _ => bail!("{LISTS}: `{line}` is in no section that is known: `[{section}]`"),
            };
            list.push(mutant.to_owned());
        }
        Ok(expected)
    }

    /// Every mutant that was caught counts as passed; whatever is not as listed has failed.
    fn compare(&self, by_tests: &Outcome, by_loom: &Outcome) -> Tally {
        let viable = by_tests.caught.len() + by_tests.missed.len() + by_tests.timed_out.len();
        let mut tally = Tally {
            passed: (by_tests.caught.len() + by_loom.caught.len()) as u64,
            ..Tally::default()
        };
        if viable == 0 {
            tally.failures.push("there was no mutant that compiles".into());
        }
        let survivors = &by_loom.missed;
        if survivors.len() * ONE_IN > viable {
            tally.failures.push(format!(
                "{} of {viable} mutants survive, more than one in {ONE_IN}",
                survivors.len()
            ));
        }
        tally
            .failures
            .extend(differences(&self.equivalent, survivors, "survives"));
        // A model that no longer ends has caught it as well.
        let only_by_loom = by_loom.caught.iter().chain(&by_loom.timed_out);
        tally
            .failures
            .extend(differences(&self.loom, only_by_loom, "is caught by loom alone"));
        for name in &by_tests.timed_out {
            let name = short(name);
            let may_loop = |entry: &String| {
                entry
                    .split_once(": ")
                    .is_some_and(|(file, function)| name.starts_with(file) && name.contains(function))
            };
            tally.count(
                (!self.loops.iter().any(may_loop)).then(|| {
                    format!("{name}: ran into the time-out, and is not listed as one that may loop")
                }),
            );
        }
        tally
    }
}

fn differences<'a>(
    listed: &[String],
    found: impl IntoIterator<Item = &'a String>,
    what: &str,
) -> Vec<String> {
    let found = counted(found);
    let unlisted = found.keys().filter(|name| !listed.contains(name)).map(|name| {
        format!("{name}: {what}, and is not listed: kill it by a test, or list it in {LISTS} with the reason")
    });
    let gone = listed
        .iter()
        .filter(|name| !found.contains_key(*name))
        .map(|name| format!("{name}: is listed in {LISTS}, but it no longer {what}: take it out"));
    unlisted.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# why\n[equivalent]\na.rs: replace | with ^ in f = bit 0 is clear\n[loom]\nb.rs: replace g with () = two threads\n\
                        [loops]\nc.rs: spin = a loop\n";

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("crates/x/src/{name}")).collect()
    }

    fn failures(caught: &[&str], timed_out: &[&str], loom: &[&str], missed: &[&str]) -> Vec<String> {
        let by_tests = Outcome {
            caught: names(caught),
            missed: [names(loom), names(missed)].concat(),
            timed_out: names(timed_out),
        };
        let by_loom = Outcome {
            caught: names(loom),
            missed: names(missed),
            timed_out: Vec::new(),
        };
        Expected::read(TEXT)
            .unwrap()
            .compare(&by_tests, &by_loom)
            .failures
    }

    /// So many that one survivor is not too many.
    const CAUGHT: [&str; 20] = ["a.rs:1:1: replace h with ()"; 20];
    const LOOM: [&str; 1] = ["b.rs:7:9: replace g with ()"];
    const EQUIVALENT: [&str; 1] = ["a.rs:2:40: replace | with ^ in f"];

    #[test]
    fn an_outcome_that_is_as_listed_passes() {
        let loops = ["c.rs:3:1: replace spin -> Option<WayOut> with None"];
        assert_eq!(failures(&CAUGHT, &loops, &LOOM, &EQUIVALENT), [""; 0]);
    }

    #[test]
    fn whatever_differs_fails() {
        let one = |failures: Vec<String>, why: &str| {
            assert!(failures.len() == 1 && failures[0].contains(why), "{failures:?}");
        };
        one(failures(&CAUGHT, &[], &LOOM, &[]), "is listed in");
        one(
            failures(&CAUGHT, &[], &[], &EQUIVALENT),
            "no longer is caught by loom alone",
        );
        one(
            failures(&CAUGHT, &["a.rs:1:1: replace h with ()"], &LOOM, &EQUIVALENT),
            "is not listed as one that may loop",
        );
        let two = [EQUIVALENT[0], "d.rs:5:5: replace + with - in k"];
        let found = failures(&[CAUGHT, CAUGHT].concat(), &[], &LOOM, &two);
        one(found, "d.rs: replace + with - in k: survives, and is not listed");
        one(
            failures(&CAUGHT[..5], &[], &LOOM, &EQUIVALENT),
            "more than one in 20",
        );
    }

    #[test]
    fn a_list_says_why() {
        assert!(Expected::read("[loom]\na.rs: replace f with ()\n").is_err());
        assert!(Expected::read("[others]\na.rs: replace f with () = so\n").is_err());
        assert!(Expected::read("a.rs: replace f with () = so\n").is_err());
        let operator = Expected::read("[equivalent]\na.rs: replace == with != in f = so\n").unwrap();
        assert_eq!(operator.equivalent, ["a.rs: replace == with != in f"]);
    }

    #[test]
    fn the_lists_can_be_read() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates");
        for subject in [PRIMITIVE, ENGINE] {
            let folder = crates.join(subject.package);
            let lists = Expected::read(&fs::read_to_string(folder.join(LISTS)).unwrap()).unwrap();
            assert!(!lists.equivalent.is_empty() && !lists.loops.is_empty());
            assert_eq!(lists.loom.is_empty(), !subject.has_models);
            for file in subject.files {
                assert!(folder.join("src").join(file).exists(), "{file}");
            }
        }
    }

    #[test]
    fn a_name_becomes_an_expression_for_itself() {
        assert_eq!(
            exactly("a/b.rs:1:2: replace <impl Drop for R<P>>::drop with ()"),
            r"^a/b\.rs:1:2: replace <impl Drop for R<P>>::drop with \(\)$"
        );
    }
}
