//! What `cargo kmdf` says of packages that it does not build: one line, before anything is built.

use std::{fs, path::Path, process::Command};

/// A package with this text after `[package]`'s, and these files beside its Cargo.toml.
fn package(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), "").unwrap();
    let head = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    fs::write(folder.join("Cargo.toml"), format!("{head}{text}")).unwrap();
}

/// What `cargo kmdf build` prints about the package in `folder`.
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    said(folder, &[&["build"], arguments].concat(), 2)
}

/// The one line that it prints, with this exit code.
fn said(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cargo-kmdf"))
        .arg("kmdf")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    text
}

/// An INF that installs a service.
const SERVICE: &str = "[Version]\n[Install.NT.Services]\nAddService = sample, 2, Service\n";

const DRIVER: &str = "[lib]\ncrate-type = [\"cdylib\"]\n[dependencies]\nwdk-sys = \"0.5.2\"\n";

fn model(text: &str) -> String {
    format!("[workspace]\n{DRIVER}[package.metadata.wdk.driver-model]\n{text}\n")
}

#[test]
fn what_is_no_driver_for_the_kernel_is_refused() {
    let umdf = model("driver-type = \"UMDF\"\numdf-version-major = 2\ntarget-umdf-version-minor = 33");
    let newer = model("driver-type = \"KMDF\"\nkmdf-version-major = 1\ntarget-kmdf-version-minor = 35");
    let other = model("driver-type = \"NDIS\"");
    let bare = format!("[workspace]\n{DRIVER}");
    for (text, said) in [
        (umdf.as_str(), "a UMDF driver is no kernel driver"),
        (
            &newer,
            "KMDF 1.35 is asked for; the kit has the headers of 1.31 and 1.33, so set target-kmdf-version-minor",
        ),
        (&other, "`NDIS` is none of KMDF and WDM; set driver-type"),
        (&bare, "has no [package.metadata.wdk.driver-model]"),
        (
            "[workspace]\n",
            "a cdylib that depends on wdk-sys; run this in a driver's folder",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        package(folder.path(), "sample", text);
        for subcommand in ["build", "check", "clippy", "lab", "package"] {
            let refusal = self::said(folder.path(), &[subcommand], 2);
            assert!(refusal.contains(said), "{refusal}");
        }
    }
}

#[test]
fn a_manifest_that_cargo_does_not_read_is_told_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    for (text, cause) in [
        ("[lib\n", "unclosed table"),
        ("[dependencies]\nwdk-sys = 5\n", "expected a version string"),
    ] {
        package(folder.path(), "sample", text);
        let output = Command::new(env!("CARGO_BIN_EXE_cargo-kmdf"))
            .args(["kmdf", "build"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(cause) && said.contains("Cargo.toml"), "{said}");
    }
}

#[test]
fn without_llvm_its_packages_are_named() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "sample", &model("driver-type = \"WDM\""));
    fs::write(folder.path().join("sample.inx"), SERVICE).unwrap();
    for subcommand in ["build", "check", "clippy"] {
        let text = said(folder.path(), &[subcommand, "--llvm", "none"], 1);
        assert!(
            text.contains("missing none/bin/clang, ") && text.contains("apt-get install clang-19 "),
            "{text}"
        );
    }
}

#[test]
fn a_folder_that_is_no_wdk_is_told_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let kmdf = "driver-type = \"KMDF\"\nkmdf-version-major = 1\ntarget-kmdf-version-minor = 35";
    package(folder.path(), "sample", &model(kmdf));
    fs::write(folder.path().join("sample.inx"), SERVICE).unwrap();
    fs::create_dir_all(folder.path().join("Kits/Include/10.0.22621.0/km")).unwrap();
    for (arguments, minor) in [
        (&["build", "--wdk", "Kits"][..], 35),
        (&["sysroot", "--print", "--kmdf", "1.15", "--wdk", "Kits"], 15),
    ] {
        let text = said(folder.path(), arguments, 1);
        let lacks = [
            "Include/10.0.22621.0/km/wdm.h",
            &format!("Lib/wdf/kmdf/x64/1.{minor}/WdfLdr.lib"),
        ];
        assert!(lacks.iter().all(|part| text.contains(part)), "{text}");
    }
    let none = said(folder.path(), &["sysroot", "--kmdf", "1.15"], 2);
    assert!(
        none.contains("no headers of KMDF 1.15; it has 1.31 and 1.33"),
        "{none}"
    );
}

#[test]
fn a_package_without_an_inf_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "sample", &model("driver-type = \"WDM\""));
    let text = said(folder.path(), &["package"], 2);
    assert!(
        text.contains("installed by its INF, and there is none; add a .inx file"),
        "{text}"
    );
}

#[test]
fn without_the_lab_its_build_is_named_before_the_drivers() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "sample", &model("driver-type = \"WDM\""));
    let text = said(
        folder.path(),
        &["lab", "--release", "--lab", ".", "--cpus", "4"],
        2,
    );
    assert!(
        text.contains("rundown-lab-kernel are not in .; run `cargo xtask test --only build` in"),
        "{text}"
    );
}

#[test]
fn one_of_several_drivers_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = "[workspace]\nmembers = [\"first\", \"second\"]\nresolver = \"2\"\n";
    fs::write(folder.path().join("Cargo.toml"), workspace).unwrap();
    for name in ["first", "second"] {
        package(&folder.path().join(name), name, DRIVER);
    }
    let which = refusal(folder.path(), &[]);
    assert!(
        which.contains("the drivers here are first, second; name one"),
        "{which}"
    );
    let unknown = refusal(folder.path(), &["-p", "third"]);
    assert!(unknown.contains("`third` is no driver's package"), "{unknown}");
    // The one in whose folder it runs needs no name; what it lacks is another matter.
    let own = refusal(&folder.path().join("second"), &[]);
    assert!(
        own.contains("second/Cargo.toml has no [package.metadata.wdk"),
        "{own}"
    );
}

#[test]
fn a_bad_inf_is_found_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "sample", &model("driver-type = \"WDM\""));
    for (bytes, said) in [
        (&b"[Strings]\n"[..], "0 lines DriverVer"),
        (b"[Version]\nX = $UMDFVERSION$\n", "$UMDFVERSION$"),
        (b"[Version]\n\xFF\n", "neither ASCII, UTF-8 nor UTF-16"),
        (
            b"[Version]\n[Oops\n",
            "line 3: a section heading is a name in brackets",
        ),
        (
            b"[Version]\n[Install.NT]\nCopyFiles = Files\n",
            "has no AddService, without which Windows starts no driver; add `AddService = sample, 2, ",
        ),
    ] {
        fs::write(folder.path().join("sample.inx"), bytes).unwrap();
        let refusal = refusal(folder.path(), &[]);
        assert!(
            refusal.contains("sample.inx: ") && refusal.contains(said),
            "{refusal}"
        );
    }
    let missing = refusal(folder.path(), &["--inf", "none.inx"]);
    assert!(missing.contains("none.inx: cannot be read"), "{missing}");
}
