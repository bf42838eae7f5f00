//! Boots that carry out a script by themselves (docs/lab.md): many requests, without a way over the pipe for each.

use std::{collections::BTreeMap, fs};

use crate::{Verdict, serve};

/// What a script came to.
#[derive(Debug)]
pub struct Played {
    /// The NTSTATUS of each line that was carried out, by its number.
    pub answers: BTreeMap<usize, u32>,
    /// The lab's verdict.
    pub verdict: Verdict,
}

/// Boots a machine with these options of `rundown-lab serve`, and has it carry out a script.
///
/// # Panics
/// When there is no lab, or the machine leaves no report.
#[must_use]
pub fn play(options: &[&str], script: &str) -> Played {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    fs::write(file("script"), script).expect("the folder takes a file");
    let status = serve()
        .args(options)
        .arg("--script")
        .arg(file("script"))
        .arg("--log")
        .arg(file("log"))
        .arg("--report")
        .arg(file("report.json"))
        .stdout(std::process::Stdio::null())
        .status()
        .expect("rundown-lab is a program");
    let log = fs::read(file("log")).unwrap_or_else(|error| panic!("no log ({error}), {status}"));
    Played {
        answers: String::from_utf8_lossy(&log).lines().filter_map(answer).collect(),
        verdict: Verdict::read(&file("report.json"), status),
    }
}

/// `log: step 17 is answered with 0xc0000010 and 0 bytes`
fn answer(line: &str) -> Option<(usize, u32)> {
    let (step, status) = line
        .strip_prefix("log: step ")?
        .split_once(" is answered with 0x")?;
    let status = u32::from_str_radix(status.split(' ').next()?, 16).ok()?;
    Some((step.parse().ok()?, status))
}
