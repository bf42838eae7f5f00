//! What the original and the mutants came to: one row each, one column for each detector.

use std::fmt::Write as _;

use comfy_table::{Cell, Table, presets::ASCII_MARKDOWN};

use super::patch::NAMES;

/// A run that failed.
pub(super) struct Failure {
    pub(super) seed: u64,
    pub(super) faults: Vec<String>,
    /// Until it was found: the lab's wall-clock time from its start, the model's from its first execution, if it told.
    pub(super) seconds: Option<f64>,
    /// The command that repeats it.
    pub(super) repeat: String,
}

/// What a detector's runs came to.
pub(super) struct Runs {
    pub(super) count: u64,
    pub(super) failures: Vec<Failure>,
}

/// A detector's verdict on a mutant.
pub(super) enum Cause {
    /// Its runs, and what the failures must contain.
    Tried(Runs, Vec<String>),
    /// It cannot see the defect, for this reason.
    Unseen(String),
}

/// The original under the settings of one or more mutants.
struct Original {
    detector: usize,
    settings: String,
    runs: Runs,
}

struct Row {
    name: String,
    causes: [Cause; 3],
}

/// All of them.
#[derive(Default)]
pub(crate) struct Outcome {
    originals: Vec<Original>,
    rows: Vec<Row>,
}

impl Failure {
    /// The expectation that it meets.
    fn met<'a>(&self, expect: &'a [String]) -> Option<&'a str> {
        let met = |text: &&String| self.faults.iter().any(|fault| fault.contains(text.as_str()));
        expect.iter().find(met).map(String::as_str)
    }
}

impl Runs {
    pub(super) const fn new(count: u64) -> Self {
        Self {
            count,
            failures: Vec::new(),
        }
    }

    /// How long it took to be found, from seed to seed.
    fn times(&self) -> String {
        let times = self.failures.iter().filter_map(|failure| failure.seconds);
        match (times.clone().reduce(f64::min), times.reduce(f64::max)) {
            (Some(least), Some(most)) if self.failures.len() > 1 => format!(", {least:.1} to {most:.1} s"),
            (Some(only), _) => format!(", {only:.1} s"),
            _ => String::new(),
        }
    }

    /// What is wrong with a mutant's runs: too few failed, or one for another reason.
    pub(super) fn fault(&self, expect: &[String]) -> Option<String> {
        if let Some(strange) = self.failures.iter().find(|failure| failure.met(expect).is_none()) {
            return Some(format!(
                "not found for {}, but with seed {}: {}; repeat it with: {}",
                expect.join(" or "),
                strange.seed,
                strange.faults.join("; "),
                strange.repeat
            ));
        }
        // Nine of ten: chance decides which interleavings a seed meets.
        let needed = (self.count * 9).div_ceil(10);
        let found = self.failures.len() as u64;
        (found < needed).then(|| format!("found {found} of {} times, {needed} are demanded", self.count))
    }

    fn cell(&self, expect: &[String]) -> String {
        let mut reasons: Vec<&str> = Vec::new();
        for failure in &self.failures {
            let reason = failure.met(expect).unwrap_or("ANOTHER REASON");
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let (found, count) = (self.failures.len(), self.count);
        let often = if count == 1 && found == 1 {
            String::new()
        } else {
            format!("{found} of {count}: ")
        };
        format!("{often}{}{}", reasons.join(" or "), self.times())
    }
}

impl Outcome {
    /// The original's runs with the settings of a mutant.
    pub(super) fn add_original(&mut self, detector: usize, settings: String, runs: Runs) {
        self.originals.push(Original {
            detector,
            settings,
            runs,
        });
    }

    pub(super) fn add(&mut self, name: String, causes: [Cause; 3]) {
        self.rows.push(Row { name, causes });
    }

    /// How many verdicts there are: the original's, one for each setting, and the mutants'.
    pub(crate) fn subjects(&self) -> usize {
        self.originals.len() + self.rows.len()
    }

    /// What is wrong, one line each.
    pub(crate) fn faults(&self) -> Vec<String> {
        let originals = self.originals.iter().filter_map(|original| {
            let first = original.runs.failures.first()?;
            Some(format!(
                "the original, {}: failed with seed {}: {}; repeat it with: {}",
                original.settings,
                first.seed,
                first.faults.join("; "),
                first.repeat
            ))
        });
        let mutants = self.rows.iter().filter_map(|row| {
            let faults: Vec<String> = NAMES
                .iter()
                .zip(&row.causes)
                .filter_map(|(detector, cause)| match cause {
                    Cause::Tried(runs, expect) => Some(format!("{detector}: {}", runs.fault(expect)?)),
                    Cause::Unseen(_) => None,
                })
                .collect();
            (!faults.is_empty()).then(|| format!("{}: {}", row.name, faults.join("; ")))
        });
        originals.chain(mutants).collect()
    }

    /// Whether the original passed and each mutant was found by each detector that has to.
    pub(crate) fn passed(&self) -> bool {
        !self.originals.is_empty() && !self.rows.is_empty() && self.faults().is_empty()
    }

    /// A row for the original and for each mutant, why a detector cannot see what it cannot see, and the verdict.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "defect",
            "loom",
            "lab, under stress",
            "lab, conformance",
        ]);
        let mut cells = vec![Cell::new("none: the original")];
        cells.extend((0..NAMES.len()).map(|detector| Cell::new(self.original(detector))));
        table.add_row(cells);
        let mut reasons: Vec<&str> = Vec::new();
        for row in &self.rows {
            let mut cells = vec![Cell::new(format!("`{}`", row.name))];
            for cause in &row.causes {
                cells.push(Cell::new(match cause {
                    Cause::Tried(runs, expect) => runs.cell(expect),
                    Cause::Unseen(reason) => {
                        let known = reasons.iter().position(|known| known == reason);
                        let index = known.unwrap_or_else(|| {
                            reasons.push(reason);
                            reasons.len() - 1
                        });
                        format!("- ({})", index + 1)
                    }
                }));
            }
            table.add_row(cells);
        }
        let mut text = format!("{table}\n");
        for (number, reason) in (1..).zip(reasons) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "({number}) {reason}");
        }
        let faults = self.faults();
        if self.passed() {
            let mutants = self.rows.len();
            text + &format!(
                "PASSED the original passed, and {mutants} mutant(s) were found, each by every detector that has to, for its stated reason"
            )
        } else if faults.is_empty() {
            text + "FAILED nothing was run"
        } else {
            text + "FAILED " + &faults.join("\nFAILED ")
        }
    }

    /// The original's runs under one detector.
    fn original(&self, detector: usize) -> String {
        let trials = || {
            self.originals
                .iter()
                .filter(|original| original.detector == detector)
        };
        let runs: u64 = trials().map(|original| original.runs.count).sum();
        let failed: usize = trials().map(|original| original.runs.failures.len()).sum();
        match trials().count() {
            0 => String::new(),
            settings => format!("{failed} of {runs}, with {settings} setting(s)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(faults: &[&str]) -> Runs {
        let mut runs = Runs::new(10);
        for (seed, fault) in (1..).zip(faults) {
            runs.failures.push(Failure {
                seed,
                faults: vec![(*fault).to_owned()],
                seconds: Some(1.5),
                repeat: "again".into(),
            });
        }
        runs
    }

    fn outcome(original: &[&str], faults: &[&str]) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.add_original(1, "cpus=2".into(), runs(original));
        let unseen = || Cause::Unseen("x86 orders it".into());
        let tried = Cause::Tried(runs(faults), vec!["LOST".into(), "HANG".into()]);
        outcome.add("it".into(), [unseen(), tried, unseen()]);
        outcome
    }

    #[test]
    fn the_original_has_to_pass_every_time() {
        assert!(outcome(&[], &["LOST"; 10]).passed());
        let failed = outcome(&["bugcheck"], &["LOST"; 10]);
        assert!(!failed.passed());
        let last = "FAILED the original, cpus=2: failed with seed 1: bugcheck; repeat it with: again";
        assert!(failed.table().ends_with(last), "{}", failed.table());
    }

    #[test]
    fn a_mutant_has_to_fail_nine_times_and_for_no_other_reason() {
        assert!(outcome(&[], &["bugcheck LOST_WAKEUP"; 9]).passed());
        let eight = outcome(&[], &["bugcheck LOST_WAKEUP"; 8]);
        assert!(eight.table().contains("lab: found 8 of 10 times, 9 are demanded"));
        let mut mixed = vec!["bugcheck LOST_WAKEUP"; 9];
        mixed.push("timed out");
        let table = outcome(&[], &mixed).table();
        assert!(table.contains("with seed 10: timed out"), "{table}");
        assert!(!outcome(&[], &mixed).passed());
    }

    #[test]
    fn a_cell_tells_how_often_why_and_when() {
        let table = outcome(&[], &["a LOST", "HANG", "LOST"]).table();
        assert!(table.contains("3 of 10: LOST or HANG, 1.5 to 1.5 s"), "{table}");
        assert!(
            table.contains("- (1)") && table.contains("\n(1) x86 orders it\n"),
            "{table}"
        );
        assert!(!table.contains("(2)"), "the same reason is told once: {table}");
    }

    #[test]
    fn nothing_run_is_nothing_passed() {
        assert!(!Outcome::default().passed());
        let mut no_original = Outcome::default();
        no_original.add("it".into(), std::array::from_fn(|_| Cause::Unseen("x".into())));
        assert!(!no_original.passed());
    }
}
