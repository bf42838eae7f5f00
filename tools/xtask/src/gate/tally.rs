//! Counting: what ran, what failed, what was ignored, how long it took.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    process::Finished,
    progress::{Progress, seconds},
    table::table,
};

/// What one step's checks came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    /// What failed, each in words: the first line says what, the others why.
    pub(super) failures: Vec<String>,
    /// Tests that were left out, by the reason that their source gives.
    pub(super) ignored: BTreeMap<String, u64>,
}

impl Tally {
    /// A single check.
    pub(super) fn one(failure: Option<String>) -> Self {
        Self {
            passed: u64::from(failure.is_none()),
            failures: failure.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Counts one more check.
    pub(super) fn count(&mut self, failure: Option<String>) {
        let Self { passed, failures, .. } = Self::one(failure);
        self.passed += passed;
        self.failures.extend(failures);
    }

    /// The single check that a program succeeds.
    pub(super) fn of_program(finished: &Finished) -> Self {
        Self::one((!finished.status.success()).then(|| explained(finished)))
    }

    /// The tests that `cargo test` ran, by its own count.
    pub(super) fn of_tests(finished: &Finished) -> Self {
        let (passed, failed) = count_tests(&finished.text);
        let mut failures = Vec::new();
        if failed > 0 || !finished.status.success() {
            // One text for all; the others only count.
            failures.push(explained(finished));
            failures.extend((1..failed).map(|_| String::new()));
        } else if passed == 0 {
            failures.push("it ran no test".into());
        }
        Self {
            passed,
            failures,
            ignored: ignored(&finished.text),
        }
    }

    /// The points that `rundown-lab sweep` tried, by its own count. A sweep that failed is a failure, whatever its other points came to.
    pub(super) fn of_sweeps(finished: &Finished) -> Self {
        let points = |line: &str| -> Option<u64> {
            let (_, count) = line.strip_prefix("passed ")?.split_once(": ")?;
            count.split_once(" points")?.0.parse().ok()
        };
        let passed = finished.text.lines().filter_map(points).sum();
        let failed = finished.text.lines().filter(|line| line.starts_with("FAILED "));
        let mut failures: Vec<String> = failed.map(str::to_owned).collect();
        if let Some(first) = failures.first_mut() {
            *first = format!("{first}\n{}", finished.tail());
        } else if passed == 0 || !finished.status.success() {
            failures.push(explained(finished));
        }
        Self {
            passed,
            failures,
            ..Self::default()
        }
    }

    /// The tests that `node --test` ran, by its own count.
    pub(super) fn of_node(finished: &Finished) -> Self {
        let count = |what: &str| {
            let prefixes = [format!("# {what} "), format!("ℹ {what} ")];
            let mut lines = finished.stdout.lines();
            lines
                .find_map(|line| prefixes.iter().find_map(|prefix| line.strip_prefix(prefix)))
                .and_then(|number| number.trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        let passed = count("pass");
        let failure = if !finished.status.success() {
            Some(explained(finished))
        } else if passed == 0 {
            Some("it ran no test".into())
        } else {
            None
        };
        Self {
            passed,
            failures: failure.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// The line that says most about a failed program, then what it says about it.
fn explained(finished: &Finished) -> String {
    let says_what = |line: &&str| {
        let line = line.trim();
        line.starts_with("error") || line.starts_with("Diff in") || line.ends_with("FAILED")
    };
    let lines = || finished.text.lines();
    // The last lines of a gate or a lab, which has told more before.
    let is_verdict = |line: &&str| line.starts_with("FAILED ");
    let says = lines().find(says_what).or_else(|| lines().rfind(is_verdict));
    let what = finished
        .timed_out
        .as_deref()
        .or(says)
        .unwrap_or("it does not say why");
    let failures = test_failures(&finished.text);
    let why = if failures.is_empty() {
        finished.tail()
    } else {
        failures
    };
    format!("{} ({})\n{why}", what.trim(), finished.status)
}

/// What libtest prints between `failures:` and the count; long runs of passed tests follow it.
fn test_failures(text: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        let end = line.starts_with("test result: ");
        inside = (inside || *line == "failures:") && !end;
        inside
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// Sums the `test result:` lines of libtest.
fn count_tests(text: &str) -> (u64, u64) {
    let mut sums = (0, 0);
    for line in text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("test result: "))
    {
        let number = |what: &str| -> u64 {
            let words: Vec<&str> = line
                .split([' ', ';', '.'])
                .filter(|word| !word.is_empty())
                .collect();
            words
                .windows(2)
                .find(|pair| pair[1] == what)
                .and_then(|pair| pair[0].parse().ok())
                .unwrap_or(0)
        };
        sums.0 += number("passed");
        sums.1 += number("failed");
    }
    sums
}

/// The tests that libtest says it ignored, by reason.
fn ignored(text: &str) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    let reason = |line: &str| {
        let (_, reason) = line.trim().strip_prefix("test ")?.split_once(" ... ignored")?;
        Some(reason.strip_prefix(", ").unwrap_or("no reason").to_owned())
    };
    for reason in text.lines().filter_map(reason) {
        *reasons.entry(reason).or_default() += 1;
    }
    reasons
}

struct Step {
    name: String,
    tally: Tally,
    time: Duration,
    /// Why it was not run, if it was not.
    not_run: Option<String>,
}

/// What the programs that have ended so far, and theirs, took of the processors: `cutime` and `cstime` (proc(5)), in hundredths of a
/// second. Other work on the machine does not show in it, as it does in a step's time.
fn of_children() -> Duration {
    children_in(&fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

fn children_in(stat: &str) -> Duration {
    // Behind the name, which may have blanks and brackets.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields
        .skip(13)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// All steps so far.
#[derive(Default)]
pub(super) struct Gate {
    steps: Vec<Step>,
    /// Words of which a step's name has to have one; when there are none every step is asked for.
    only: Vec<String>,
}

impl Gate {
    /// A gate of the steps whose name has one of these words, or of all when there are none.
    pub(super) fn of(only: Vec<String>) -> Self {
        Self {
            steps: Vec::new(),
            only,
        }
    }

    pub(super) fn asks_for(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word))
    }

    /// Runs a step; whether it passed. A step that cannot be run has failed, and one that is not asked for is in nobody's way.
    pub(super) fn step(
        &mut self,
        name: impl Into<String>,
        run: impl FnOnce(&Progress) -> Result<Tally>,
    ) -> bool {
        let name = name.into();
        !self.asks_for(&name) || self.run(Progress::begin(&name), name, run)
    }

    /// As [`Gate::step`], for one whose parts show their own progress.
    pub(super) fn group(&mut self, name: impl Into<String>, run: impl FnOnce() -> Result<Tally>) -> bool {
        let name = name.into();
        !self.asks_for(&name) || self.run(Progress::begin_group(&name), name, |_| run())
    }

    /// A step that this machine cannot run. It neither passed nor failed, and the summary says so.
    pub(super) fn not_run(&mut self, name: impl Into<String>, why: &str) {
        let name = name.into();
        if !self.asks_for(&name) {
            return;
        }
        rundown_streams::tell!("  not run {name}: {why}");
        self.steps.push(Step {
            name,
            tally: Tally::default(),
            time: Duration::ZERO,
            not_run: Some(why.into()),
        });
    }

    fn run(
        &mut self,
        progress: Progress,
        name: String,
        run: impl FnOnce(&Progress) -> Result<Tally>,
    ) -> bool {
        let (started, before) = (Instant::now(), of_children());
        let tally = run(&progress).unwrap_or_else(|error| Tally::one(Some(format!("{error:#}"))));
        let passed = tally.failures.is_empty();
        if passed {
            let processors = seconds(of_children().saturating_sub(before));
            progress.done(&format!(
                "{} passed, {processors} of the processors",
                tally.passed
            ));
        } else {
            progress.failed(&format!(
                "{} passed, {} failed",
                tally.passed,
                tally.failures.len()
            ));
            tally
                .failures
                .iter()
                .filter(|failure| !failure.is_empty())
                .for_each(|failure| rundown_streams::tell!("{failure}"));
        }
        self.steps.push(Step {
            name,
            tally,
            time: started.elapsed(),
            not_run: None,
        });
        passed
    }

    /// Whether everything that ran passed, and there was something.
    pub(super) fn passed(&self) -> bool {
        self.steps.iter().any(|step| step.not_run.is_none())
            && self.steps.iter().all(|step| step.tally.failures.is_empty())
    }

    /// A row for each step, the failures again, and `N passed, N failed`.
    pub(super) fn summary(&self) -> String {
        if self.steps.is_empty() {
            return format!(
                "no step's name has `{}`: a whole run's table shows the names; those of --deep need that too",
                self.only.join("`, or `")
            );
        }
        let row = |step: &Step| {
            let tally = &step.tally;
            let numbers = if step.not_run.is_some() {
                ["not run", "", "", ""].map(str::to_owned)
            } else {
                [
                    tally.passed.to_string(),
                    tally.failures.len().to_string(),
                    tally.ignored.values().sum::<u64>().to_string(),
                    seconds(step.time),
                ]
            };
            [vec![step.name.clone()], numbers.to_vec()].concat()
        };
        let rows: Vec<Vec<String>> = self.steps.iter().map(row).collect();
        let table = table(&["step", "passed", "failed", "ignored", "time"], 1, &rows);
        let mut text = format!("{table}\n");
        for Step {
            name, tally, not_run, ..
        } in &self.steps
        {
            if let Some(why) = not_run {
                text.extend(["NOT RUN ", name, ": ", why, "\n"]);
            }
            for (reason, number) in &tally.ignored {
                text.extend(["IGNORED ", name, ": ", &number.to_string(), ", ", reason, "\n"]);
            }
            for failure in tally.failures.iter().filter(|failure| !failure.is_empty()) {
                // The rest was printed when it happened.
                let what = failure.lines().next().unwrap_or("");
                text.extend(["FAILED ", name, ": ", what, "\n"]);
            }
        }
        let passed: u64 = self.steps.iter().map(|step| step.tally.passed).sum();
        let failed: usize = self.steps.iter().map(|step| step.tally.failures.len()).sum();
        text + &format!("{passed} passed, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn processor_time_is_the_childrens() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 8 9 10 11 500 600 250 50 20 0 1 0 12345\n";
        assert_eq!(children_in(stat), Duration::from_secs(3));
    }

    #[test]
    fn libtests_lines_are_summed() {
        let text = "running 2 tests\ntest result: ok. 18 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                    noise: 99 passed\n   test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(count_tests(text), (21, 2));
        assert_eq!(count_tests(""), (0, 0));
    }

    fn finished(text: &str, program: &str) -> Finished {
        let status = std::process::Command::new(program).status().unwrap();
        Finished {
            stdout: String::new(),
            stderr: String::new(),
            text: text.into(),
            status,
            timed_out: None,
        }
    }

    #[test]
    fn what_took_too_long_says_so_first() {
        let mut late = finished("test result: ok. 3 passed; 0 failed\n", "false");
        late.timed_out = Some("Running tests/lab.rs: hangs: not done after 1.0 s".into());
        let failures = Tally::of_tests(&late).failures;
        assert!(
            failures[0].starts_with("Running tests/lab.rs: hangs"),
            "{failures:?}"
        );
    }

    #[test]
    fn what_is_ignored_is_told_with_its_reason() {
        let text = "test a ... ignored, needs the lab\ntest b ... ignored, needs the lab\ntest c ... ignored\n\
                    test d ... ok\ntest result: ok. 1 passed; 0 failed; 3 ignored\n";
        let tally = Tally::of_tests(&finished(text, "true"));
        let ignored: Vec<_> = tally
            .ignored
            .iter()
            .map(|(why, number)| (&**why, *number))
            .collect();
        assert_eq!(ignored, [("needs the lab", 2), ("no reason", 1)]);
        let mut gate = Gate::default();
        gate.step("first", |_| Ok(tally));
        assert!(gate.summary().contains("IGNORED first: 2, needs the lab\n"));
    }

    #[test]
    fn the_failures_of_tests_are_found_among_what_passed() {
        let text = "test a ... ok\n\nfailures:\n\n---- b stdout ----\nthread 'b' panicked\n\ntest result: FAILED. 1 passed\nmore";
        assert_eq!(
            test_failures(text),
            "failures:\n\n---- b stdout ----\nthread 'b' panicked\n"
        );
        assert_eq!(test_failures("test a ... ok\ntest result: ok. 1 passed\n"), "");
    }

    const TWO_OF_FIVE: &str = "test result: FAILED. 3 passed; 2 failed; 0 ignored\n";

    #[test]
    fn a_program_has_failed_when_it_says_so() {
        assert_eq!(
            Tally::of_program(&finished("", "true")),
            Tally {
                passed: 1,
                ..Tally::default()
            }
        );
        for (text, what) in [
            ("warning: x\nerror: no such file\nmore", "error: no such file"),
            ("a\nDiff in src/lib.rs:1", "Diff in src/lib.rs:1"),
            ("test a ... ok\ntest b ... FAILED\n", "test b ... FAILED"),
            ("FAILED a: x\nFAILED b: y\n1 passed, 2 failed", "FAILED b: y"),
            ("nothing of use", "it does not say why"),
        ] {
            let failures = Tally::of_program(&finished(text, "false")).failures;
            assert!(
                failures.len() == 1 && failures[0].starts_with(what),
                "{failures:?}"
            );
            assert!(
                failures[0].ends_with(text.trim_end()),
                "the end of the output: {failures:?}"
            );
        }
        let tests = "test b ... FAILED\nfailures:\n  why\ntest result: FAILED. 0 passed; 1 failed\nnoise";
        let failures = Tally::of_program(&finished(tests, "false")).failures;
        assert!(failures[0].ends_with("failures:\n  why"), "{failures:?}");
    }

    #[test]
    fn checks_are_counted() {
        let mut tally = Tally::one(None);
        tally.count(None);
        tally.count(Some("no".into()));
        assert_eq!((tally.passed, &tally.failures[..]), (2, &["no".to_owned()][..]));
    }

    /// A program that tells of failed tests has failed, whatever its exit code.
    #[test]
    fn failed_tests_count_also_after_a_success() {
        assert_eq!(Tally::of_tests(&finished(TWO_OF_FIVE, "true")).failures.len(), 2);
        let one = "test result: FAILED. 3 passed; 1 failed";
        assert_eq!(
            (count_tests(one), count_tests("test result: ok. 3 passed")),
            ((3, 1), (3, 0))
        );
        assert_eq!(Tally::of_tests(&finished(one, "true")).failures.len(), 1);
    }

    #[test]
    fn the_table_says_what_was_not_run_and_how_long_the_others_took() {
        let mut gate = Gate::of(vec!["first".into(), "second".into()]);
        gate.not_run("first", "no such program");
        gate.step("second", |_| {
            std::thread::sleep(Duration::from_millis(100));
            Ok(Tally::one(None))
        });
        assert!(gate.group("third", || bail!("is not asked for")));
        let summary = gate.summary();
        let row = |name: &str| {
            let row = summary
                .lines()
                .find(|line| line.starts_with(&format!("│ {name}")))
                .unwrap();
            row.split(['│', '┆'])
                .map(|cell| cell.trim().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(row("step")[1..6], ["step", "passed", "failed", "ignored", "time"]);
        assert_eq!(row("first")[1..6], ["first", "not run", "", "", ""]);
        assert_eq!(row("second")[1..5], ["second", "1", "0", "0"]);
        assert_ne!(row("second")[5], "0.0 s");
    }

    #[test]
    fn each_failed_test_counts() {
        assert_eq!(Tally::of_tests(&finished(TWO_OF_FIVE, "false")).failures.len(), 2);
        let passed = Tally::of_tests(&finished("test result: ok. 3 passed; 0 failed\n", "true"));
        assert_eq!(
            passed,
            Tally {
                passed: 3,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn what_ran_nothing_or_did_not_compile_has_failed() {
        assert_eq!(
            Tally::of_tests(&finished("", "true")).failures,
            ["it ran no test"]
        );
        assert_eq!(
            Tally::of_tests(&finished("error: expected `;`", "false"))
                .failures
                .len(),
            1
        );
    }

    #[test]
    fn points_of_sweeps_are_counted() {
        let text = "passed cancel: 334 points, 6 with a request refused (20.0 s)\npassed kill: 100 points, 0 with a request refused (1.0 s)\n";
        assert_eq!(
            Tally::of_sweeps(&finished(text, "true")),
            Tally {
                passed: 434,
                ..Tally::default()
            }
        );
        let text = "passed cancel: 3 points, 0 with a request refused (1.0 s)\nFAILED kill: 2 points, 0 with a request refused (1.0 s)\n  at 2: why\n";
        let tally = Tally::of_sweeps(&finished(text, "false"));
        assert_eq!((tally.passed, tally.failures.len()), (3, 1));
        assert!(tally.failures[0].contains("at 2: why"));
        assert_eq!(
            Tally::of_sweeps(&finished("", "true")).failures.len(),
            1,
            "nothing ran"
        );
        assert_eq!(
            Tally::of_sweeps(&finished("passed a: 1 points", "false"))
                .failures
                .len(),
            1
        );
    }

    #[test]
    fn nodes_tests_are_counted() {
        let text = "# tests 12\n# pass 11\n# fail 0\n";
        let mut finished = finished("", "true");
        finished.stdout = text.into();
        assert_eq!(
            Tally::of_node(&finished),
            Tally {
                passed: 11,
                ..Tally::default()
            }
        );
        finished.stdout.clear();
        assert_eq!(Tally::of_node(&finished).failures, ["it ran no test"]);
    }

    #[test]
    fn what_was_not_run_is_no_success() {
        let mut gate = Gate::default();
        gate.not_run("first", "no such program");
        assert!(!gate.passed());
        gate.step("second", |_| Ok(Tally::one(None)));
        assert!(gate.passed());
        let summary = gate.summary();
        assert!(summary.contains("NOT RUN first: no such program\n"), "{summary}");
        assert!(summary.ends_with("\n1 passed, 0 failed"), "{summary}");
    }

    #[test]
    fn steps_that_are_not_asked_for_are_left_out() {
        let mut gate = Gate::of(vec!["loom".into(), "Miri".into()]);
        assert!(gate.step("build", |_| bail!("is not run")));
        gate.not_run("Wine", "no such program");
        assert!(!gate.passed(), "nothing ran");
        assert!(
            gate.summary()
                .starts_with("no step's name has `loom`, or `Miri`: ")
        );
        assert!(gate.group("loom, deep models", || Ok(Tally::one(None))));
        assert!(gate.passed());
        assert!(!gate.step("Miri", |_| bail!("fails")));
        assert!(gate.summary().ends_with("\n1 passed, 1 failed"));
    }

    #[test]
    fn the_summary_ends_with_the_count() {
        let mut gate = Gate::default();
        assert!(!gate.passed(), "nothing ran");
        assert!(gate.step("first", |_| Ok(Tally {
            passed: 4,
            ..Tally::default()
        })));
        assert!(gate.passed());
        assert!(!gate.step("second", |_| bail!("no such\nthing")));
        assert!(gate.step("third", |_| Ok(Tally::one(None))));
        assert!(!gate.passed());
        let summary = gate.summary();
        assert!(summary.contains("FAILED second: no such\n"), "{summary}");
        assert!(summary.ends_with("\n5 passed, 1 failed"), "{summary}");
    }
}
