//! The fake lab as a program, built where the test is.

use std::{env, path::PathBuf, process::Command};

/// Builds it, and returns where it is.
pub(crate) fn fake_lab() -> PathBuf {
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
        // The path below is that of a build for no target in particular.
        .env_remove("CARGO_BUILD_TARGET")
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the fake lab does not build");
    profile
        .join("examples")
        .join("fake-lab")
        .with_extension(env::consts::EXE_EXTENSION)
}
