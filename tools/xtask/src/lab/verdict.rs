//! The verdict: the table for people, the object for programs, and the last line.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use crate::table::table;

use super::{
    Settings,
    judge::{Sum, shortfalls},
    scenario::Arm,
};

/// One arm on one number of processors.
pub(crate) struct Row {
    pub(crate) cpus: u32,
    pub(crate) arm: Arm,
    pub(crate) sum: Sum,
}

/// Everything that was seen.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(super) rows: Vec<Row>,
    pub(super) scenarios: usize,
    /// What went wrong, and the command that repeats it.
    pub(super) faults: Vec<(String, String)>,
    /// Of what too little was seen, and the command that looks again. It is no fault of the driver's.
    pub(super) short: Vec<(String, String)>,
    /// Whose code each native routine was, when NT's was asked for.
    pub(super) routines: BTreeMap<String, String>,
}

impl Verdict {
    /// Adds what was demanded and not reached. An arm that failed has said why already.
    pub(super) fn judge(&mut self, settings: &Settings) {
        let failed: Vec<String> = self.faults.iter().map(|(fault, _)| fault.clone()).collect();
        for row in &self.rows {
            let name = format!("{} CPUs, {}", row.cpus, row.arm.name());
            if failed.iter().any(|fault| fault.starts_with(&name)) {
                continue;
            }
            let listing = settings.native.as_ref();
            let native =
                listing.map_or_else(String::new, |listing| format!(" --native {}", listing.display()));
            let repeat = format!(
                "cargo xtask lab --cpus {} --seed {}{native}",
                row.cpus, settings.seed
            );
            for missed in shortfalls(row.arm, &row.sum) {
                let list = if missed.never {
                    &mut self.faults
                } else {
                    &mut self.short
                };
                list.push((format!("{name}: {}", missed.text), repeat.clone()));
            }
        }
    }

    /// Whether everything held and everything demanded was reached.
    pub(crate) fn passed(&self) -> bool {
        self.faults.is_empty() && self.short.is_empty() && !self.rows.is_empty()
    }

    /// Whether nothing went wrong and all the same too little was seen.
    pub(crate) fn is_short(&self) -> bool {
        self.faults.is_empty() && !self.short.is_empty()
    }

    /// How many scenarios ran.
    pub(crate) fn scenarios(&self) -> usize {
        self.scenarios
    }

    /// What went wrong, one line each.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &str> {
        self.faults.iter().map(|(fault, _)| fault.as_str())
    }

    /// Of what too little was seen, one line each.
    pub(crate) fn short(&self) -> impl Iterator<Item = &str> {
        self.short.iter().map(|(short, _)| short.as_str())
    }

    /// The table and the last line.
    pub(crate) fn table(&self) -> String {
        let row = |Row { cpus, arm, sum }: &Row| {
            let ways = &sum.ways_out;
            let numbers = [
                sum.acquires,
                sum.refused,
                sum.generations,
                ways.drained,
                ways.mwaitx,
                ways.pause,
                ways.dispatch,
                ways.event,
                ways.late,
                sum.violations,
                sum.leaks,
                sum.bugchecks,
            ];
            let mut cells = vec![cpus.to_string(), arm.name().to_owned()];
            cells.extend(numbers.map(count));
            cells.push(format!("{:.1}", sum.seconds));
            cells
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(row).collect();
        let heading = [
            "CPUs",
            "arm",
            "acquires",
            "refused",
            "generations",
            "drained",
            "mwaitx",
            "pause",
            "dispatch",
            "event",
            "late",
            "violations",
            "leaks",
            "bugchecks",
            "seconds",
        ];
        let table = table(&heading, 2, &rows);
        let mut text = format!("{table}\n");
        for (name, code) in &self.routines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<43} {code}");
        }
        text + &self.last_lines()
    }

    /// `PASSED ...`, or `FAILED ...` or `NOT ENOUGH SEEN ...` with the reasons and the command that repeats the first of them.
    pub(crate) fn last_lines(&self) -> String {
        let total = |number: fn(&Sum) -> u64| count(self.rows.iter().map(|row| number(&row.sum)).sum());
        for (word, hint, list) in [
            ("FAILED", "", &self.faults),
            (
                "NOT ENOUGH SEEN",
                "       nothing went wrong; the host was too busy, or is too slow\n",
                &self.short,
            ),
        ] {
            if let Some(((first, repeat), others)) = list.split_first() {
                let lines: Vec<String> = others
                    .iter()
                    .map(|(fault, _)| format!("also: {fault}\n"))
                    .collect();
                let lines = lines.concat();
                return format!("{lines}{word} {first}\n{hint}       repeat it with: {repeat}");
            }
        }
        if self.rows.is_empty() {
            return "FAILED nothing was run".into();
        }
        let mut cpus: Vec<String> = self.rows.iter().map(|row| row.cpus.to_string()).collect();
        cpus.dedup();
        let mut arms: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !arms.contains(&row.arm.name()) {
                arms.push(row.arm.name());
            }
        }
        format!(
            "PASSED {} on {} CPUs: {} acquires, {} generations, 0 violations, 0 leaks, 0 bugchecks",
            arms.join(" and "),
            cpus.join(" and "),
            total(|sum| sum.acquires),
            total(|sum| sum.generations)
        )
    }

    /// The object of `--json`.
    pub(crate) fn json(&self) -> Value {
        let runs: Vec<Value> = self
            .rows
            .iter()
            .map(|Row { cpus, arm, sum }| {
                json!({
                    "cpus": cpus,
                    "arm": arm.option(),
                    "code": arm.code(),
                    "acquires": sum.acquires,
                    "refused": sum.refused,
                    "generations": sum.generations,
                    "ways_out": sum.ways_out,
                    "violations": sum.violations,
                    "leaks": sum.leaks,
                    "bugchecks": sum.bugchecks,
                    "seconds": sum.seconds,
                })
            })
            .collect();
        let short: Vec<&str> = self.short().collect();
        json!({"passed": self.passed(), "not_enough_seen": short, "runs": runs, "routines": self.routines})
    }
}

/// A number with its thousands set apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups
        .iter()
        .map(|group| String::from_utf8_lossy(group))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{report::WaysOut, scenario::DEMAND};

    fn row(arm: Arm) -> Row {
        let ways_out = WaysOut {
            drained: 6000,
            mwaitx: 1000,
            pause: 1000,
            dispatch: 1000,
            event: 1000,
            late: 0,
        };
        let sum = Sum {
            acquires: DEMAND.acquires,
            refused: 5,
            generations: DEMAND.generations,
            contested: 4000,
            ways_out,
            seconds: 2.5,
            ..Sum::default()
        };
        Row { cpus: 2, arm, sum }
    }

    fn judged(rows: Vec<Row>, faults: Vec<(String, String)>) -> Verdict {
        let mut verdict = Verdict {
            scenarios: rows.len(),
            rows,
            faults,
            ..Verdict::default()
        };
        verdict.judge(&Settings::default());
        verdict
    }

    #[test]
    fn all_that_is_demanded_passes() {
        let verdict = judged(vec![row(Arm::Ours), row(Arm::Native)], Vec::new());
        assert!(verdict.passed());
        assert!(
            verdict
                .table()
                .lines()
                .last()
                .unwrap()
                .starts_with("PASSED ours and native on 2 CPUs: 2 000 000")
        );
        assert_eq!(
            verdict.json()["runs"][0],
            json!({
                "cpus": 2, "arm": "ours", "code": "ours", "acquires": 1_000_000, "refused": 5, "generations": 10_000,
                "ways_out": {"drained": 6000, "mwaitx": 1000, "pause": 1000, "dispatch": 1000, "event": 1000, "late": 0},
                "violations": 0, "leaks": 0, "bugchecks": 0, "seconds": 2.5
            })
        );
    }

    #[test]
    fn nts_code_is_marked() {
        let mut verdict = judged(vec![row(Arm::Ours), row(Arm::Nt)], Vec::new());
        verdict
            .routines
            .insert("ExAcquire".into(), "NT code (lines 1-2)".into());
        let table = verdict.table();
        assert!(
            table.contains("native (NT code)") && table.contains(" NT code (lines 1-2)\n"),
            "{table}"
        );
        assert!(
            verdict
                .last_lines()
                .starts_with("PASSED ours and native (NT code) on 2 CPUs")
        );
        let json = verdict.json();
        assert_eq!(json["runs"][1]["arm"], "native");
        assert_eq!(json["runs"][1]["code"], "NT");
        assert_eq!(json["routines"]["ExAcquire"], "NT code (lines 1-2)");
    }

    #[test]
    fn a_shortfall_is_no_failure_and_names_the_command() {
        let missing = "2 CPUs, ours: waits out by pause: ";
        for (pause, word, short) in [(999, "NOT ENOUGH SEEN", true), (0, "FAILED", false)] {
            let mut ours = row(Arm::Ours);
            ours.sum.ways_out.pause = pause;
            let verdict = judged(vec![ours, row(Arm::Native)], Vec::new());
            assert!(!verdict.passed() && verdict.is_short() == short);
            let json = verdict.json();
            assert_eq!(json["passed"], false);
            assert_eq!(
                json["not_enough_seen"].as_array().map(Vec::len),
                Some(short.into())
            );
            let table = verdict.table();
            assert!(table.contains(&format!("{word} {missing}{pause}")), "{table}");
            assert!(table.ends_with("cargo xtask lab --cpus 2 --seed 1"), "{table}");
        }
        // What went wrong comes first.
        let mut ours = row(Arm::Ours);
        ours.sum.ways_out.pause = 999;
        let broken = ("2 CPUs, native/event: it broke".into(), "again".into());
        let verdict = judged(vec![ours, row(Arm::Native)], vec![broken]);
        assert!(!verdict.is_short() && verdict.last_lines().starts_with("FAILED 2 CPUs, native/event"));
    }

    #[test]
    fn an_arm_that_failed_is_not_blamed_for_its_numbers_too() {
        let mut ours = row(Arm::Ours);
        ours.sum.acquires = 0;
        let verdict = judged(
            vec![ours],
            vec![("2 CPUs, ours/event: it broke".into(), "again".into())],
        );
        assert_eq!(
            verdict.faults().collect::<Vec<_>>(),
            ["2 CPUs, ours/event: it broke"]
        );
    }

    #[test]
    fn nothing_run_is_nothing_passed() {
        assert!(!judged(Vec::new(), Vec::new()).passed());
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(count(number), text);
        }
    }
}
