//! Streams that cannot be written, and input that is looked at before anything is built.
#![cfg(target_os = "linux")]

use std::{fs::File, process::Command};

fn full() -> File {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has a device that is always full")
}

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments);
    command
}

#[test]
fn bad_input_is_one_line_whoever_reads_it() {
    for arguments in [
        &["lab", "--native", "/nowhere/x.txt"][..],
        &["bench", "--native", "/nowhere/x.txt"],
        &["interop", "--native", "/nowhere/x.txt"],
        &["windows-report", "/nowhere/x.jsonl"],
    ] {
        let output = xtask(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.starts_with("xtask: /nowhere/x") && said.lines().count() == 1,
            "{said}"
        );
        let unread = xtask(arguments).stderr(full()).status().unwrap();
        assert_eq!(unread.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_mutant_that_there_is_not_is_found_before_anything_is_built() {
    let output = xtask(&["mutate", "no-such-mutant"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("xtask: there is no mutant no-such-mutant") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn help_that_cannot_be_written_is_one_line_and_an_exit_code() {
    for arguments in [&["--help"][..], &["lab", "--help"]] {
        let output = xtask(arguments).stdout(full()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(xtask(arguments).output().unwrap().status.success());
    }
    let wrong = xtask(&["--nonsense"]).stderr(full()).status().unwrap();
    assert_eq!(wrong.code(), Some(2));
}
