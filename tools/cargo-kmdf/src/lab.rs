//! The lab: where it is, and how a driver that was just built is run in it.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Failure, Made, package::Model, refuse};

const PROGRAM: &str = "rundown-lab";
/// What the program boots; it looks for it beside itself.
const KERNEL: &str = "rundown-lab-kernel";
/// The sources that this program was built from, which are still there if it was installed by their path.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The lab's program, with its kernel beside it.
#[derive(Debug)]
pub(crate) struct Lab(PathBuf);

impl Lab {
    /// The lab in the folder that is named, or else the first of the usual ones that has it.
    pub(crate) fn find(named: Option<&PathBuf>) -> Result<Self, Failure> {
        let sources = Path::new(SOURCES);
        let sources = sources.canonicalize().unwrap_or_else(|_| sources.to_path_buf());
        let folders = named.map_or_else(|| usual(&sources), |folder| vec![folder.clone()]);
        let found = folders.iter().find(|folder| is_lab(folder));
        found.map(|folder| Self(folder.join(PROGRAM))).ok_or_else(|| {
            let place = match named {
                Some(folder) => format!("not in {}", folder.display()),
                None => format!(
                    "neither beside this program nor on the path nor in {}",
                    sources.join("target/lab").display()
                ),
            };
            refuse(format!(
                "{PROGRAM} and {KERNEL} are {place}; run `cargo xtask test --only build` in the sources of cargo-kmdf, \
                 or name with --lab the folder that has both"
            ))
        })
    }

    /// Becomes the lab; answers only if that fails.
    pub(crate) fn run(&self, made: &Made, model: Model, further: &[OsString]) -> Failure {
        let error = Command::new(&self.0)
            .arg("run")
            .arg(&made.sys)
            .args(without_inf(made, model, further))
            .args(further)
            .exec();
        Failure(1, format!("cannot run {}: {error}", self.0.display()))
    }
}

fn is_lab(folder: &Path) -> bool {
    folder.join(PROGRAM).is_file() && folder.join(KERNEL).is_file()
}

/// This program's folder, the path's, and where the sources' own build puts the lab.
fn usual(sources: &Path) -> Vec<PathBuf> {
    let own = env::current_exe().ok();
    let own = own
        .iter()
        .filter_map(|program| program.parent())
        .map(Path::to_path_buf);
    let path = env::var_os("PATH").unwrap_or_default();
    own.chain(env::split_paths(&path))
        .chain([sources.join("target/lab")])
        .collect()
}

/// How the lab takes a driver without an INF, unless it is told: one of WDM by its `DriverEntry` alone, one of KMDF as the driver of a root device.
fn without_inf(made: &Made, model: Model, further: &[OsString]) -> Vec<OsString> {
    let told = |option: &OsString| {
        let name = option.as_encoded_bytes().split(|byte| *byte == b'=').next();
        name.is_some_and(|name| [&b"--inf"[..], b"--hwid", b"--legacy"].contains(&name))
    };
    if made.inf.is_some() || further.iter().any(told) {
        return Vec::new();
    }
    match model {
        Model::Wdm => vec!["--legacy".into()],
        Model::Kmdf(_) => {
            let name = made.sys.file_stem().unwrap_or(OsStr::new("Driver"));
            vec!["--hwid".into(), format!("Root\\{}", name.display()).into()]
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn made(inf: Option<&str>) -> Made {
        Made {
            sys: "/t/a_driver.sys".into(),
            pdb: "/t/a_driver.pdb".into(),
            inf: inf.map(Into::into),
        }
    }

    #[test]
    fn a_lab_is_both_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        for name in [PROGRAM, KERNEL] {
            let Failure(_, text) = Lab::find(Some(&path)).unwrap_err();
            assert_eq!(text.lines().count(), 1);
            assert!(
                text.contains(&*path.display().to_string()) && text.contains("--only build"),
                "{text}"
            );
            fs::write(path.join(name), "").unwrap();
        }
        assert_eq!(Lab::find(Some(&path)).ok().unwrap().0, path.join(PROGRAM));
    }

    #[test]
    fn a_lab_is_looked_for_where_its_own_build_puts_it() {
        assert_eq!(
            usual(Path::new("/clone")).last().unwrap(),
            Path::new("/clone/target/lab")
        );
        assert!(Path::new(SOURCES).join("tools/cargo-kmdf").is_dir());
    }

    #[test]
    fn a_driver_without_an_inf_is_run_as_its_model_has_it() {
        let kmdf = Model::Kmdf(33);
        let words = |words: &[&str]| -> Vec<OsString> { words.iter().map(Into::into).collect() };
        for (inf, model, further, expected) in [
            (None, Model::Wdm, &[][..], &["--legacy"][..]),
            (None, kmdf, &["--cpus", "4"], &["--hwid", r"Root\a_driver"]),
            (None, kmdf, &["--legacy"], &[]),
            (None, Model::Wdm, &["--hwid=Root\\X"], &[]),
            (Some("/t/a_driver.inf"), kmdf, &[], &[]),
        ] {
            assert_eq!(without_inf(&made(inf), model, &words(further)), words(expected));
        }
    }
}
