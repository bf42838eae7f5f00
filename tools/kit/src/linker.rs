//! The linker that rustc runs: lld, with inputs and a command line that do not depend on where the tree lies.
//!
//! lld writes its command line and its inputs' paths into the PDB, and the hash of the PDB into the image. rustc's
//! command line names the target folder throughout, and a temporary folder with a random name. This program copies
//! the inputs to a fixed folder and runs lld in the target folder, with relative paths in a response file.
//!
//! The inputs carry one thing more, the SHA-256 of each source file, for debuggers to tell whether they found the
//! right one. A source that a build script wrote may name the folder it lies in (wdk-sys's does); its digest is
//! replaced by that of its text with the folder's name as rustc maps it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use memchr::memmem;
use sha2::{Digest as _, Sha256};

/// Names the lld-link to run.
pub const LLD_VARIABLE: &str = "RUNDOWN_KIT_LLD_LINK";
/// Names cargo's target folder.
pub const TARGET_VARIABLE: &str = "RUNDOWN_KIT_TARGET_DIR";

/// The target folder as the image and the PDB name it.
pub(crate) const MAPPED_TARGET: &str = "/rundown/target";

/// Inside the target folder.
const INPUTS: &str = "kit/link";
const RESPONSE_FILE: &str = "kit/link.rsp";

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match link(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            rundown_streams::tell!("kit-linker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn link(arguments: &[String]) -> io::Result<ExitCode> {
    let variable =
        |name| env::var(name).map_err(|_| io::Error::other(format!("{name} is not set; the kit sets it")));
    let (lld, target) = (variable(LLD_VARIABLE)?, PathBuf::from(variable(TARGET_VARIABLE)?));

    // rustc tells a generic lld what to be; the program that is run here is Windows' already.
    let arguments = arguments
        .strip_prefix(&["-flavor".to_owned(), "link".to_owned()])
        .unwrap_or(arguments);
    let inputs = target.join(INPUTS);
    if inputs.exists() {
        fs::remove_dir_all(&inputs)?;
    }
    fs::create_dir_all(&inputs)?;

    let digests = digests_of_placed_sources(&target)?;
    let mut lines = String::new();
    for argument in arguments {
        let line = if let Some((option, path)) = input(argument, &target) {
            let name = path.file_name().unwrap_or_default();
            let mut bytes = fs::read(path)?;
            for (from, to) in &digests {
                replace(&mut bytes, from, to);
            }
            fs::write(inputs.join(name), bytes)?;
            format!("{option}{INPUTS}/{}", name.display())
        } else {
            argument.replace(&format!("{}/", target.display()), "")
        };
        lines.push_str(&quote(&line));
        lines.push('\n');
    }
    fs::write(target.join(RESPONSE_FILE), lines)?;

    let status = Command::new(&lld)
        .current_dir(&target)
        .args([
            &format!("@{RESPONSE_FILE}"),
            &format!("/PDBSOURCEPATH:{MAPPED_TARGET}"),
        ])
        .status()
        .map_err(|error| io::Error::other(format!("cannot run {lld}: {error}")))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The option, if any, and the file that an argument makes lld read; the stand-in WDK's are fine where they are.
fn input<'a>(argument: &'a str, target: &Path) -> Option<(&'a str, &'a Path)> {
    let (option, path) = match argument.split_once(':') {
        Some((option, _))
            if ["/DEF", "/NATVIS"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(option)) =>
        {
            argument.split_at(option.len() + 1)
        }
        _ => ("", argument),
    };
    let path = Path::new(path);
    (path.is_file() && !path.starts_with(target.join("kit/wdk"))).then_some((option, path))
}

/// The digests of the build scripts' sources that name the target folder, and what takes their place.
fn digests_of_placed_sources(target: &Path) -> io::Result<Vec<([u8; 32], [u8; 32])>> {
    let mut digests = Vec::new();
    let place = target.display().to_string();
    for profile in folders(&target.join("x86_64-pc-windows-msvc"))? {
        for package in folders(&profile.join("build"))? {
            let Ok(entries) = fs::read_dir(package.join("out")) else {
                continue;
            };
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_none_or(|extension| extension != "rs") {
                    continue;
                }
                let text = fs::read_to_string(&path)?;
                let mapped = text.replace(&place, MAPPED_TARGET);
                if mapped != text {
                    digests.push((Sha256::digest(&text).into(), Sha256::digest(&mapped).into()));
                }
            }
        }
    }
    Ok(digests)
}

/// The folders in a folder; none if there is no such folder.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// Replaces every occurrence of `from`.
fn replace(bytes: &mut [u8], from: &[u8; 32], to: &[u8; 32]) {
    let found: Vec<usize> = memmem::find_iter(bytes, from).collect();
    for position in found {
        bytes[position..position + 32].copy_from_slice(to);
    }
}

/// For a response file, which lld reads by the rules of Windows' command line.
fn quote(argument: &str) -> String {
    if argument.contains([' ', '"', '\t']) {
        format!("\"{}\"", argument.replace('"', "\\\""))
    } else {
        argument.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("rundown-kit-linker-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn inputs_are_the_files_that_lld_reads() {
        let target = folder("inputs");
        let file = |name: &str| {
            let path = target.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path.display().to_string()
        };
        let (object, definition, image, wdk) = (
            file("a.o"),
            file("lib.def"),
            file("a.dll"),
            file("kit/wdk/ntoskrnl.lib"),
        );
        assert_eq!(input(&object, &target), Some(("", Path::new(&object))));
        assert_eq!(
            input(&format!("/DEF:{definition}"), &target),
            Some(("/DEF:", Path::new(&definition)))
        );
        assert_eq!(
            input(&format!("/natvis:{object}"), &target),
            Some(("/natvis:", Path::new(&object)))
        );
        for other in [
            format!("/OUT:{image}"),
            wdk,
            "/NOLOGO".into(),
            "/DEF:/nowhere.def".into(),
        ] {
            assert_eq!(input(&other, &target), None, "{other}");
        }
    }

    #[test]
    fn digests_are_of_the_sources_that_name_their_folder() {
        let target = folder("digests");
        let out = target.join("x86_64-pc-windows-msvc/release/build/wdk-sys-0/out");
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("plain.rs"), "struct X;").unwrap();
        fs::write(out.join("placed.rs"), format!("r\"{}/types.rs\"", out.display())).unwrap();
        let own = Sha256::digest(format!("r\"{}/types.rs\"", out.display()));
        let mapped = b"r\"/rundown/target/x86_64-pc-windows-msvc/release/build/wdk-sys-0/out/types.rs\"";
        assert_eq!(
            digests_of_placed_sources(&target).unwrap(),
            [(own.into(), Sha256::digest(mapped).into())]
        );
    }

    #[test]
    fn every_occurrence_is_replaced() {
        let mut bytes = [&[1; 32][..], &[7], &[1; 32], &[1; 31]].concat();
        replace(&mut bytes, &[1; 32], &[2; 32]);
        assert_eq!(bytes, [&[2; 32][..], &[7], &[2; 32], &[1; 31]].concat());
    }

    #[test]
    fn arguments_with_spaces_are_one_argument() {
        assert_eq!(quote("/OUT:a b.dll"), "\"/OUT:a b.dll\"");
        assert_eq!(quote("/OUT:a.dll"), "/OUT:a.dll");
    }
}
