//! Configures the driver's linking, and puts its INF where Microsoft's tools look for it.

#[path = "build/version_resource.rs"]
mod version_resource;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

const SOURCE: &str = "inf/rundown.inx";
/// `cargo wdk build` and wdk-build's cargo-make tasks want `<package>.inx` beside the manifest (git-ignored there).
const COPY: &str = "rundown.inx";
/// How `WinDbg` shows the driver's types; the linker puts it into the PDB.
const NATVIS: &str = "debugger/rundown.natvis";

fn main() -> Result<(), wdk_build::ConfigError> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build/version_resource.rs");
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
    let resource = PathBuf::from(cargo("OUT_DIR")).join("version.res");
    fs::write(&resource, version())
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", resource.display()));
    println!("cargo::rustc-link-arg-cdylib={}", resource.display());
    wdk_build::configure_wdk_binary_build()
}

/// The version resource, from the manifest.
fn version() -> Vec<u8> {
    let number = |name: &str| {
        cargo(name)
            .parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let version = cargo("CARGO_PKG_VERSION");
    let texts = [
        ("CompanyName", "The rundown authors"),
        ("FileDescription", "Run-down protection stress driver"),
        ("FileVersion", &version),
        ("InternalName", "rundown.sys"),
        ("LegalCopyright", "MIT OR Apache-2.0"),
        ("OriginalFilename", "rundown.sys"),
        ("ProductName", "rundown"),
        ("ProductVersion", &version),
    ];
    version_resource::encode(
        ["MAJOR", "MINOR", "PATCH"].map(|part| number(&format!("CARGO_PKG_VERSION_{part}"))),
        &texts,
    )
}

/// A variable that cargo sets.
fn cargo(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
