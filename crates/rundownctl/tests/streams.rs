//! Streams that cannot be written.
#![cfg(target_os = "linux")]

use std::{
    fs::File,
    process::{Command, Output},
};

#[path = "fake/program.rs"]
mod program;

fn full() -> File {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has a device that is always full")
}

fn client(target: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rundownctl"));
    command.args(["--target", target]).args(arguments);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_full_disk_is_one_line_and_an_exit_code() {
    let lab = format!("lab:program={}", program::fake_lab().display());
    for arguments in [&["info"][..], &["info", "--json"], &["status", "--json"]] {
        let output = client(&lab, arguments).stdout(full()).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(7), "{arguments:?}: {said}");
        assert!(
            said.starts_with("rundownctl: standard output cannot be used: No space left")
                && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn help_that_cannot_be_written_is_one_line_and_an_exit_code() {
    for arguments in [&["--help"][..], &["--version"], &["stress", "--help"]] {
        let output = client("lab", arguments).stdout(full()).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(7), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        let read = client("lab", arguments).output().unwrap();
        assert!(read.status.success() && !read.stdout.is_empty(), "{arguments:?}");
    }
    let wrong = client("lab", &["--nonsense"]).stderr(full()).status().unwrap();
    assert_eq!(wrong.code(), Some(2));
}

#[test]
fn an_error_keeps_its_exit_code_whatever_cannot_be_written() {
    let nowhere = "lab:program=/nowhere/rundown-lab";
    let output = client(nowhere, &["info", "--json"])
        .stdout(full())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let status = client(nowhere, &["info"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(3));
}

#[test]
fn tables_are_drawn_in_what_the_locale_names() {
    let lab = format!("lab:program={}", program::fake_lab().display());
    for (locale, ascii) in [("C", true), ("de_DE.ISO-8859-1", true), ("C.UTF-8", false)] {
        let output = client(&lab, &["info"]).env("LC_ALL", locale).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(output.stdout.is_ascii(), ascii, "{locale}");
    }
}
