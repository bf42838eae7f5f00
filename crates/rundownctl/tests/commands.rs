//! What the program prints is part of its contract: `tests/cmd/*.trycmd` are transcripts, told by a lab without a machine.
//! `TRYCMD=overwrite cargo test -p rundownctl --test commands` writes them anew.

use std::{env, path::PathBuf, process::Command};

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

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .env("RUNDOWN_LAB", fake_lab().display().to_string())
        .case("tests/cmd/*.trycmd");
}
