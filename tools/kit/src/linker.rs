//! The linker that rustc runs: lld, with a command line that does not depend on where the tree lies.
//!
//! lld writes its command line and the paths of its inputs into the PDB, whose hash is part of the image. rustc's
//! command line names the target folder throughout, and a temporary folder with a random name. This program copies
//! the temporary folder to a fixed one and runs lld in the target folder, with relative paths in a response file.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Names the lld-link to run.
pub const LLD_VARIABLE: &str = "RUNDOWN_KIT_LLD_LINK";
/// Names cargo's target folder.
pub const TARGET_VARIABLE: &str = "RUNDOWN_KIT_TARGET_DIR";

/// The target folder as the PDB names it.
const TARGET_IN_PDB: &str = "/rundown/target";

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match link(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kit-linker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn link(arguments: &[String]) -> io::Result<ExitCode> {
    let variable =
        |name| env::var(name).map_err(|_| io::Error::other(format!("{name} is not set; the kit sets it")));
    let (lld, target) = (variable(LLD_VARIABLE)?, variable(TARGET_VARIABLE)?);
    let target = Path::new(&target);

    // rustc tells a generic lld what to be; the program that is run here is Windows' already.
    let arguments = arguments
        .strip_prefix(&["-flavor".to_owned(), "link".to_owned()])
        .unwrap_or(arguments);
    let inputs = target.join("kit/link");
    if inputs.exists() {
        fs::remove_dir_all(&inputs)?;
    }
    fs::create_dir_all(&inputs)?;
    let temporary = temporary_folder(arguments);
    if let Some(folder) = &temporary {
        copy_files(folder, &inputs)?;
    }

    let mut lines = String::new();
    for argument in arguments {
        let mut argument = argument.clone();
        if let Some(folder) = &temporary {
            argument = argument.replace(&*folder.to_string_lossy(), &inputs.to_string_lossy());
        }
        let path = Path::new(&argument);
        if path.extension().is_some_and(|extension| extension == "rlib") && !path.starts_with(target) {
            // The toolchain's own, whose place depends on the machine.
            let copy = inputs.join(path.file_name().unwrap_or_default());
            fs::copy(path, &copy)?;
            argument = copy.to_string_lossy().into_owned();
        }
        lines.push_str(&quote(&argument.replace(&format!("{}/", target.display()), "")));
        lines.push('\n');
    }
    fs::write(target.join("kit/link.rsp"), lines)?;

    let status = Command::new(&lld)
        .current_dir(target)
        .args(["@kit/link.rsp", &format!("/PDBSOURCEPATH:{TARGET_IN_PDB}")])
        .status()
        .map_err(|error| io::Error::other(format!("cannot run {lld}: {error}")))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The folder that rustc made for this link: `rustc` and six random characters.
fn temporary_folder(arguments: &[String]) -> Option<PathBuf> {
    arguments.iter().find_map(|argument| {
        // After an option's colon, or the whole argument.
        let path = argument
            .find('/')
            .map_or(argument.as_str(), |start| match argument.find(':') {
                Some(colon) if start == 0 && argument[1..colon].chars().all(|c| c.is_ascii_alphabetic()) => {
                    &argument[colon + 1..]
                }
                _ => argument,
            });
        let folder = Path::new(path).parent()?;
        let name = folder.file_name()?.to_str()?;
        (name.len() == 11 && name.starts_with("rustc")).then(|| folder.to_path_buf())
    })
}

/// Copies the files of a folder, not its folders.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
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

    fn folder(line: &[&str]) -> Option<PathBuf> {
        temporary_folder(
            &line
                .iter()
                .map(|&argument| argument.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn finds_rustcs_temporary_folder() {
        let expected = Some(PathBuf::from("/t/deps/rustcYnPZOl"));
        assert_eq!(
            folder(&["-flavor", "link", "/DEF:/t/deps/rustcYnPZOl/lib.def", "/NOLOGO"]),
            expected
        );
        assert_eq!(
            folder(&["/t/deps/rustcYnPZOl/libwdk_sys-2a89706263e26c74.rlib"]),
            expected
        );
    }

    #[test]
    fn takes_no_other_folder_for_it() {
        assert_eq!(
            folder(&[
                "/t/rustc/lib.o",
                "/LIBPATH:/t/rustc-1.95.0/lib",
                "/NOLOGO",
                "/DEBUG",
                "a.o"
            ]),
            None
        );
    }

    #[test]
    fn arguments_with_spaces_are_one_argument() {
        assert_eq!(quote("/OUT:a b.dll"), "\"/OUT:a b.dll\"");
        assert_eq!(quote("/OUT:a.dll"), "/OUT:a.dll");
    }
}
