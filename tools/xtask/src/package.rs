//! `cargo xtask package` and `cargo xtask windows-report`: to a Windows test machine, and back from it.
//!
//! `rundown-package` does the work. It is run as a program, since its signatures' cryptography would double what this
//! one compiles before it can say a word.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use rundown_kit::{driver::Profile, toolchain::Toolchain};

use crate::{build, exit, process, progress::Progress, tree::Tree};

const PROGRAM: &str = "rundown-package";

/// What a package has besides driver, INF, symbols, catalogue and certificate: in the tree, and what it is for.
const BESIDE: [(&str, &str); 3] = [
    ("debugger/rundown.js", "the WinDbg extension: .scriptload"),
    (
        "debugger/rundown.natvis",
        "the debugger's view of the driver's types; the PDB has it too",
    ),
    ("scripts/walk.ps1", "the 20-minute walk: records every step"),
];

/// Builds everything that a package holds, makes it, and verifies it; answers with its folder.
pub(crate) fn make(tree: &Tree, toolchain: &Toolchain, for_client: &Toolchain) -> Result<PathBuf> {
    let driver = build::driver(tree, toolchain, Profile::Release)?;
    let client = build::windows_client(tree, for_client)?;
    let program = build::tool(tree, PROGRAM)?;
    let folder = tree.package();

    let mut make = Command::new(&program);
    make.arg("build").arg("--inf").arg(&driver.inf);
    make.arg("--driver").arg(&driver.sys);
    make.arg("--pdb").arg(&driver.pdb);
    make.arg("--beside").arg(&client);
    for (file, _) in BESIDE {
        make.arg("--beside").arg(tree.root().join(file));
    }
    make.arg("--output").arg(&folder);
    finish(&mut make, "making the package")?;
    // Not what `make` had in its memory, but what lies in the folder.
    finish(
        Command::new(&program).arg("verify").arg(&folder),
        "verifying the package",
    )?;
    Ok(folder)
}

fn finish(command: &mut Command, what: &str) -> Result<()> {
    let progress = Progress::begin(what);
    match process::succeed(command, &progress) {
        Ok(finished) => {
            progress.done(finished.stdout.trim());
            Ok(())
        }
        Err(error) => {
            progress.failed("");
            Err(error)
        }
    }
}

/// What lies in the folder, and the way to a device on a test machine.
pub(crate) fn directions(folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("{} cannot be read", folder.display()))?;
        let length = entry
            .metadata()
            .with_context(|| format!("{} cannot be read", entry.path().display()))?
            .len();
        files.push((entry.file_name().to_string_lossy().into_owned(), length));
    }
    files.sort();
    let lines = files.iter().map(|(name, length)| {
        let kilobytes = length.div_ceil(1024);
        format!("  {name:18} {kilobytes:>6} KiB  {}\n", purpose(name))
    });
    Ok(format!(
        "{}\n{}{INSTALL}",
        folder.display(),
        lines.collect::<String>()
    ))
}

fn purpose(name: &str) -> &'static str {
    let beside = BESIDE
        .iter()
        .find(|(file, _)| Path::new(file).file_name().is_some_and(|file| file == name));
    match (beside, Path::new(name).extension().and_then(|end| end.to_str())) {
        (Some((_, purpose)), _) => purpose,
        (_, Some("sys")) => "the driver, signed with page hashes; bound to KMDF by the kit's own entry",
        (_, Some("inf")) => "what Windows installs by",
        (_, Some("cat")) => "the catalogue: vouches for both, signed",
        (_, Some("cer")) => "the certificate, made for this package; nobody has its key any more",
        (_, Some("pdb")) => "the driver's symbols",
        (_, Some("exe")) => "the client",
        _ => "",
    }
}

const INSTALL: &str = r"
For a TEST machine with Secure Boot off; docs/windows.md has each step and what it prints. No Windows has run it yet.
Copy the folder there (and devcon.exe of the WDK into it); in it, as administrator:

  bcdedit /set testsigning on                      then reboot
  certutil -addstore Root rundown-test.cer
  certutil -addstore TrustedPublisher rundown-test.cer
  devcon install rundown.inf Root\Rundown
  rundownctl info

or let walk.ps1 do and record it all, and judge its file here: cargo xtask windows-report walk-output.jsonl";

/// Judges the file that walk.ps1 wrote; whether all was well.
pub(crate) fn report(tree: &Tree, file: &Path) -> Result<bool> {
    exit::read(file)?;
    let program = build::tool(tree, PROGRAM)?;
    let status = Command::new(&program)
        .arg("report")
        .arg(file)
        .status()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    exit::verdict(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_package_has_a_purpose() {
        for name in [
            "rundown.sys",
            "rundown.inf",
            "rundown.cat",
            "rundown.pdb",
            "rundown-test.cer",
            "rundownctl.exe",
            "rundown.js",
            "rundown.natvis",
            "walk.ps1",
        ] {
            assert!(!purpose(name).is_empty(), "{name}");
        }
        assert_eq!(purpose("other.txt"), "");
    }
}
