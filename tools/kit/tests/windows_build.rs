//! What a build on Windows relies on and no build here would notice.

use std::{fs, path::Path};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The version in the only line of `text` that begins with `name`.
fn version(text: &str, name: &str) -> String {
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
    let version = lines.next().unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(lines.next(), None, "{name} is named twice");
    version
}

#[test]
fn cargo_make_loads_the_tasks_of_the_wdk_build_that_the_driver_uses() {
    let makefile: String = file("Makefile.toml")
        .lines()
        .map(|line| line.trim_start_matches("//! ").to_owned() + "\n")
        .collect();
    assert_eq!(
        version(&makefile, "wdk-build"),
        version(&file("Cargo.toml"), "wdk-build")
    );
    assert!(makefile.contains("default_to_workspace = false"));
}

#[test]
fn the_c_runtime_is_static_for_windows_and_for_nothing_else() {
    let config = file(".cargo/config.toml");
    let mut section = "";
    for line in config.lines() {
        if line.starts_with('[') {
            section = line;
        } else if line.contains("crt-static") && !line.starts_with('#') {
            assert!(
                section.starts_with("[target.") && section.contains("-pc-windows-msvc]"),
                "{section}"
            );
        }
    }
    assert_eq!(config.matches("rustflags = ").count(), 2, "x64 and ARM64");
}

#[test]
fn inf_is_ascii_and_keeps_the_device_to_system_and_administrators() {
    let inx = file("inf/rundown.inx");
    assert!(inx.is_ascii());
    for line in [
        "[Rundown_Device.NT.HW]",
        "HKR,,Security,,\"D:P(A;;GA;;;SY)(A;;GA;;;BA)\"",
        "PnpLockdown = 1",
        "DefaultDestDir = 13",
        "CatalogFile = rundown.cat",
        "KmdfLibraryVersion = $KMDFVERSION$",
        "%DeviceName% = Rundown_Device, Root\\Rundown",
    ] {
        assert!(inx.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn inf_refers_to_nothing_that_it_lacks() {
    let inx = file("inf/rundown.inx");
    let lines: Vec<&str> = inx
        .lines()
        .map(|line| line.split(';').next().unwrap_or("").trim())
        .collect();
    let sections: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'))
        .collect();
    let values = |key: &str| -> Vec<&str> {
        lines
            .iter()
            .filter_map(|line| line.split_once('='))
            .filter(|(found, _)| found.trim() == key)
            .map(|(_, value)| value.trim())
            .collect()
    };
    let mut referred: Vec<&str> = ["AddReg", "CopyFiles"]
        .iter()
        .flat_map(|key| values(key))
        .collect();
    for key in ["AddService", "KmdfService"] {
        referred.extend(values(key).iter().filter_map(|value| value.rsplit(',').next()));
    }
    assert_eq!(referred.len(), 6);
    for name in referred {
        assert!(sections.contains(&name), "[{name}]");
    }
    // Every string between per cent signs is defined (13 is a folder).
    for name in lines
        .iter()
        .flat_map(|line| line.split('%').skip(1).step_by(2))
        .filter(|name| *name != "13")
    {
        assert_eq!(values(name).len(), 1, "%{name}%");
    }
}

#[test]
fn driver_targets_the_framework_that_the_kit_has_headers_for() {
    let manifest = file("Cargo.toml");
    for line in [
        "driver-type = \"KMDF\"",
        "kmdf-version-major = 1",
        "target-kmdf-version-minor = 31",
    ] {
        assert!(manifest.lines().any(|found| found == line), "{line}");
    }
    assert!(!manifest.contains("minimum-kmdf-version-minor"));
}
