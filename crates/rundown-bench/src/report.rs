//! The figures, for people and for programs.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    rows::{Case, FLOOR, Form, PRIVATE, Row, ratios},
    statistics::{Estimate, estimate},
};

/// The name of the rows of NT's own code, where there are any.
pub const NT: &str = "NT";

/// `{"rows":[{"name","form","case","threads","ratio_to_floor","ci_low","ci_high","nanoseconds"}], "goals":[{"text",
/// "median","low","high","limit","at_least","reached"}]}`
///
/// # Errors
/// When a figure is not finite, which JSON cannot say.
///
/// # Panics
/// As [`goals`].
pub fn json(rows: &[Row]) -> serde_json::Result<Value> {
    let goals: Vec<Value> = goals(rows)
        .iter()
        .map(|goal| {
            let mut object = serde_json::to_value(goal)?;
            object["reached"] = goal.reached().into();
            Ok(object)
        })
        .collect::<serde_json::Result<_>>()?;
    Ok(json!({ "rows": serde_json::to_value(rows)?, "goals": goals }))
}

/// What is to be reached, and what was.
#[derive(Debug, Serialize)]
pub struct Goal {
    /// In words.
    pub text: &'static str,
    /// The figure, with its interval.
    #[serde(flatten)]
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

/// Each round's time of a row.
fn rounds<'a>(rows: &'a [Row], name: &str, form: Form, case: Case) -> &'a [f64] {
    let row = rows
        .iter()
        .find(|row| row.name == name && row.form == form && row.case == case);
    &row.expect("each subject is measured in each case that is asked for")
        .rounds
}

/// Ours, inlined, against NT's code, called: what a driver gains by linking ours instead of importing NT's.
fn goals_against_nt(rows: &[Row]) -> Vec<Goal> {
    let goal = |text, name, case, limit| Goal {
        text,
        seen: estimate(&ratios(
            rounds(rows, name, Form::Inlined, case),
            rounds(rows, NT, Form::Call, case),
        )),
        limit,
        at_least: false,
    };
    vec![
        goal(
            "RundownRef inlined, uncontended: at most 0.95 x NT's called pair",
            "RundownRef",
            Case::Uncontended,
            0.95,
        ),
        goal(
            "RundownRef inlined, 2 threads: at most 0.75 x NT's called pair",
            "RundownRef",
            Case::Contended,
            0.75,
        ),
        goal(
            "WideRundownRef inlined, uncontended: at most 0.80 x NT's called pair",
            "WideRundownRef",
            Case::Uncontended,
            0.80,
        ),
        goal(
            "WideRundownRef inlined, 2 threads: at most 0.45 x NT's called pair",
            "WideRundownRef",
            Case::Contended,
            0.45,
        ),
        goal(
            "DispatchRundownRef inlined, uncontended: at most 0.25 x NT's called pair",
            "DispatchRundownRef",
            Case::Uncontended,
            0.25,
        ),
    ]
}

/// The goals, judged; those against NT where there are rows of its code.
///
/// # Panics
/// When a row is missing.
#[must_use]
pub fn goals(rows: &[Row]) -> Vec<Goal> {
    let inlined = |name: &str, case| rounds(rows, name, Form::Inlined, case);
    let to_floor = |name: &str, case: Case| estimate(&ratios(inlined(name, case), inlined(FLOOR, case)));
    let contended = |name: &str| inlined(name, Case::Contended);
    // What sharing nothing gains over sharing a word: for the bare counters, and for the references.
    let floor_gain = ratios(contended(FLOOR), contended(PRIVATE));
    let own_gain = ratios(contended("RundownRef"), contended("CacheAwareRundownRef"));
    let strict_gain = ratios(contended(FLOOR), contended("CacheAwareRundownRef"));
    let mut goals = vec![
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
        Goal {
            text: "WideCacheAwareRundownRef, uncontended: at most 1.10 x floor",
            seen: to_floor("WideCacheAwareRundownRef", Case::Uncontended),
            limit: 1.10,
            at_least: false,
        },
        Goal {
            text: "WideCacheAwareRundownRef, 2 threads: at most 0.26 x floor",
            seen: to_floor("WideCacheAwareRundownRef", Case::Contended),
            limit: 0.26,
            at_least: false,
        },
        Goal {
            text: "DispatchRundownRef, uncontended: at most 0.30 x floor",
            seen: to_floor("DispatchRundownRef", Case::Uncontended),
            limit: 0.30,
            at_least: false,
        },
        Goal {
            text: "DispatchRundownRef, 2 threads: at most 0.10 x floor",
            seen: to_floor("DispatchRundownRef", Case::Contended),
            limit: 0.10,
            at_least: false,
        },
        Goal {
            text: "DispatchRundownRef, refused: at most 0.15 x floor",
            seen: estimate(&ratios(
                inlined("DispatchRundownRef", Case::Refused),
                inlined(FLOOR, Case::Uncontended),
            )),
            limit: 0.15,
            at_least: false,
        },
    ];
    if rows.iter().any(|row| row.name == NT) {
        goals.extend(goals_against_nt(rows));
    }
    goals
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in which everything takes as long as the floor, but for NT's, which take twice as long.
    fn rows() -> Vec<Row> {
        let cases = [Case::Uncontended, Case::Contended, Case::Refused];
        let ours = [
            FLOOR,
            PRIVATE,
            "RundownRef",
            "WideRundownRef",
            "CacheAwareRundownRef",
            "WideCacheAwareRundownRef",
            "DispatchRundownRef",
        ];
        let inlined = ours.map(|name| (name, Form::Inlined, 1.0));
        let all = inlined.into_iter().chain([(NT, Form::Call, 2.0)]);
        all.flat_map(|(name, form, time)| {
            cases.map(|case| Row {
                name: name.into(),
                form,
                case,
                threads: 1,
                ratio_to_floor: time,
                ci_low: time,
                ci_high: time,
                nanoseconds: time,
                rounds: vec![time; 3],
                disturbed: 0,
            })
        })
        .collect()
    }

    #[test]
    fn goals_against_nt_are_judged_where_nt_was_measured() {
        let mut rows = rows();
        let reached: Vec<(&str, bool)> = goals(&rows)
            .iter()
            .filter(|goal| goal.text.contains("NT"))
            .map(|goal| (goal.text, goal.reached()))
            .collect();
        // 0.5 of NT's each; only the last two goals ask for less.
        assert_eq!(
            reached.iter().map(|(_, reached)| *reached).collect::<Vec<_>>(),
            [true, true, true, false, false],
            "{reached:?}"
        );
        rows.retain(|row| row.name != NT);
        assert!(goals(&rows).iter().all(|goal| !goal.text.contains("NT")));
    }

    #[test]
    fn json_has_the_documented_shape() {
        let value = json(&rows()).unwrap();
        assert_eq!(
            value["rows"][21],
            json!({"name": "NT", "form": "call", "case": "uncontended", "threads": 1, "ratio_to_floor": 2.0,
                "ci_low": 2.0, "ci_high": 2.0, "nanoseconds": 2.0})
        );
        assert_eq!(
            value["goals"][0],
            json!({"text": "RundownRef, uncontended: at most 1.40 x floor", "median": 1.0, "low": 1.0, "high": 1.0,
                "limit": 1.4, "at_least": false, "reached": true})
        );
    }
}
