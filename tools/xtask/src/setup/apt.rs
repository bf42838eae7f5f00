//! Packages of Debian and Ubuntu.

use std::{
    fs,
    io::{BufRead, IsTerminal, Write, stderr, stdin},
    os::unix::fs::MetadataExt,
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::Consent;
use crate::{process, progress::Progress};

/// Those of `packages` that are not installed.
pub(super) fn missing<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(packages)
        .output()
        .context("dpkg-query cannot be started, which tells the packages that are installed")?;
    Ok(not_installed(&String::from_utf8_lossy(&output.stdout), packages))
}

fn not_installed<'a>(listing: &str, packages: &[&'a str]) -> Vec<&'a str> {
    let installed = |package: &str| {
        listing
            .lines()
            .any(|line| line.split_once(' ') == Some((package, "installed")))
    };
    let mut missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !installed(package))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// Installs `packages`: tells which, asks, and does it; without root it names the command.
pub(super) fn install(packages: &[&str], consent: Consent) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let by_hand =
        format!("sudo sh -c 'apt-get update && apt-get install --yes --no-install-recommends {list}'");
    rundown_streams::tell!("missing packages: {list}");
    // The owner of our own process is the effective user.
    let user = fs::metadata("/proc/self")
        .context("/proc/self cannot be read, which tells who we are")?
        .uid();
    if user != 0 {
        bail!("installing packages takes root. Run this, then the same command again:\n  {by_hand}");
    }
    if consent == Consent::Ask && !ask()? {
        bail!("nothing was installed. To do it by hand:\n  {by_hand}");
    }
    let progress = Progress::begin("apt-get update");
    process::succeed(apt().arg("update"), &progress)?;
    progress.done("");
    let progress = Progress::begin(format!("installing {list}"));
    process::succeed(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
        &progress,
    )?;
    progress.done("");
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn ask() -> Result<bool> {
    if !stdin().is_terminal() {
        bail!("nobody can be asked here; say --yes to have the packages installed");
    }
    rundown_streams::tell_raw!("Install them with apt-get? [Y/n] ");
    stderr().flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    Ok(means_yes(&answer))
}

/// An empty line is yes, the end of the input is not.
fn means_yes(answer: &str) -> bool {
    matches!(
        answer.to_lowercase().as_str(),
        "\n" | "y\n" | "yes\n" | "y" | "yes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_is_installed() {
        let listing = "clang-19 installed\nlld-19 config-files\nllvm-19 half-installed\n";
        let missing = not_installed(listing, &["lld-19", "clang-19", "patch", "llvm-19", "patch"]);
        assert_eq!(missing, ["lld-19", "llvm-19", "patch"]);
    }

    #[test]
    fn answers() {
        for yes in ["\n", "y\n", "Y\n", "yes\n"] {
            assert!(means_yes(yes), "{yes:?}");
        }
        for no in ["", "n\n", "no\n", "what?\n"] {
            assert!(!means_yes(no), "{no:?}");
        }
    }
}
