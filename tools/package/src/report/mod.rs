//! The output of `scripts/walk.ps1`, the 20-minute walk on a Windows test machine, judged.
//!
//! The script only records; every verdict is made here, where it can be tested. Its file has one JSON object a line:
//!
//! ```text
//! {"walk":1,"part":"plain","time":"2026-01-31T12:00:00Z"}            a part begins
//! {"step":"install","command":"devcon install ...","exit":0,"seconds":3.1,"output":"..."}
//! ```
//!
//! A part or a step that was walked again counts by its last time.

mod judge;

use std::{fmt, path::Path};

use serde::Deserialize;

use crate::{Error, read, text};

/// The format's version.
pub const VERSION: u32 = 1;

/// What a step's record has to be.
type Judge = fn(&Record) -> Result<String, String>;

/// A part of the walk: its name, whether a walk is incomplete without it, and its steps with their judges.
struct Part {
    name: &'static str,
    required: bool,
    steps: &'static [(&'static str, Judge)],
}

/// The walk, in its order.
const PARTS: &[Part] = &[
    Part {
        name: "prepare",
        required: true,
        steps: &[
            ("system", judge::system),
            ("certificate-root", judge::done),
            ("certificate-publisher", judge::done),
            ("test-signing", judge::done),
        ],
    },
    Part {
        name: "plain",
        required: true,
        steps: RUN,
    },
    Part {
        name: "verifier-on",
        required: true,
        steps: &[("verifier-set", judge::verifier_set)],
    },
    Part {
        name: "verifier",
        required: true,
        steps: RUN_VERIFIED,
    },
    Part {
        name: "restore",
        required: false,
        steps: &[
            ("verifier-reset", judge::verifier_set),
            ("test-signing-off", judge::done),
        ],
    },
];

const RUN: &[(&str, Judge)] = &[
    ("boot-options", judge::boot_options),
    ("install", judge::install),
    ("device", judge::device),
    ("info", judge::info),
    ("stress-ours", judge::stress),
    ("stress-native", judge::stress),
    ("stress-dispatch", judge::stress),
    ("bad-request", judge::bad_request),
    ("remove", judge::remove),
    ("gone", judge::gone),
    ("delete-package", judge::done),
    ("bugchecks", judge::bugchecks),
];

const RUN_VERIFIED: &[(&str, Judge)] = &[
    ("boot-options", judge::boot_options),
    ("verifier-query", judge::verifier_query),
    ("install", judge::install),
    ("device", judge::device),
    ("info", judge::info),
    ("stress-ours", judge::stress),
    ("stress-native", judge::stress),
    ("stress-dispatch", judge::stress),
    ("bad-request", judge::bad_request),
    ("remove", judge::remove),
    ("gone", judge::gone),
    ("delete-package", judge::done),
    ("bugchecks", judge::bugchecks),
];

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Part { walk: u32, part: String },
    Step(Record),
}

/// What the script recorded of a step.
#[derive(Debug, Deserialize)]
struct Record {
    step: String,
    #[serde(default)]
    command: String,
    exit: i64,
    #[serde(default)]
    output: String,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should; with what is worth telling.
    Passed(String),
    /// Not as it should, and what that means.
    Failed(String),
    /// It was not walked.
    Missing,
}

/// A step of the walk and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The part that it belongs to.
    pub part: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How it went.
    pub verdict: Verdict,
}

/// The judged walk.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its steps, in the order of the walk.
    pub steps: Vec<Step>,
}

/// Reads and judges a walk's file.
///
/// # Errors
/// A file that cannot be read, or is none of a walk.
pub fn windows_report(path: &Path) -> Result<Report, Error> {
    parse(&text(&read(path)?)).map_err(|what| Error::Report {
        path: path.to_owned(),
        what,
    })
}

fn parse(text: &str) -> Result<Report, String> {
    let mut part: Option<&Part> = None;
    let mut walked: Vec<(&str, Record)> = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let number = index + 1;
        let line: Line = serde_json::from_str(line)
            .map_err(|error| format!("line {number} is no record of scripts/walk.ps1: {error}"))?;
        match line {
            Line::Part { walk, .. } if walk != VERSION => {
                return Err(format!(
                    "line {number}: a walk of version {walk}; this tool reads version {VERSION}"
                ));
            }
            Line::Part { part: name, .. } => {
                let known = PARTS.iter().find(|known| known.name == name);
                part = Some(known.ok_or_else(|| format!("line {number}: there is no part {name}"))?);
            }
            Line::Step(record) => {
                let part = part.ok_or_else(|| format!("line {number}: a step before any part has begun"))?;
                if !part.steps.iter().any(|(name, _)| *name == record.step) {
                    return Err(format!(
                        "line {number}: part {} has no step {}",
                        part.name, record.step
                    ));
                }
                walked.push((part.name, record));
            }
        }
    }
    if part.is_none() {
        return Err("it is empty: no part has begun".into());
    }
    let mut steps = Vec::new();
    for part in PARTS {
        let begun = walked.iter().any(|(name, _)| *name == part.name);
        for (name, judge) in part.steps.iter().filter(|_| begun || part.required) {
            let record = walked
                .iter()
                .rfind(|(own, record)| *own == part.name && record.step == *name);
            let verdict = match record.map(|(_, record)| judge(record)) {
                None => Verdict::Missing,
                Some(Ok(told)) => Verdict::Passed(told),
                Some(Err(why)) => Verdict::Failed(why),
            };
            steps.push(Step {
                part: part.name,
                name,
                verdict,
            });
        }
    }
    Ok(Report { steps })
}

impl Report {
    /// Whether every step was walked and went as it should.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step.verdict, Verdict::Passed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let (word, text) = match &step.verdict {
                Verdict::Passed(text) => ("passed", text.as_str()),
                Verdict::Failed(text) => ("FAILED", text.as_str()),
                Verdict::Missing => ("missing", "not walked"),
            };
            writeln!(
                f,
                "{:12} {:22} {word:8} {}",
                step.part,
                step.name,
                text.replace('\n', "\n    ")
            )?;
        }
        let count =
            |wanted: fn(&Verdict) -> bool| self.steps.iter().filter(|step| wanted(&step.verdict)).count();
        let passed = count(|verdict| matches!(verdict, Verdict::Passed(_)));
        let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        write!(
            f,
            "{passed} passed, {failed} failed, {} missing",
            self.steps.len() - passed - failed
        )
    }
}

#[cfg(test)]
mod tests;
