//! Requests that a well-behaved client never sends, through `rundownctl raw`: each gets its NTSTATUS and one line.
//!
//! The bytes are written out, so that they also check the protocol's layout from outside.

use std::process::Command;

use anyhow::Result;

use super::tally::{Gate, Tally};
use crate::{process, progress::Progress, tree::Tree};

const QUERY_INFO: &str = "0x80526000";
const STRESS_START: &str = "0x8052e040";
const STRESS_RESULT: &str = "0x80526044";
const INFO_SIZE: &str = "120";
const STARTED_SIZE: &str = "16";

/// A request and what it must be answered with.
struct Case {
    name: &'static str,
    arguments: Vec<String>,
    /// `None`: it succeeds, with an output of this program's choosing.
    status: Option<&'static str>,
}

fn case(name: &'static str, status: Option<&'static str>, arguments: &[&str]) -> Case {
    Case {
        name,
        status,
        arguments: arguments.iter().map(ToString::to_string).collect(),
    }
}

/// Little-endian 32-bit words in hexadecimal.
fn words(words: &[u32]) -> String {
    words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// A `StressStart` with one of its words changed: header, arms, workload, threads, milliseconds, rounds, warm-up, hold, gap,
/// waiter, spin, batch, stall, flags, reserved, seed.
fn start(index: usize, value: u32) -> String {
    let mut start = [72, 3, 1, 1, 2, 10, 1, 0, 100, 100, 1, 0, 1, 0, 0, 0, 1, 0];
    start[index] = value;
    words(&start)
}

fn cases() -> Vec<Case> {
    let info = words(&[8, 3]);
    let mut cases = vec![
        case("a sound request", None, &[QUERY_INFO, &info, "--out", INFO_SIZE]),
        case(
            "an unknown code",
            Some("STATUS_INVALID_DEVICE_REQUEST"),
            &["0x80527ffc", &info, "--out", INFO_SIZE],
        ),
        case(
            "no input",
            Some("STATUS_INFO_LENGTH_MISMATCH"),
            &[QUERY_INFO, "-", "--out", INFO_SIZE],
        ),
        case(
            "half a header",
            Some("STATUS_INFO_LENGTH_MISMATCH"),
            &[QUERY_INFO, "08000000", "--out", INFO_SIZE],
        ),
        case(
            "a long input",
            Some("STATUS_INVALID_BUFFER_SIZE"),
            &[QUERY_INFO, &words(&[8, 3, 0]), "--out", INFO_SIZE],
        ),
        case(
            "another version",
            Some("STATUS_REVISION_MISMATCH"),
            &[QUERY_INFO, &words(&[8, 2]), "--out", INFO_SIZE],
        ),
        case(
            "a size that lies",
            Some("STATUS_INVALID_PARAMETER_1"),
            &[QUERY_INFO, &words(&[16, 3]), "--out", INFO_SIZE],
        ),
        case(
            "no room for the answer",
            Some("STATUS_BUFFER_TOO_SMALL"),
            &[QUERY_INFO, &info, "--out", "0"],
        ),
        case(
            "one byte too little room",
            Some("STATUS_BUFFER_TOO_SMALL"),
            &[QUERY_INFO, &info, "--out", "119"],
        ),
        case(
            "a run that is not ours",
            Some("STATUS_NOT_FOUND"),
            &[STRESS_RESULT, &words(&[16, 3, 99, 0]), "--out", "184"],
        ),
        case(
            "a start with a handle for reading",
            Some("STATUS_ACCESS_DENIED"),
            &[
                STRESS_START,
                &start(17, 0),
                "--out",
                STARTED_SIZE,
                "--access",
                "r",
            ],
        ),
        case(
            "a user without rights",
            Some("STATUS_ACCESS_DENIED"),
            &[QUERY_INFO, &info, "--out", INFO_SIZE, "--user"],
        ),
    ];
    let field = |name, status, index, value| {
        case(
            name,
            Some(status),
            &[STRESS_START, &start(index, value), "--out", STARTED_SIZE],
        )
    };
    cases.extend([
        field("no arm", "STATUS_INVALID_PARAMETER_2", 2, 0),
        field("an unknown arm", "STATUS_INVALID_PARAMETER_2", 2, 128),
        field("an unknown workload", "STATUS_INVALID_PARAMETER_9", 3, 8),
        field("no threads", "STATUS_INVALID_PARAMETER_3", 4, 0),
        field("too many threads", "STATUS_INVALID_PARAMETER_3", 4, 65),
        field("no time", "STATUS_INVALID_PARAMETER_4", 5, 0),
        field("too long a time", "STATUS_INVALID_PARAMETER_4", 5, u32::MAX),
        field("no rounds", "STATUS_INVALID_PARAMETER_11", 6, 0),
        field("rounds that do not fit", "STATUS_INVALID_PARAMETER_11", 6, 6),
        field("a warm-up as long as a turn", "STATUS_INVALID_PARAMETER_12", 7, 5),
        field("too long a hold", "STATUS_INVALID_PARAMETER_5", 8, u32::MAX),
        field("too long a gap", "STATUS_INVALID_PARAMETER_6", 9, u32::MAX),
        field("an unknown waiter", "STATUS_INVALID_PARAMETER_7", 10, 0),
        field("too long a spin", "STATUS_INVALID_PARAMETER_8", 11, u32::MAX),
        field(
            "a batch where there is none",
            "STATUS_INVALID_PARAMETER_10",
            12,
            2,
        ),
        field("an unknown flag", "STATUS_INVALID_PARAMETER_MIX", 14, 4),
        field("a reserved field in use", "STATUS_INVALID_PARAMETER_MIX", 15, 1),
        field("a floor in a storm", "STATUS_OBJECT_TYPE_MISMATCH", 2, 64),
    ]);
    cases
}

/// One boot each.
pub(super) fn steps(gate: &mut Gate, tree: &Tree) {
    gate.step("bad requests", |progress| {
        let mut tally = Tally::default();
        for case in cases() {
            tally.count(run(tree, &case, progress)?);
        }
        Ok(tally)
    });
}

fn run(tree: &Tree, case: &Case, progress: &Progress) -> Result<Option<String>> {
    let mut command = Command::new(tree.lab().join("rundownctl"));
    command
        .args(["--target", "lab:cpus=2", "raw"])
        .args(&case.arguments);
    let finished = process::watch(&mut command, progress)?;
    let explained = |status: &str| {
        let line = finished
            .stderr
            .lines()
            .find(|line| line.starts_with("rundownctl: "));
        line.is_some_and(|line| line.contains(&format!(" {status}: ")))
    };
    let as_expected = match case.status {
        None => finished.status.success(),
        Some(status) => finished.status.code() == Some(4) && explained(status),
    };
    let expected = case.status.unwrap_or("success");
    Ok((!as_expected).then(|| {
        format!(
            "{}: {expected} was expected of `{}`, and:\n{}",
            case.name,
            process::line(&command),
            finished.tail()
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian() {
        assert_eq!(words(&[8, 0x0102_0304]), "0800000004030201");
        assert_eq!(start(17, 0).len(), 144);
    }
}
