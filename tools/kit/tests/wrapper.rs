//! The wrapper as cargo runs it: a program in front of another one.

#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rundown_kit::wrapper::{CHAINED_VARIABLE, STAND_INS_VARIABLE, TRY_VARIABLE};

/// A program that prints its name and its arguments, and leaves with status 7.
fn echo(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\necho {name} \"$@\"\nexit 7\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn wrapper(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kit-rustc-wrapper"));
    command
        .env(STAND_INS_VARIABLE, folder.join("stand-ins"))
        .env_remove(CHAINED_VARIABLE)
        .env_remove(TRY_VARIABLE);
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn passes_arguments_and_status_through() {
    let folder = folder("through");
    let output = wrapper(&folder)
        .arg(echo(&folder, "rustc"))
        .args(["--crate-name", "serde", "src/lib.rs", "-O"])
        .output()
        .unwrap();
    assert_eq!(text(&output).0, "rustc --crate-name serde src/lib.rs -O");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn runs_the_callers_wrapper_in_front_of_the_compiler() {
    let folder = folder("chained");
    let output = wrapper(&folder)
        .env(CHAINED_VARIABLE, echo(&folder, "sccache"))
        .arg(echo(&folder, "rustc"))
        .arg("-vV")
        .output()
        .unwrap();
    assert_eq!(
        text(&output).0,
        format!("sccache {} -vV", folder.join("rustc").display())
    );
}

#[test]
fn stops_the_build_at_a_file_that_it_does_not_know() {
    let folder = folder("unknown");
    fs::write(folder.join("lib.rs"), "// not what was released").unwrap();
    let output = wrapper(&folder)
        .env("CARGO_PKG_VERSION", "0.62.2")
        .arg(echo(&folder, "rustc"))
        .args(["--crate-name", "windows"])
        .arg(folder.join("lib.rs"))
        .output()
        .unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!(stdout, "", "the compiler ran");
    assert!(
        stderr.contains("lib.rs is not the `windows` that the kit has a stand-in for"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn stops_the_build_at_a_version_that_it_does_not_know() {
    let folder = folder("version");
    let output = wrapper(&folder)
        .env("CARGO_PKG_VERSION", "0.7.0")
        .arg(echo(&folder, "clippy-driver"))
        .args(["rustc", "--crate-name", "wdk_build", "src/lib.rs"])
        .output()
        .unwrap();
    assert!(
        text(&output)
            .1
            .contains("does not know wdk_build 0.7.0, only 0.5 and 0.6. "),
        "{}",
        text(&output).1
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn tries_what_it_does_not_know_where_it_is_told_to() {
    let folder = folder("anyway");
    fs::write(folder.join("lib.rs"), "// not what was released").unwrap();
    let output = wrapper(&folder)
        .env("CARGO_PKG_VERSION", "0.99.0")
        .env(TRY_VARIABLE, "1")
        .arg(echo(&folder, "rustc"))
        .args(["--crate-name", "windows"])
        .arg(folder.join("lib.rs"))
        .output()
        .unwrap();
    let (stdout, stderr) = text(&output);
    assert!(
        stdout.starts_with("rustc --crate-name windows ") && stdout.contains("/stand-ins/windows-"),
        "{stdout}"
    );
    assert!(
        stderr.contains("windows 0.99.0 is not known, and tried anyway"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn says_that_it_is_not_for_people() {
    let folder = folder("alone");
    let output = wrapper(&folder).output().unwrap();
    assert!(text(&output).1.contains("is run by cargo"), "{}", text(&output).1);
}
