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

use serde::Deserialize;

use crate::{
    process::{self, Finished},
    progress::Progress,
    setup::host_cargo,
    tree::Tree,
};

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
    let mut command = host_cargo();
    command.args(["build", "--package", package]);
    in_workspace(&mut command, workspace, target);
    program(command, package)
}

/// Runs a build of a package's program of the same name, and asks cargo where it is: a `[build]` table of the user's own
/// configuration may name a target, which has a folder of its own.
pub(crate) fn program(mut command: Command, package: &str) -> Result<PathBuf> {
    command.arg("--message-format=json-render-diagnostics");
    let finished = finish(&mut command, Progress::begin(format!("building {package}")))?;
    executable(&finished.stdout, package).with_context(|| {
        let line = process::line(&command);
        format!("`{line}` names no program {package} that it has built")
    })
}

/// The program of that name among cargo's messages ("External tools", The Cargo Book: `compiler-artifact`).
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Artifact {
        target: Named,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts
        .filter(|artifact| artifact.target.name == name)
        .find_map(|artifact| artifact.executable)
}

/// Directs cargo to a workspace and its target folder.
pub(crate) fn in_workspace(command: &mut Command, workspace: &Path, target: &Path) {
    // The folder decides which .cargo/config.toml counts, the manifest alone does not.
    command
        .current_dir(workspace)
        .args(["--locked", "--target-dir"])
        .arg(target);
}

/// Leaves out what the release profile has for the driver, the whole program as one unit and debug information: the optimised tests
/// of this machine would be built for minutes, and run no faster.
pub(crate) fn for_here(command: &mut Command) {
    command
        .env("CARGO_PROFILE_RELEASE_LTO", "false")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
}

/// Runs a build to its end, which has to be good.
pub(crate) fn finish(command: &mut Command, progress: Progress) -> Result<Finished> {
    match process::succeed(command, &progress) {
        Ok(finished) => {
            progress.done("");
            Ok(finished)
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

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    /// A package whose configuration says what a user's own may say.
    #[test]
    fn the_program_that_cargo_has_just_built_is_run() {
        let folder = env::temp_dir().join(format!("xtask-build-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "Cargo.toml",
            "[package]\nname = \"said\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
        );
        write(
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"said\"\nversion = \"0.1.0\"\n",
        );
        let build = |says: &str, config: &str| {
            write("src/main.rs", &format!("fn main() {{ print!(\"{says}\") }}"));
            write(".cargo/config.toml", config);
            let program = host_program("said", &folder, &folder.join("target")).unwrap();
            String::from_utf8(Command::new(program).output().unwrap().stdout).unwrap()
        };
        assert_eq!(build("old", ""), "old");
        assert_eq!(
            build("newer", "[build]\ntarget = \"x86_64-unknown-linux-gnu\"\n"),
            "newer"
        );
        assert_eq!(build("newest", "[build]\ntarget-dir = \"elsewhere\"\n"), "newest");
        assert!(!folder.join("elsewhere").exists(), "the folder is ours to choose");
        fs::remove_dir_all(folder).unwrap();
    }
}
