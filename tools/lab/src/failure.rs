//! The file that a failed run leaves: all that it takes to run it again.

use crate::cli::{self, Asked, Repeat, Serve, Sweep, What};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What a failed run was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRun {
    /// The driver's file.
    pub driver: PathBuf,
    /// Its SHA-256 in hexadecimal: another build may not fail.
    pub sha256: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// `smp`, `chaos` or `replay`.
    pub mode: String,
    /// Why it failed, in a line.
    pub why: String,
    /// The words of the command that runs it again, the program's name left out.
    pub command: Vec<String>,
}

impl FailedRun {
    /// Describes a run of `serve`.
    #[must_use]
    pub fn new(arguments: &Serve, seed: u64, driver: (&Path, &[u8]), why: &str) -> Self {
        let words = arguments.words_with_script(seed);
        Self::of(arguments.subcommand(), words, (arguments, seed), driver, why)
    }

    /// Describes a point of a sweep.
    #[must_use]
    pub fn point(arguments: &Sweep, what: What, point: u64, driver: (&Path, &[u8]), why: &str) -> Self {
        let words = arguments.words(what, point);
        Self::of("sweep", words, (&arguments.serve, arguments.seed()), driver, why)
    }

    fn of(
        subcommand: &str,
        words: Vec<String>,
        (machine, seed): (&Serve, u64),
        (driver, bytes): (&Path, &[u8]),
        why: &str,
    ) -> Self {
        let mut command = vec![subcommand.into()];
        command.extend(words);
        Self {
            driver: std::path::absolute(driver).unwrap_or_else(|_| driver.to_owned()),
            sha256: format!("{:x}", Sha256::digest(bytes)),
            seed,
            mode: machine.mode.name().into(),
            why: why.into(),
            command,
        }
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let cannot = |e: &dyn std::fmt::Display| format!("cannot write {}: {e}", path.display());
        let text = serde_json::to_string_pretty(self).map_err(|e| cannot(&e))?;
        std::fs::write(path, text + "\n").map_err(|e| cannot(&e))
    }
}

/// What `repeat` runs again, after a word about a driver that is not the one of the failure.
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn again(arguments: &Repeat) -> Result<Asked, String> {
    let path = &arguments.file;
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let failure: FailedRun =
        serde_json::from_str(&text).map_err(|e| format!("{} is not a failed run: {e}", path.display()))?;
    let driver = std::fs::read(&failure.driver)
        .map_err(|e| format!("cannot read the driver {}: {e}", failure.driver.display()))?;
    if format!("{:x}", Sha256::digest(&driver)) != failure.sha256 {
        rundown_streams::tell!(
            "rundown-lab: {} is not the build that failed, which was {}",
            failure.driver.display(),
            failure.sha256
        );
    }
    let words = ["rundown-lab".to_owned()].into_iter().chain(failure.command);
    let mut asked = cli::parse_from(words).map_err(|e| format!("{}: {e}", path.display()))?;
    let machine = match &mut asked {
        Asked::Serve(serve) => serve,
        Asked::Run(run) => &mut run.serve,
        Asked::Sweep(sweep) => &mut sweep.serve,
        Asked::Repeat(_) | Asked::Doctor(_) => return Err(format!("{} does not name a run", path.display())),
    };
    machine.gdb = arguments.gdb.or(machine.gdb);
    machine.dump.clone_from(&arguments.dump);
    machine.dump_scope = arguments.dump_scope;
    machine.failure = Some(path.clone());
    Ok(asked)
}

/// Where a failed run of `driver` leaves its file, unless another place is asked for.
#[must_use]
pub fn default_path(driver: &Path) -> PathBuf {
    driver.with_extension("failed.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash_dump::Scope;

    #[test]
    fn a_failed_point_is_repeated_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (driver, file) = (folder.path().join("a.sys"), folder.path().join("failed.json"));
        std::fs::write(&driver, "MZ").unwrap();
        let words = format!(
            "rundown-lab sweep --script s --points 9 --driver {}",
            driver.display()
        );
        let Asked::Sweep(first) = cli::parse_from(words.split(' ').map(str::to_owned)).unwrap() else {
            panic!("it is a sweep")
        };
        FailedRun::point(&first, What::Kill, 17, (&driver, b"MZ"), "why")
            .write(&file)
            .unwrap();
        let Ok(Asked::Sweep(second)) = again(&Repeat {
            file,
            ..Repeat::default()
        }) else {
            panic!("it was a sweep")
        };
        assert_eq!(
            (second.at, second.what, second.script),
            (Some(17), vec![What::Kill], first.script)
        );
    }

    #[test]
    fn a_failed_run_is_written_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (driver, file) = (folder.path().join("a b.sys"), folder.path().join("failed.json"));
        std::fs::write(&driver, "MZ").unwrap();
        let mut first = cli::parse_words("rundown-lab serve --cpus 4 --mode chaos --unparked 0").unwrap();
        first.driver = Some(driver.clone());
        FailedRun::new(&first, 99, (&driver, b"MZ"), "why")
            .write(&file)
            .unwrap();
        let Ok(Asked::Serve(second)) = again(&Repeat {
            file: file.clone(),
            gdb: Some(1234),
            dump: Some("mine.dmp".into()),
            dump_scope: Some(Scope::Full),
        }) else {
            panic!("it was a run of serve")
        };
        assert_eq!(
            (second.seed, second.cpus, second.mode, second.unparked, second.gdb),
            (Some(99), 4, first.mode, Some(0), Some(1234))
        );
        assert_eq!(
            (second.dump, second.dump_scope),
            (Some("mine.dmp".into()), Some(Scope::Full))
        );
        assert_eq!(second.driver, Some(driver));
        std::fs::write(&file, "{}").unwrap();
        let error = again(&Repeat {
            file,
            ..Repeat::default()
        })
        .unwrap_err();
        assert!(error.contains("failed.json is not a failed run"), "{error}");
    }
}
