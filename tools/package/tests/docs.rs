//! What the documentation says about numbers that live in the code.

use std::{collections::BTreeSet, path::Path};

const GUIDE: &str = include_str!("../../../docs/windows.md");
const THREATS: &str = include_str!("../../../docs/threat-model.md");
const CHECK: &str = include_str!("../../../crates/ex-rundown/src/check.rs");
const IOCTL: &str = include_str!("../../../crates/rundown-abi/src/ioctl.rs");
const BUGCHECKS: &str = include_str!("../../../inf/rundown.bugchecks");
const POOL: &str = include_str!("../../../crates/ex-rundown-nt/src/pool.rs");
const DRIVER: &str = include_str!("../../../src/driver.rs");
const MAKEFILE: &str = include_str!("../../../Makefile.toml");
const XTASK: &str = include_str!("../../xtask/src/package.rs");
const ABI: &str = include_str!("../../../crates/rundown-abi/src/lib.rs");

#[test]
fn the_guide_explains_every_misuse() {
    let body = CHECK
        .split_once("pub enum Misuse {")
        .unwrap()
        .1
        .split_once("\n}")
        .unwrap()
        .0;
    let numbers: BTreeSet<u32> = body
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse().ok())
        .collect();
    assert!(!numbers.is_empty());
    let table = GUIDE.split_once("Parameter 1 of `RDNP`:").unwrap().1;
    let explained: BTreeSet<u32> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(' ')?.0.parse().ok())
        .collect();
    assert_eq!(explained, numbers);
}

#[test]
fn the_threat_model_has_every_request() {
    let codes: Vec<String> = IOCTL
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("assert_eq!(super::")?
                .split_once(", 0x")?
                .1
                .strip_suffix(");")
        })
        .map(|digits| format!("(0x{})", digits.replace('_', "").to_ascii_uppercase()))
        .collect();
    assert!(!codes.is_empty());
    let requests = IOCTL.matches("= ctl_code(").count();
    assert_eq!(codes.len(), requests, "the protocol's own test lists every code");
    for code in codes {
        assert!(THREATS.contains(&code), "{code}");
    }
    let guid = ABI
        .split_once("INTERFACE_GUID_TEXT: &str = \"")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    assert!(THREATS.contains(guid));
}

#[test]
fn a_package_from_windows_has_what_one_from_linux_has_beside() {
    let body = XTASK
        .split_once("const BESIDE: ")
        .unwrap()
        .1
        .split_once("];")
        .unwrap()
        .0;
    let mut beside: BTreeSet<&str> = body
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(text)
                .is_file()
        })
        .collect();
    assert!(beside.contains("scripts/walk.ps1"), "{beside:?}");
    beside.insert("${CARGO_MAKE_CRATE_TARGET_DIRECTORY}/release/rundownctl.exe");
    let task = MAKEFILE.split_once("[tasks.copy-beside-to-package]").unwrap().1;
    let copied: BTreeSet<&str> = task
        .lines()
        .filter_map(|line| line.strip_prefix("cp ")?.split_once(" ${package}/"))
        .map(|(from, to)| {
            assert!(from.ends_with(&format!("/{to}")), "{from} becomes {to}");
            from.trim_start_matches("./")
        })
        .collect();
    assert_eq!(copied, beside);
    let flow = "dependencies = [\"package-driver-flow\", \"copy-beside-to-package\"]";
    assert!(MAKEFILE.contains(flow), "the package is made first");
}

#[test]
fn the_guide_explains_every_bug_check_that_only_this_driver_raises() {
    let codes: Vec<u32> = BUGCHECKS
        .lines()
        .filter_map(|line| u32::from_str_radix(line.strip_prefix("0x")?.split_once(' ')?.0, 16).ok())
        .collect();
    // wdk-panic's is `u32::from_be_bytes(*b"RPNC")` (wdk-panic 0.5.0, src/lib.rs).
    assert!(codes.contains(&u32::from_be_bytes(*b"RPNC")), "{codes:x?}");
    for code in codes {
        let letters = String::from_utf8(code.to_be_bytes().to_vec()).unwrap();
        let row = format!("| bugcheck 0x{code:08X} (`{letters}`) |");
        assert!(GUIDE.contains(&row), "{row}");
    }
}

#[test]
fn the_guide_names_the_pool_tags() {
    let tag = POOL
        .split_once("from_le_bytes(*b\"")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    assert!(
        DRIVER.contains("DriverPoolTag: pool::TAG"),
        "the framework's objects have our tag"
    );
    // wdk-alloc's is `rust` (wdk-alloc 0.4.2, src/lib.rs).
    for tag in [tag, "rust"] {
        assert!(GUIDE.contains(&format!("| `{tag}` |")), "{tag}");
    }
}

#[test]
fn every_section_of_the_guide_names_its_sources() {
    let (sections, sources) = GUIDE.split_once("\n## Sources\n").unwrap();
    let told: Vec<&str> = sources
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| ")?
                .split_once(" | ")
                .map(|(section, _)| section)
        })
        .filter(|section| *section != "section")
        .collect();
    let sections: Vec<&str> = sections
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert!(sections.len() > 10);
    assert_eq!(told, sections);
}

/// The files that the sources point at are there.
#[test]
fn the_sources_of_the_guide_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (_, sources) = GUIDE.split_once("\n## Sources\n").unwrap();
    let files: Vec<&str> = sources
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with("tools/") || text.starts_with("crates/") || *text == "src/driver.rs")
        .collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        assert!(root.join(file).exists(), "{file}");
    }
}
