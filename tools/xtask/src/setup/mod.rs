//! Set-up: what the machine lacks, and how it gets it.
//!
//! A command asks for what it needs before it builds anything. On Debian and Ubuntu the missing packages are named and,
//! with the user's consent, installed; elsewhere the container is named. Nothing is installed that is not listed first.

mod apt;
#[cfg(test)]
mod programs;
mod system;

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use rundown_kit::{
    client,
    sysroot::Llvm,
    toolchain::{self, Route, Target, Toolchain},
};

use self::system::System;

/// How the user answers before being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes`, or `CI=true`.
    Given,
    /// Ask on the terminal, if there is one.
    Ask,
}

impl Consent {
    /// What `--yes` and the environment say.
    pub(crate) fn new(yes: bool) -> Self {
        let ci = env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        if yes || ci { Self::Given } else { Self::Ask }
    }
}

/// A program that a command needs besides the kit's, and Debian's package with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

/// Runs the lab's machine.
pub(crate) const QEMU: Tool = Tool {
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
};
/// Plants the defects of `mutate`.
pub(crate) const PATCH: Tool = Tool {
    program: "patch",
    package: "patch",
};
/// Signs the package, and judges signatures.
pub(crate) const OSSLSIGNCODE: Tool = Tool {
    program: "osslsigncode",
    package: "osslsigncode",
};
/// Runs the debugger extension's tests.
pub(crate) const NODE: Tool = Tool {
    program: "node",
    package: "nodejs",
};
/// Looks at the running machine.
pub(crate) const GDB: Tool = Tool {
    program: "gdb",
    package: "gdb",
};
/// Builds the drivers in C.
pub(crate) const MAKE: Tool = Tool {
    program: "make",
    package: "make",
};
/// Links the client for Windows.
const MINGW: Tool = Tool {
    program: client::LINKER,
    package: client::LINKER_PACKAGE,
};

impl Tool {
    fn is_missing(self) -> bool {
        !is_program(self.program)
    }
}

/// Whether the path has a program of that name.
pub(crate) fn is_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Makes sure that the kit and `tools` work here, and chooses the toolchain for the driver and the lab's kernel.
pub(crate) fn ensure(route: Option<Route>, consent: Consent, tools: &[Tool]) -> Result<Toolchain> {
    ensure_for(&[Target::Driver, Target::Bare], route, consent, tools)
}

/// The same for the client for Windows, which may take another route: its target is one more that rustup has to get.
pub(crate) fn ensure_client(route: Option<Route>, consent: Consent) -> Result<Toolchain> {
    ensure_for(&[Target::WindowsUser], route, consent, &[MINGW])
}

fn ensure_for(
    targets: &[Target],
    route: Option<Route>,
    consent: Consent,
    tools: &[Tool],
) -> Result<Toolchain> {
    let system = System::here()?;
    let chosen = Toolchain::choose_for(route, targets);
    let debian_set =
        || route != Some(Route::Installed) && system.may_have(&toolchain::packages(Route::Debian));
    let mut packages = match &chosen {
        Ok(toolchain) => toolchain::packages(toolchain.route()),
        Err(_) if debian_set() => toolchain::packages(Route::Debian),
        Err(error) => bail!("{error}"),
    };
    if chosen.is_ok() && Llvm::find().is_ok() {
        packages.clear();
    }
    packages.extend(
        tools
            .iter()
            .filter(|tool| tool.is_missing())
            .map(|tool| tool.package),
    );

    let lacking = !packages.is_empty();
    if lacking {
        if let System::Other(_) = &system {
            system.notice(&packages)?;
        }
        let missing = apt::missing(&packages)?;
        if !missing.is_empty()
            && let Some(notice) = system.notice(&missing)?
        {
            rundown_streams::tell!("{notice}");
        }
        apt::install(&missing, consent)?;
    }
    // What was installed may have opened a route; what is still missing is the kit's to name.
    let toolchain = match chosen {
        Ok(toolchain) if !lacking => toolchain,
        _ => Toolchain::choose_for(route, targets)?,
    };
    Llvm::find()?;
    if let Some(tool) = tools.iter().find(|tool| tool.is_missing()) {
        bail!(
            "{} is not on the path although the package {} is installed",
            tool.program,
            tool.package
        );
    }
    let names: Vec<&str> = targets.iter().map(|target| target.triple()).collect();
    rundown_streams::tell!("toolchain for {}: {toolchain}", names.join(", "));
    Ok(toolchain)
}

/// `cargo fmt` and `cargo clippy` are rustup components that a minimal installation lacks.
pub(crate) fn ensure_components() -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let works = host_cargo()
            .args([subcommand, "--version"])
            .output()
            .with_context(|| format!("{} cannot be started", cargo().display()))?
            .status
            .success();
        if !works {
            bail!("cargo {subcommand} does not work; install it with: rustup component add {component}");
        }
    }
    Ok(())
}

/// cargo-mutants is a program of its own, which cargo builds.
pub(crate) fn ensure_cargo_mutants() -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let output = host_cargo().args(arguments).output();
        output.context("cargo cannot be started")
    };
    if cargo(&["mutants", "--version"])?.status.success() {
        return Ok(());
    }
    let install = ["install", "--locked", "cargo-mutants"];
    let installed = cargo(&install)?;
    if !installed.status.success() {
        let why = String::from_utf8_lossy(&installed.stderr);
        bail!(
            "cargo-mutants cannot be installed by cargo {}: {}",
            install.join(" "),
            why.trim()
        );
    }
    Ok(())
}

/// The oldest Rust that the published crates build with, as their manifests say.
pub(crate) const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Whether rustup has it.
pub(crate) fn has_oldest() -> bool {
    let asked = Command::new("rustup")
        .args(["run", OLDEST, "rustc", "--version"])
        .output();
    asked.is_ok_and(|output| output.status.success())
}

/// Has rustup get it.
pub(crate) fn ensure_oldest() -> Result<()> {
    ensure_rust(OLDEST, &["rustc", "--version"], &[])
}

/// Miri is a component of nightly Rust, which only rustup brings.
pub(crate) fn ensure_miri() -> Result<()> {
    ensure_rust(
        "nightly",
        &["cargo", "miri", "--version"],
        &["--component", "miri", "--component", "rust-src"],
    )
}

/// The sanitizers come with nightly Rust.
pub(crate) fn ensure_sanitizers() -> Result<()> {
    ensure_rust("nightly", &["rustc", "--version"], &[])
}

/// cargo-fuzz instruments with nightly Rust.
pub(crate) fn ensure_cargo_fuzz() -> Result<()> {
    ensure_rust("nightly", &["rustc", "--version"], &[])?;
    let succeeds = |arguments: &[&str]| {
        let output = host_cargo().args(arguments).output();
        output.context("cargo cannot be started")
    };
    if succeeds(&["fuzz", "--version"])?.status.success() {
        return Ok(());
    }
    let installed = succeeds(&["install", "--locked", "cargo-fuzz"])?;
    if !installed.status.success() {
        let why = String::from_utf8_lossy(&installed.stderr);
        bail!("cargo install --locked cargo-fuzz failed: {}", why.trim());
    }
    Ok(())
}

/// A version of Rust with these components, if `probe` does not run in it.
fn ensure_rust(version: &str, probe: &[&str], components: &[&str]) -> Result<()> {
    let rustup = |arguments: &[&str]| {
        Command::new("rustup").args(arguments).output().with_context(|| {
            format!("rustup, which brings Rust {version}, cannot be started; see https://rustup.rs")
        })
    };
    if rustup(&[&["run", version], probe].concat())?.status.success() {
        return Ok(());
    }
    let install = [
        &["toolchain", "install", version, "--profile", "minimal"],
        components,
    ]
    .concat();
    let installed = rustup(&install)?;
    if !installed.status.success() {
        let why = String::from_utf8_lossy(&installed.stderr);
        bail!("rustup {} failed: {}", install.join(" "), why.trim());
    }
    Ok(())
}

/// The cargo that runs us.
fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// The cargo that runs us, for this machine, whatever the user's environment says: what is built is what is asked for.
pub(crate) fn host_cargo() -> Command {
    let mut command = Command::new(cargo());
    toolchain::clear_settings(&mut command);
    // The root's profile aborts on a panic, for the driver. Tests always unwind, so cargo would build the dependencies of the
    // client's tests in both ways, and check them in both.
    command.env("CARGO_PROFILE_DEV_PANIC", "unwind");
    command
}
