//! The primitive's models on a copy of the tree, in which a patch may have changed it.

use std::path::Path;

use anyhow::{Result, bail};

use super::outcome::{Failure, Runs};
use crate::{
    build,
    process::{self, Finished},
    progress::Progress,
    setup::host_cargo,
};

/// Runs the tests called `scenes` on the sources in `copy`; one run, since models do not depend on a seed.
pub(super) fn run(scenes: &[String], copy: &Path, target: &Path, progress: &Progress) -> Result<Runs> {
    let mut command = host_cargo();
    command.args(["test", "--package", "ex-rundown", "--release", "--test", "loom"]);
    build::in_workspace(&mut command, copy, target);
    build::for_here(&mut command);
    // A mutant changes a few functions, which are soon built anew. loom itself is the gate's, optimised.
    command.args(["--config", "profile.release.package.ex-rundown.opt-level=0"]);
    command.env("CARGO_INCREMENTAL", "1");
    command
        .env("RUSTFLAGS", "--cfg ex_rundown_loom")
        .env("RUST_BACKTRACE", "0");
    command.args(["--", "--exact", "--nocapture"]).args(scenes);
    let finished = process::watch(&mut command, progress)?;
    let mut runs = Runs::new(1);
    if !finished.status.success() {
        runs.failures.push(failure(&finished, process::line(&command))?);
    } else if !finished
        .stdout
        .contains(&format!("test result: ok. {} passed", scenes.len()))
    {
        bail!(
            "`{}` did not run {} test(s):\n{}",
            process::line(&command),
            scenes.len(),
            finished.tail()
        );
    }
    Ok(runs)
}

/// What failed first: the panic's text, and the model's own line (see `tests/loom/model.rs`), absent when unwinding out of a
/// failed execution aborted the process.
fn failure(finished: &Finished, repeat: String) -> Result<Failure> {
    let panic = finished
        .stderr
        .lines()
        .skip_while(|line| !line.contains("panicked at"))
        .skip(1)
        .find(|line| !line.trim().is_empty());
    let Some(panic) = panic else {
        bail!("`{repeat}` failed, and no model did:\n{}", finished.tail());
    };
    let model = finished
        .stdout
        .lines()
        .find_map(|line| line.strip_suffix(" s, FAILED")?.strip_prefix("loom: "));
    let mut fault = panic.trim().to_owned();
    if let Some((name, _)) = model.and_then(|model| model.split_once(": bound")) {
        fault = format!("{fault}: in `{name}`");
    }
    Ok(Failure {
        seed: 1,
        faults: vec![fault],
        seconds: model.and_then(|model| model.rsplit(", ").next()?.parse().ok()),
        repeat,
    })
}
