//! The lab's crash dumps in readers for Python, by other authors: the package of `kdmp-parser` in Python's package index, and Volatility 3.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{steps, tally::Gate};
use crate::{setup, tree::Tree};

/// What is installed below target/.
const PACKAGES: [&str; 2] = ["kdmp-parser==0.7.4", "volatility3==2.28.2"];

/// The step, if a Python can be had that has the readers.
pub(super) fn steps(gate: &mut Gate, tree: &Tree) {
    const NAME: &str = "crash dump in Python's readers";
    if !gate.asks_for(NAME) {
        return;
    }
    match interpreter(tree) {
        Ok(python) => {
            gate.step(NAME, |progress| {
                let mut command = steps::lab_suite(tree, "crash_dump");
                command.args(["--", "--ignored"]).env("RUNDOWN_PYTHON", python);
                steps::tests(&mut command, progress)
            });
        }
        Err(why) => gate.not_run(NAME, &why),
    }
}

/// An interpreter with both readers, in an environment of its own.
fn interpreter(tree: &Tree) -> Result<PathBuf, String> {
    let folder = tree.target().join("python");
    let python = folder.join("bin/python");
    let mut readers = Command::new(&python);
    if succeeds(readers.args(["-c", "import kdmp_parser, volatility3"])) {
        return Ok(python);
    }
    let name = Path::new("python3");
    if !setup::is_program("python3") || !succeeds(Command::new(name).args(["-m", "venv"]).arg(&folder)) {
        return Err("there is no Python with venv (apt-get install python3-venv)".into());
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet"]).args(PACKAGES);
    if succeeds(&mut install) {
        Ok(python)
    } else {
        Err(format!("pip cannot install {}", PACKAGES.join(" and ")))
    }
}

/// Whether it can be started and ends well; what it says is not shown.
fn succeeds(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
