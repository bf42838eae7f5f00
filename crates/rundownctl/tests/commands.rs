//! What the program prints is part of its contract: `tests/cmd/*.trycmd` are transcripts, told by a lab without a machine.
//! `TRYCMD=overwrite cargo test -p rundownctl --test commands` writes them anew.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds the lab without a machine, where this test was built.
fn fake_lab() -> PathBuf {
    let test = env::current_exe().expect("this program has a path");
    let profile = test.ancestors().nth(2).expect("it is in target/debug/deps");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "rundownctl",
            "--example",
            "fake-lab",
        ])
        .arg("--target-dir")
        .arg(profile.parent().expect("target/debug is in target"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the fake lab does not build");
    profile
        .join("examples")
        .join("fake-lab")
        .with_extension(env::consts::EXE_EXTENSION)
}

fn cases() -> trycmd::TestCases {
    let cases = trycmd::TestCases::new();
    cases
        .env("RUNDOWN_LAB", fake_lab().display().to_string())
        .case("tests/cmd/*.trycmd");
    cases
}

#[test]
fn transcripts() {
    cases().run();
}

/// On Windows the program's file is `rundownctl.exe`, and what it prints is the same.
#[test]
fn transcripts_of_the_program_by_its_name_on_windows() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rundownctl.exe");
    fs::copy(env!("CARGO_BIN_EXE_rundownctl"), &copy).expect("the program can be copied");
    cases().register_bin("rundownctl", copy).run();
}
