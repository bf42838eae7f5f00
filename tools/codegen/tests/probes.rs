//! The probes' machine code: from an optimised build for the host, and from a driver.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use rundown_codegen::{
    image::{self, Functions},
    rules,
};
use rundown_kit::{
    driver::CODE_FLAGS,
    sysroot::Llvm,
    toolchain::{Route, Target, Toolchain},
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// cargo for the optimised build of a package, in a folder of its own whatever this test is built with.
fn build(mut cargo: Command, package: &Path, target: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target);
    let built = cargo
        .args(["build", "--quiet", "--release", "--locked", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // What this test is instrumented with is not what is shipped.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the probes do not build");
    target
}

fn check(image: &str, probes: &Functions) {
    let faults = rules::faults(probes);
    assert!(faults.is_empty(), "{image}:\n{}", faults.join("\n"));
    println!("{image}: {} probes, each as its rule wants it", probes.len());
}

#[test]
fn on_the_host() {
    let package = repository().join("crates/rundown-probes");
    let target = build(Command::new(env!("CARGO")), &package, "host");
    let probes = image::probes_of_program(&target.join("release/rundown-probes")).unwrap();
    check("host", &probes);
}

/// The kit's toolchain and flags, lld, and the driver's profile.
#[test]
fn in_a_driver() {
    let toolchain = Toolchain::choose(None).unwrap_or_else(|error| panic!("{error}"));
    let llvm = Llvm::find().unwrap_or_else(|error| panic!("{error}"));
    let mut cargo = toolchain.cargo(Target::Driver);
    let flags = [CODE_FLAGS, &["-Clinker-flavor=lld-link"]].concat().join(" ");
    cargo
        .env(
            "CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER",
            llvm.program("lld-link"),
        )
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_RUSTFLAGS", flags);
    // Another standard library is another build of everything.
    let folder = match toolchain.route() {
        Route::Installed => "driver",
        Route::Debian => "driver-debian",
    };
    let target = build(cargo, &repository().join("crates/rundown-probes/driver"), folder);
    let output = target.join(Target::Driver.triple()).join("release");
    let probes = image::probes_of_driver(
        &output.join("rundown_probes_driver.dll"),
        &output.join("rundown_probes_driver.pdb"),
    )
    .unwrap();
    check("driver", &probes);
}

/// The lines of a table in a manifest.
fn table(manifest: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    text.lines()
        .skip_while(|line| *line != format!("[{name}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_profile_is_the_drivers() {
    let driver = table(&repository().join("Cargo.toml"), "profile.release");
    assert!(!driver.is_empty());
    let probes = repository().join("crates/rundown-probes/driver/Cargo.toml");
    assert_eq!(table(&probes, "profile.release"), driver);
}
