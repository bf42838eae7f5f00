//! What the documentation says about numbers that live in the code.

use std::collections::BTreeSet;

const GUIDE: &str = include_str!("../../../docs/windows.md");
const THREATS: &str = include_str!("../../../docs/threat-model.md");
const CHECK: &str = include_str!("../../../crates/ex-rundown/src/check.rs");
const IOCTL: &str = include_str!("../../../crates/rundown-abi/src/ioctl.rs");
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
