//! The figures, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    rows::{Case, FLOOR, Form, PRIVATE, Row, ratios},
    statistics::{Estimate, estimate},
};

#[derive(Serialize)]
struct Json<'a> {
    rows: &'a [Row],
}

/// `{"rows":[{"name","form","case","threads","ratio_to_floor","ci_low","ci_high","nanoseconds"}]}`
///
/// # Errors
/// When a figure is not finite, which JSON cannot say.
pub fn json(rows: &[Row]) -> serde_json::Result<String> {
    serde_json::to_string(&Json { rows })
}

/// What is to be reached, and what was.
#[derive(Debug)]
pub struct Goal {
    /// In words.
    pub text: &'static str,
    /// The figure, with its interval.
    pub seen: Estimate,
    /// The limit.
    pub limit: f64,
    /// Whether more is better.
    pub at_least: bool,
}

impl Goal {
    /// Whether the median is on the right side.
    #[must_use]
    pub fn reached(&self) -> bool {
        if self.at_least {
            self.seen.median >= self.limit
        } else {
            self.seen.median <= self.limit
        }
    }
}

fn find<'a>(rows: &'a [Row], name: &str, case: Case) -> &'a Row {
    rows.iter()
        .find(|row| {
            row.name == name && row.case == case && (row.form == Form::Inlined || case == Case::Handover)
        })
        .expect("each subject is measured in each case that is asked for")
}

/// The goals, judged.
///
/// # Panics
/// When a row is missing.
#[must_use]
pub fn goals(rows: &[Row]) -> Vec<Goal> {
    let to_floor = |name: &str, case: Case| {
        estimate(&ratios(
            &find(rows, name, case).rounds,
            &find(rows, FLOOR, case).rounds,
        ))
    };
    let contended = |name: &str| &find(rows, name, Case::Contended).rounds;
    // What sharing nothing gains over sharing a word: for the bare counters, and for the references.
    let floor_gain = ratios(contended(FLOOR), contended(PRIVATE));
    let own_gain = ratios(contended("RundownRef"), contended("CacheAwareRundownRef"));
    let strict_gain = ratios(contended(FLOOR), contended("CacheAwareRundownRef"));
    vec![
        Goal {
            text: "RundownRef, uncontended: at most 1.40 x floor",
            seen: to_floor("RundownRef", Case::Uncontended),
            limit: 1.40,
            at_least: false,
        },
        Goal {
            text: "WideRundownRef, uncontended: at most 1.10 x floor",
            seen: to_floor("WideRundownRef", Case::Uncontended),
            limit: 1.10,
            at_least: false,
        },
        Goal {
            text: "WideRundownRef, 2 threads: at most 1.15 x floor",
            seen: to_floor("WideRundownRef", Case::Contended),
            limit: 1.15,
            at_least: false,
        },
        Goal {
            text: "RundownRef, 2 threads: at most 2.3 x floor",
            seen: to_floor("RundownRef", Case::Contended),
            limit: 2.3,
            at_least: false,
        },
        Goal {
            text: "CacheAwareRundownRef, 2 threads: its gain over RundownRef, by the gain of private counters over one",
            seen: estimate(&ratios(&own_gain, &floor_gain)),
            limit: 0.95,
            at_least: true,
        },
        Goal {
            text: "CacheAwareRundownRef, 2 threads: its gain over the one counter, by the gain of private counters",
            seen: estimate(&ratios(&strict_gain, &floor_gain)),
            limit: 0.95,
            at_least: true,
        },
    ]
}

/// A table, and the goals.
///
/// # Panics
/// Never: a string takes all.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| name | form | case | threads | x floor | 95% interval | nanoseconds | disturbed rounds |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let form = if row.form == Form::Inlined {
            "inlined"
        } else {
            "call"
        };
        let case = format!("{:?}", row.case).to_lowercase();
        writeln!(
            text,
            "| {} | {form} | {case} | {} | {:.2} | {:.2} to {:.2} | {:.1} | {} of {} |",
            row.name,
            row.threads,
            row.ratio_to_floor,
            row.ci_low,
            row.ci_high,
            row.nanoseconds,
            row.disturbed,
            row.rounds.len()
        )
        .expect("a string takes all");
    }
    text.push_str("\n| goal | seen | 95% interval | limit | |\n|---|---|---|---|---|\n");
    for goal in goals(rows) {
        writeln!(
            text,
            "| {} | {:.2} | {:.2} to {:.2} | {:.2} | {} |",
            goal.text,
            goal.seen.median,
            goal.seen.low,
            goal.seen.high,
            goal.limit,
            if goal.reached() { "reached" } else { "missed" }
        )
        .expect("a string takes all");
    }
    text
}
