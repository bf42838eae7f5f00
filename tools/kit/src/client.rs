//! Builds the client for Windows, `rundownctl.exe`, with mingw-w64's linker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use object::{LittleEndian as LE, read::pe::PeFile64};

use crate::{
    Error,
    driver::Workspace,
    toolchain::{Target, Toolchain, cargo_home},
};

/// The client's package.
pub const PACKAGE: &str = "rundownctl";
/// What links it, by Debian's name.
pub const LINKER: &str = "x86_64-w64-mingw32-gcc";
/// Debian's package with the linker.
pub const LINKER_PACKAGE: &str = "gcc-mingw-w64-x86-64-win32";

/// What every Windows from 10 on has in its system folder. A mingw-w64 that links its own runtime dynamically
/// (libgcc, winpthread) would make a program that starts on no machine but the developer's.
const SYSTEM_LIBRARIES: &[&str] = &[
    "advapi32.dll",
    "api-ms-win-core-synch-l1-2-0.dll",
    "bcryptprimitives.dll",
    "cfgmgr32.dll",
    "kernel32.dll",
    "msvcrt.dll",
    "newdev.dll",
    "ntdll.dll",
    "setupapi.dll",
    "userenv.dll",
    "ws2_32.dll",
];

/// Builds the client, optimised and without symbols; answers with the program. cargo's progress goes to standard error.
///
/// # Errors
///
/// If the linker is missing, the sources do not compile, or the program needs a library that Windows does not have.
pub fn build(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    let mut cargo = cargo(workspace, toolchain.cargo(Target::WindowsUser), "build");
    run(&mut cargo, "the client does not compile for Windows")?;
    let program = workspace
        .target()
        .join(Target::WindowsUser.triple())
        .join("release")
        .join(PACKAGE)
        .with_extension("exe");
    let bytes = fs::read(&program).map_err(Error::file("read", &program))?;
    let foreign: Vec<String> = libraries(&bytes)
        .map_err(|what| Error::new(format!("{}: {what}", program.display())))?
        .into_iter()
        .filter(|library| {
            !SYSTEM_LIBRARIES
                .iter()
                .any(|known| known.eq_ignore_ascii_case(library))
        })
        .collect();
    if foreign.is_empty() {
        return Ok(program);
    }
    Err(Error::new(format!(
        "{} needs {}, which is not known to be part of Windows",
        program.display(),
        foreign.join(", ")
    )))
}

/// Runs clippy over the client's sources for Windows, warnings denied.
///
/// # Errors
///
/// As [`build`]; a warning is an error.
pub fn clippy(workspace: &Workspace, toolchain: &Toolchain) -> Result<(), Error> {
    let mut cargo = cargo(workspace, toolchain.cargo(Target::WindowsUser), "clippy");
    cargo.args(["--no-deps", "--", "--deny", "warnings"]);
    run(&mut cargo, "clippy has complaints about the client for Windows")
}

fn cargo(workspace: &Workspace, mut cargo: Command, subcommand: &str) -> Command {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Cstrip=symbols".to_owned(),
        // The same bytes from the same sources.
        "-Clink-arg=-Wl,--no-insert-timestamp".to_owned(),
    ];
    let mut map = |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    map(workspace.sources(), "/rundown");
    if let Some(home) = cargo_home() {
        map(&home.join("registry/src"), "/registry");
    }
    cargo
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .arg(subcommand)
        .args(["--package", PACKAGE, "--locked", "--release", "--target-dir"])
        .arg(workspace.target())
        .current_dir(workspace.sources());
    cargo
}

fn run(cargo: &mut Command, what: &str) -> Result<(), Error> {
    // Standard output may be the caller's, for a program to read.
    let status = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| Error::new(format!("cannot run cargo: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "{what} ({status}); see cargo's messages above. It is linked by {LINKER}; on Debian or Ubuntu: apt-get install {LINKER_PACKAGE}"
    )))
}

/// The libraries that a program imports from.
fn libraries(image: &[u8]) -> Result<Vec<String>, String> {
    let trouble = |error: object::Error| format!("is no 64-bit program for Windows: {error}");
    let file = PeFile64::parse(image).map_err(trouble)?;
    let Some(table) = file.import_table().map_err(trouble)? else {
        return Ok(Vec::new());
    };
    let mut descriptors = table.descriptors().map_err(trouble)?;
    let mut names = Vec::new();
    while let Some(descriptor) = descriptors.next().map_err(trouble)? {
        let name = table.name(descriptor.name.get(LE)).map_err(trouble)?;
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Ok(names)
}
