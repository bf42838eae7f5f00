//! Configures the driver's linking, and puts its INF where Microsoft's tools look for it.

use std::{fs, path::Path};

const SOURCE: &str = "inf/rundown.inx";
/// `cargo wdk build` and wdk-build's cargo-make tasks want `<package>.inx` beside the manifest (git-ignored there).
const COPY: &str = "rundown.inx";
/// How `WinDbg` shows the driver's types; the linker puts it into the PDB.
const NATVIS: &str = "debugger/rundown.natvis";

fn main() -> Result<(), wdk_build::ConfigError> {
    println!("cargo::rerun-if-changed={SOURCE}");
    // Cargo compares time stamps: a copy that is written without need would make every build run this again.
    let source = fs::read(SOURCE).unwrap_or_else(|error| panic!("cannot read {SOURCE}: {error}"));
    if fs::read(Path::new(COPY)).ok().as_deref() != Some(&source[..]) {
        fs::write(COPY, source).unwrap_or_else(|error| panic!("cannot write {COPY}: {error}"));
    }
    // Not `#![debugger_visualizer]`: its file comes to the linker from a temporary folder, whose random name ends up in
    // the PDB and makes every build another one. Relative to the workspace's root, where cargo starts rustc.
    println!("cargo::rerun-if-changed={NATVIS}");
    println!("cargo::rustc-link-arg-cdylib=/NATVIS:{NATVIS}");
    // wdk-build leaves out what MSBuild's rules for drivers have: INIT is thrown away after DriverEntry.
    println!("cargo::rustc-link-arg-cdylib=/SECTION:INIT,ERD");
    wdk_build::configure_wdk_binary_build()
}
