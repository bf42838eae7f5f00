//! Streams that cannot be written.
#![cfg(target_os = "linux")]

use std::{fs::File, process::Command};

fn full() -> File {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has a device that is always full")
}

fn package(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-package"));
    command.args(arguments);
    command
}

#[test]
fn a_full_disk_is_one_line_and_an_exit_code() {
    let output = package(&["rules"]).stdout(full()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(
        said.starts_with("rundown-package: standard output cannot be written: No space left")
            && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn an_explanation_that_nobody_reads_changes_nothing() {
    for (arguments, code) in [(&["no-command"][..], 2), (&["lint", "/nowhere/x.inf"], 1)] {
        let status = package(arguments).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
