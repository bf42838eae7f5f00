//! What the originals and the mutants came to.

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

/// A run that failed.
pub(super) struct Failure {
    pub(super) seed: u64,
    pub(super) faults: Vec<String>,
    /// From the lab's start to its end.
    pub(super) seconds: f64,
    /// The command that repeats it.
    pub(super) repeat: String,
}

/// A driver and its runs, one per seed.
pub(super) struct Subject {
    name: String,
    /// What a mutant's failures must contain; the original has to pass.
    expect: Option<Vec<String>>,
    pub(super) failures: Vec<Failure>,
}

/// All of them.
pub(crate) struct Outcome {
    seeds: u64,
    subjects: Vec<Subject>,
}

impl Failure {
    fn is_for(&self, reasons: &[String]) -> bool {
        self.faults
            .iter()
            .any(|fault| reasons.iter().any(|reason| fault.contains(reason.as_str())))
    }
}

impl Subject {
    pub(super) const fn new(name: String, expect: Option<Vec<String>>) -> Self {
        Self {
            name,
            expect,
            failures: Vec::new(),
        }
    }

    /// What is wrong: an original that failed, a mutant that was not found.
    fn fault(&self, seeds: u64) -> Option<String> {
        let name = &self.name;
        match (&self.expect, self.failures.first()) {
            (None, None) => None,
            (None, Some(first)) => Some(format!(
                "{name}: failed with seed {}: {}; repeat it with: {}",
                first.seed, first.faults[0], first.repeat
            )),
            (Some(reasons), _) => {
                let right = self
                    .failures
                    .iter()
                    .filter(|failure| failure.is_for(reasons))
                    .count() as u64;
                let wrong = self.failures.iter().find(|failure| !failure.is_for(reasons));
                // Nine of ten: chance decides which interleavings a seed meets.
                let needed = (seeds * 9).div_ceil(10);
                let strange = wrong.map_or_else(String::new, |wrong| {
                    format!("; seed {} says: {}", wrong.seed, wrong.faults[0])
                });
                (right < needed).then(|| {
                    format!(
                        "{name}: found {right} of {seeds} times for {}, {needed} are demanded{strange}",
                        reasons.join(" or ")
                    )
                })
            }
        }
    }

    /// The different reasons of its failures, most frequent first.
    fn reasons(&self) -> String {
        let mut counted: Vec<(&str, usize)> = Vec::new();
        for failure in &self.failures {
            let fault = failure.faults[0].as_str();
            // The addresses behind a bugcheck's name differ from run to run.
            let reason = fault.split_once(": ").map_or(fault, |(reason, _)| reason);
            match counted.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => counted.push((reason, 1)),
            }
        }
        counted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        counted
            .iter()
            .map(|(reason, count)| format!("{count} x {reason}"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// How long it took to be found, and with each seed: five in a line.
    fn times(&self) -> String {
        let times = self.failures.iter().map(|failure| failure.seconds);
        let (Some(least), Some(most)) = (times.clone().reduce(f64::min), times.reduce(f64::max)) else {
            return String::new();
        };
        let each: Vec<String> = self
            .failures
            .iter()
            .map(|failure| format!("{}: {:.1}", failure.seed, failure.seconds))
            .collect();
        let lines: Vec<String> = each.chunks(5).map(|five| five.join(", ")).collect();
        format!("{least:.1} to {most:.1} s; by seed\n{}", lines.join(",\n"))
    }
}

impl Outcome {
    pub(super) const fn new(seeds: u64) -> Self {
        Self {
            seeds,
            subjects: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, subject: Subject) {
        self.subjects.push(subject);
    }

    /// How many drivers were judged.
    pub(crate) fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// What is wrong, one line each.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.subjects
            .iter()
            .filter_map(|subject| subject.fault(self.seeds))
            .collect()
    }

    /// Whether the originals passed and the mutants were found.
    pub(crate) fn passed(&self) -> bool {
        !self.subjects.is_empty() && self.faults().is_empty()
    }

    /// A row for each driver, and the verdict.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["driver", "failed", "reasons", "found after"]);
        for subject in &self.subjects {
            table.add_row([
                Cell::new(&subject.name),
                Cell::new(format!("{} of {}", subject.failures.len(), self.seeds))
                    .set_alignment(CellAlignment::Right),
                Cell::new(subject.reasons()),
                Cell::new(subject.times()),
            ]);
        }
        let faults = self.faults();
        if self.passed() {
            let mutants = self
                .subjects
                .iter()
                .filter(|subject| subject.expect.is_some())
                .count();
            format!(
                "{table}\nPASSED the original passed, and {mutants} mutant(s) were found, each for its stated reason"
            )
        } else {
            format!(
                "{table}\nFAILED {}",
                if faults.is_empty() {
                    "nothing was run".into()
                } else {
                    faults.join("\nFAILED ")
                }
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(expect: Option<&str>, failures: &[&str]) -> Outcome {
        let mut subject = Subject::new("it".into(), expect.map(|text| vec![text.to_owned()]));
        for (seed, fault) in (1..).zip(failures) {
            let faults = vec![(*fault).to_owned()];
            subject.failures.push(Failure {
                seed,
                faults,
                seconds: 1.5,
                repeat: "again".into(),
            });
        }
        let mut outcome = Outcome::new(10);
        outcome.add(subject);
        outcome
    }

    #[test]
    fn the_original_has_to_pass_every_time() {
        assert!(subject(None, &[]).passed());
        let outcome = subject(None, &["bugcheck"]);
        assert!(!outcome.passed());
        assert!(
            outcome
                .table()
                .ends_with("FAILED it: failed with seed 1: bugcheck; repeat it with: again")
        );
    }

    #[test]
    fn a_mutant_has_to_fail_nine_times_for_its_reason() {
        assert!(subject(Some("LOST"), &["bugcheck LOST_WAKEUP"; 9]).passed());
        assert!(!subject(Some("LOST"), &["bugcheck LOST_WAKEUP"; 8]).passed());
        assert!(!subject(Some("LOST"), &["timed out"; 10]).passed());
        let mut mixed = vec!["bugcheck LOST_WAKEUP"; 8];
        mixed.push("timed out");
        let table = subject(Some("LOST"), &mixed).table();
        assert!(
            table.contains("found 8 of 10 times") && table.contains("seed 9 says: timed out"),
            "{table}"
        );
        assert!(table.contains("8 x bugcheck LOST_WAKEUP"), "{table}");
        let outcome = subject(
            Some("LOST"),
            &["bugcheck LOST_WAKEUP: at 1", "bugcheck LOST_WAKEUP: at 2"],
        );
        assert!(
            outcome.table().contains("2 x bugcheck LOST_WAKEUP "),
            "{}",
            outcome.table()
        );
    }

    #[test]
    fn each_seed_has_its_time() {
        let table = subject(Some("LOST"), &["bugcheck LOST_WAKEUP"; 10]).table();
        for text in ["1.5 to 1.5 s; by seed", "1: 1.5, 2: 1.5", "6: 1.5, 7: 1.5"] {
            assert!(table.contains(text), "{table}");
        }
    }

    #[test]
    fn nothing_run_is_nothing_passed() {
        assert!(!Outcome::new(10).passed());
    }
}
