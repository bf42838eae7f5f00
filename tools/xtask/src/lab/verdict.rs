//! The verdict: the table for people, the object for programs, and the last line.

use std::{collections::BTreeMap, fmt::Write as _};

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::{Value, json};

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
            let missed = shortfalls(row.arm, &row.sum);
            self.faults.extend(
                missed
                    .into_iter()
                    .map(|missed| (format!("{name}: {missed}"), repeat.clone())),
            );
        }
    }

    /// Whether everything held and everything demanded was reached.
    pub(crate) fn passed(&self) -> bool {
        self.faults.is_empty() && !self.rows.is_empty()
    }

    /// How many scenarios ran.
    pub(crate) fn scenarios(&self) -> usize {
        self.scenarios
    }

    /// What went wrong, one line each.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &str> {
        self.faults.iter().map(|(fault, _)| fault.as_str())
    }

    /// The table and the last line.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
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
        ]);
        for Row { cpus, arm, sum } in &self.rows {
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
            let mut cells = vec![Cell::new(cpus), Cell::new(arm.name())];
            cells.extend(numbers.map(|number| Cell::new(count(number)).set_alignment(CellAlignment::Right)));
            cells.push(Cell::new(format!("{:.1}", sum.seconds)).set_alignment(CellAlignment::Right));
            table.add_row(cells);
        }
        let mut text = format!("{table}\n");
        for (name, code) in &self.routines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<43} {code}");
        }
        text + &self.last_lines()
    }

    /// `PASSED ...`, or `FAILED ...` with the reasons and the command that repeats the first of them.
    pub(crate) fn last_lines(&self) -> String {
        let total = |number: fn(&Sum) -> u64| count(self.rows.iter().map(|row| number(&row.sum)).sum());
        if let Some(((first, repeat), others)) = self.faults.split_first() {
            let lines: Vec<String> = others
                .iter()
                .map(|(fault, _)| format!("also: {fault}\n"))
                .collect();
            let lines = lines.concat();
            return format!("{lines}FAILED {first}\n       repeat it with: {repeat}");
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
        json!({"passed": self.passed(), "runs": runs, "routines": self.routines})
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
    fn a_shortfall_fails_and_names_the_command() {
        let mut ours = row(Arm::Ours);
        ours.sum.ways_out.pause = 999;
        let verdict = judged(vec![ours, row(Arm::Native)], Vec::new());
        assert!(!verdict.passed());
        assert_eq!(verdict.json()["passed"], false);
        let table = verdict.table();
        assert!(
            table.contains("FAILED 2 CPUs, ours: waits out by pause: 999"),
            "{table}"
        );
        assert!(table.ends_with("cargo xtask lab --cpus 2 --seed 1"), "{table}");
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
