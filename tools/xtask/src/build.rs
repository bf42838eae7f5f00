//! The artefacts: built, and gathered in `target/lab`, where `rundown-lab` and `rundownctl` find each other.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use rundown_kit::{
    client,
    driver::{self, Artefacts, Profile, Workspace},
    sysroot::Llvm,
    toolchain::{Target, Toolchain},
};

use crate::{process, progress::Progress, setup::cargo, tree::Tree};

/// Builds everything that a run of the lab needs and gathers it.
pub(crate) fn all(tree: &Tree, toolchain: &Toolchain) -> Result<()> {
    let driver = driver(tree, toolchain, Profile::Release)?;
    let kernel = lab_kernel(tree, toolchain)?;
    let [lab, client] = host_programs(tree)?;
    let names = tree.root().join("inf/rundown.bugchecks");
    for file in [
        &driver.sys,
        &driver.pdb,
        &driver.inf,
        &names,
        &kernel,
        &lab,
        &client,
    ] {
        gather(file, &tree.lab())?;
    }
    Ok(())
}

/// Builds the driver with cargo's dev profile, and gathers it with what [`all`] built for the release's.
pub(crate) fn dev(tree: &Tree, toolchain: &Toolchain) -> Result<()> {
    let driver = driver(tree, toolchain, Profile::Dev)?;
    let others = [
        "rundown.bugchecks",
        "rundown-lab-kernel",
        "rundown-lab",
        "rundownctl",
    ];
    let others = others.map(|name| tree.lab().join(name));
    for file in [driver.sys, driver.pdb, driver.inf].iter().chain(&others) {
        gather(file, &tree.dev_lab())?;
    }
    Ok(())
}

/// Builds the driver with the kit. cargo tells its progress by itself.
pub(crate) fn driver(tree: &Tree, toolchain: &Toolchain, profile: Profile) -> Result<Artefacts> {
    let progress = Progress::begin_group("building rundown.sys");
    match driver::build(&Workspace::new(tree.root()), toolchain, profile) {
        Ok(artefacts) => {
            progress.done("");
            Ok(artefacts)
        }
        Err(error) => {
            progress.failed("");
            Err(error.into())
        }
    }
}

/// Builds the lab's kernel.
pub(crate) fn lab_kernel(tree: &Tree, toolchain: &Toolchain) -> Result<PathBuf> {
    let mut command = toolchain.cargo(Target::Bare);
    command.args(["build", "--release", "--package", "rundown-lab-image"]);
    in_workspace(&mut command, &tree.root().join("lab"), &tree.lab_target());
    let progress = Progress::begin("building the lab's kernel");
    finish(&mut command, progress)?;
    Ok(tree
        .lab_target()
        .join(Target::Bare.triple())
        .join("release/rundown-lab-kernel"))
}

/// Builds the client for Windows. cargo tells its progress by itself.
pub(crate) fn windows_client(tree: &Tree, toolchain: &Toolchain) -> Result<PathBuf> {
    let progress = Progress::begin_group("building rundownctl.exe");
    match client::build(&Workspace::new(tree.root()), toolchain) {
        Ok(program) => {
            progress.done("");
            Ok(program)
        }
        Err(error) => {
            progress.failed("");
            Err(error.into())
        }
    }
}

/// Builds the specimens, bad drivers for the lab's own tests, and gathers them as `specimens.sys` with its PDB and INF.
pub(crate) fn specimens(tree: &Tree, toolchain: &Toolchain) -> Result<()> {
    let sources = tree.root().join("lab/specimens");
    let target = tree.target().join("specimens");
    let mut command = toolchain.cargo(Target::Driver);
    command.args(["build", "--release"]);
    command.env(
        "CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER",
        Llvm::find()?.program("lld-link"),
    );
    command.env(
        "CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_RUSTFLAGS",
        "-Clinker-flavor=lld-link",
    );
    in_workspace(&mut command, &sources, &target);
    finish(&mut command, Progress::begin("building the specimens"))?;
    let built = target.join(Target::Driver.triple()).join("release");
    gather_as(&built.join("specimens.dll"), &tree.lab().join("specimens.sys"))?;
    gather(&built.join("specimens.pdb"), &tree.lab())?;
    gather(&sources.join("specimens.inf"), &tree.lab())?;
    Ok(())
}

/// Builds `rundown-lab` and `rundownctl` for this machine.
fn host_programs(tree: &Tree) -> Result<[PathBuf; 2]> {
    let client = host_program("rundownctl", tree.root(), &tree.target());
    Ok([tool(tree, "rundown-lab")?, client?])
}

/// Builds a program of the workspace tools/.
pub(crate) fn tool(tree: &Tree, package: &str) -> Result<PathBuf> {
    host_program(package, &tree.root().join("tools"), &tree.tools_target())
}

fn host_program(package: &str, workspace: &Path, target: &Path) -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    command.args(["build", "--package", package]);
    in_workspace(&mut command, workspace, target);
    finish(&mut command, Progress::begin(format!("building {package}")))?;
    Ok(target.join("debug").join(package))
}

/// Directs cargo to a workspace and its target folder.
pub(crate) fn in_workspace(command: &mut Command, workspace: &Path, target: &Path) {
    // The folder decides which .cargo/config.toml counts, the manifest alone does not.
    command
        .current_dir(workspace)
        .args(["--locked", "--target-dir"])
        .arg(target);
}

/// Runs a build to its end, which has to be good.
pub(crate) fn finish(command: &mut Command, progress: Progress) -> Result<()> {
    match process::succeed(command, &progress) {
        Ok(_) => {
            progress.done("");
            Ok(())
        }
        Err(error) => {
            progress.failed("");
            Err(error)
        }
    }
}

/// Puts a copy of a file into a folder.
pub(crate) fn gather(file: &Path, folder: &Path) -> Result<PathBuf> {
    let name = file
        .file_name()
        .with_context(|| format!("{} is no file", file.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let copy = folder.join(name);
    gather_as(file, &copy)?;
    Ok(copy)
}

/// Puts a copy of a file somewhere, instead of what is there.
fn gather_as(file: &Path, copy: &Path) -> Result<()> {
    // A program that still runs cannot be written to, but its name can be taken away.
    if copy.exists() {
        fs::remove_file(copy).with_context(|| format!("{} cannot be replaced", copy.display()))?;
    }
    fs::copy(file, copy)
        .with_context(|| format!("{} cannot be copied to {}", file.display(), copy.display()))?;
    Ok(())
}
