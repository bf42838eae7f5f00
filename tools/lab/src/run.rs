//! `rundown-lab run`: a driver from its loading to its unloading with nobody to steer it, then the sweeps if they are asked for, and the results as
//! `JUnit`'s XML.

use crate::cli::{Run, exit};
use crate::serve::{self, Ended};
use crate::sweep::{self, Swept};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Runs `run`; the answer is this program's exit code.
#[must_use]
pub fn run(arguments: &Run) -> ExitCode {
    let ended = serve::serve_to_end(&arguments.serve);
    let sweep = arguments.sweep().filter(|_| ended.code == exit::PASSED);
    let (code, outcomes) = match sweep {
        Some(sweep) => sweep::sweep_to_end(&sweep),
        None => (ended.code, Vec::new()),
    };
    let Some(path) = &arguments.junit else {
        return code.into();
    };
    let driver = arguments.serve.driver_path();
    let name = driver.file_name().unwrap_or_default().to_string_lossy();
    match write(path, &junit(&name, &ended, arguments, &outcomes)) {
        Ok(()) => code.into(),
        Err(text) => {
            rundown_streams::tell!("rundown-lab: {text}");
            exit::OUTPUT.into()
        }
    }
}

fn write(path: &Path, report: &Report) -> Result<(), String> {
    let text = report
        .to_string()
        .map_err(|e| format!("the results are no XML: {e}"))?;
    std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// A test for the run, and one for each sweep.
fn junit(driver: &str, ended: &Ended, arguments: &Run, outcomes: &[Swept]) -> Report {
    let mut suite = TestSuite::new(driver);
    let seconds = ended.report.as_ref().map_or(0.0, |report| report.seconds);
    let mut test = TestCase::new("load, start, remove, unload", verdict(ended, arguments));
    test.set_classname(driver)
        .set_time(Duration::from_secs_f64(seconds))
        .set_system_out(&ended.said);
    suite.add_test_case(test);
    for outcome in outcomes {
        let status = if outcome.faults.is_empty() {
            TestCaseStatus::success()
        } else {
            failed(
                NonSuccessKind::Failure,
                &format!("{} points failed", outcome.faults.len()),
                &outcome.faults.join("\n"),
            )
        };
        let mut test = TestCase::new(format!("sweep {}", outcome.what.name()), status);
        test.set_classname(driver)
            .set_time(Duration::from_secs_f64(outcome.seconds));
        test.set_system_out(format!("{} points", outcome.points));
        suite.add_test_case(test);
    }
    let mut report = Report::new("rundown-lab");
    report.add_test_suite(suite);
    report
}

fn failed(kind: NonSuccessKind, message: &str, description: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_description(description);
    status
}

/// What the run came to: the driver failed, or something else kept it from a verdict.
fn verdict(ended: &Ended, arguments: &Run) -> TestCaseStatus {
    let report = match &ended.report {
        Some(report) if ended.code == exit::PASSED || ended.code == exit::DRIVER_FAILED => report,
        _ => return failed(NonSuccessKind::Error, "there is no verdict", &ended.said),
    };
    if ended.code == exit::PASSED {
        return TestCaseStatus::success();
    }
    let repeat = format!("REPEAT: {}", arguments.serve.repeat_command(report.seed));
    let (message, stack) = match &report.bugcheck {
        Some(bugcheck) => {
            let frames = bugcheck.stack.iter().map(|frame| {
                let function = frame.function.as_deref().unwrap_or("?");
                let file = frame.file.as_deref().unwrap_or("?");
                format!("  {}!{function} {file}:{}", frame.module, frame.line.unwrap_or(0))
            });
            let message = format!("{} {}: {}", bugcheck.code, bugcheck.name, bugcheck.text);
            (message, frames.collect::<Vec<_>>().join("\n"))
        }
        None => (report.findings.join("; "), String::new()),
    };
    failed(
        NonSuccessKind::Failure,
        &message,
        &format!("{message}\n{stack}\n{repeat}"),
    )
}
