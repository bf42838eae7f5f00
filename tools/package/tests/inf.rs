//! The INF rules: a good file, and each rule broken alone.

use std::{collections::BTreeSet, fs, process::Command};

use rundown_inf::Inf;
use rundown_package::inf::{RULES, Resolved, Rules, Severity, lint};

const GOOD: &str = include_str!("fixtures/good.inf");

fn findings(text: &str) -> Vec<(&'static str, usize, String)> {
    let inf = Inf::parse(text).unwrap();
    lint(text, &inf, Rules::Project)
        .into_iter()
        .map(|finding| (finding.rule, finding.line, finding.what))
        .collect()
}

/// Text of the good file, what replaces it, and the rule that this breaks. One of the findings has to be that rule's.
const BROKEN: &[(&str, &str, &str)] = &[
    (
        "[Sample_Files]\nsample.sys",
        "[Sample_Files]\nother.sys,sample.sys",
        "1100",
    ),
    ("DefaultDestDir = 13", "DefaultDestDir = 13,x64", "1100"),
    ("CopyFiles = Sample_Files", "CopyFiles = Missing_Files", "1203"),
    ("= Standard,NTamd64.10.0...19041", "= Standard,NTarm64", "1203"),
    ("= Sample_Device, Root", "= Missing_Device, Root", "1203"),
    ("Sample_Service\n\n", "Missing_Service\n\n", "1203"),
    ("%Maker%\nCat", "Microsoft\nCat", "1204"),
    (
        "CopyFiles = Sample_Files",
        "CopyFiles = Sample_Files\nAddReg = Sample_Files",
        "1205",
    ),
    ("[Manufacturer]", "[DefaultInstall]\n[Manufacturer]", "1212"),
    ("HKR,,,0,", r"HKR,System\CurrentControlSet\Services\x,,0,", "1221"),
    ("sample.sys = 1\n", "", "1230"),
    ("1 = %Disk%", "2 = %Disk%", "1230"),
    ("CatalogFile = sample.cat", "CatalogFile = sample.txt", "1233"),
    ("CatalogFile = sample.cat\n", "", "1233"),
    ("%Device% =", "%Gadget% =", "1235"),
    ("0x00000002", "0x00000000", "1296"),
    ("[Sample_Device.NT.Services]", "[Sample_Device.Services]", "1296"),
    (r", Root\Sample", "", "1297"),
    (
        "[Manufacturer]\n%Maker% = Standard,NTamd64.10.0...19041",
        "[Manufacturer]",
        "1297",
    ),
    (
        "[Sample_Device.NT]\n",
        "[Sample_Device.NT]\nLogConfig = Class_AddReg\n",
        "1300",
    ),
    (
        "[Sample_Files]",
        "[Sample_Device.NT.CoInstallers]\nAddReg = x\n[Sample_Files]",
        "1300",
    ),
    (
        "HKR,,,0,%Class%",
        "HKR,,CoInstallers32,0x00010000,\"x.dll\"",
        "1303",
    ),
    ("HKR,,,0,", "HKLM,,,0,", "1304"),
    ("DefaultDestDir = 13", "DefaultDestDir = 12", "1306"),
    ("[Strings]", "[Left_Over]\nHKR,,x,,y\n[Strings]", "2083"),
    (
        "Standard,NTamd64.10.0...19041\n\n[Standard.NTamd64.10.0...19041]",
        "Standard\n\n[Standard]",
        "2223",
    ),
    ("The makers", "Thé makers", "ascii"),
    ("$WINDOWS NT$", "$CHICAGO$", "signature"),
    ("[Version]", "[Versions]", "signature"),
    ("89ab-4cde", "89ab4-cde", "class"),
    ("Class       = Sample\n", "", "class"),
    ("AddReg = Class_AddReg\n", "", "class"),
    ("01/31/2026", "31/01/2026", "driver-version"),
    ("1.2.3.4", "1.2.3", "driver-version"),
    ("1.2.3.4", "1.2.3.65536", "driver-version"),
    ("PnpLockdown = 1", "PnpLockdown = 0", "pnp-lockdown"),
    (
        "KmdfLibraryVersion = 1.31",
        "KmdfLibraryVersion = $KMDFVERSION$",
        "unstamped",
    ),
    (
        "[Sample_Device.NT]\n",
        "[Sample_Device.NT]\nInclude = other.inf\n",
        "include",
    ),
    (
        "[Sample_Device.NT]\n",
        "[Sample_Device.NT]\nDelFiles = Sample_Files\n",
        "delete",
    ),
    (
        "[Sample_Device.NT]\n",
        "[Sample_Device.NT]\nCopyFlies = x\n",
        "directive",
    ),
    ("ErrorControl  = 1\n", "", "service"),
    (r"%13%\sample.sys", r"%12%\sample.sys", "service"),
    (r"%13%\sample.sys", r"%13%\other.sys", "service"),
    ("KmdfService = sample", "KmdfService = other", "kmdf"),
    ("= 1.31", "= 2.0", "kmdf"),
    ("(A;;GA;;;BA)", "(A;;GRGW;;;WD)", "security"),
    ("D:P(A", "D:(A", "security"),
    ("(A;;GA;;;BA)", "(D;;GA;;;BA)", "security"),
    ("HKR,,Security", "HKR,,Insecurity", "security"),
    ("[Sample_Device.NT.HW]", "[Sample_Device.HW]", "security"),
    (
        "DefaultDestDir = 13",
        "DefaultDestDir = 13\nMissing_Files = 13",
        "destination",
    ),
];

#[test]
fn the_good_file_keeps_every_rule() {
    assert_eq!(findings(GOOD), []);
}

#[test]
fn each_rule_is_broken_by_its_own_change() {
    for &(from, to, rule) in BROKEN {
        assert_eq!(GOOD.matches(from).count(), 1, "{from:?} is not there once");
        let broken = GOOD.replace(from, to);
        let found = findings(&broken);
        assert!(
            found.iter().any(|(own, ..)| *own == rule),
            "{to:?} should break {rule}: {found:?}"
        );
    }
    let tried: BTreeSet<&str> = BROKEN.iter().map(|(.., rule)| *rule).collect();
    let rules: BTreeSet<&str> = RULES.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(tried, rules, "a rule without a test, or a test without a rule");
}

#[test]
fn a_finding_names_the_line() {
    let broken = GOOD.replace("HKR,,,0,", "HKLM,,,0,");
    let line = broken.lines().position(|line| line.starts_with("HKLM")).unwrap() + 1;
    assert_eq!(findings(&broken)[0].1, line);
}

#[test]
fn references_files_and_ids_are_found() {
    let inf = Inf::parse(GOOD).unwrap();
    let resolved = Resolved::new(&inf);
    assert_eq!(resolved.hardware_ids(), [r"Root\Sample"]);
    assert_eq!(resolved.source_files(), ["sample.sys"]);
    assert!(resolved.missing.is_empty() && resolved.unused().is_empty());
    let followed: BTreeSet<&str> = resolved
        .references
        .iter()
        .map(|reference| reference.section.as_str())
        .collect();
    let sections = [
        "Class_AddReg",
        "Sample_Device.NT",
        "Sample_Device.NT.HW",
        "Sample_Device.NT.Services",
        "Sample_Device.NT.Wdf",
        "Sample_Files",
        "Sample_Kmdf",
        "Sample_Security",
        "Sample_Service",
        "Standard.NTamd64.10.0...19041",
    ];
    assert_eq!(followed, sections.into());
}

/// The driver's own INF, stamped as the kit and stampinf do.
#[test]
fn our_own_inf_keeps_every_rule() {
    let inx = include_str!("../../../inf/rundown.inx");
    let stamped: String = inx
        .replace("$ARCH$", "amd64")
        .replace("$KMDFVERSION$", "1.31")
        .lines()
        .map(|line| {
            if line.starts_with("DriverVer") {
                "DriverVer = 01/31/2026,0.1.0.0"
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\r\n");
    assert_eq!(findings(&stamped), []);
    assert!(findings(inx).iter().any(|(rule, ..)| *rule == "unstamped"));
    let inf = Inf::parse(&stamped).unwrap();
    let resolved = Resolved::new(&inf);
    assert_eq!(resolved.hardware_ids(), [r"Root\Rundown"]);
    assert_eq!(resolved.source_files(), ["rundown.sys"]);
}

/// An INF is ANSI or UTF-16 little-endian (`InfVerif`'s rule 1003).
#[test]
fn the_program_reads_an_inf_in_utf_16() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("wide.inf");
    let wide = format!("\u{feff}{GOOD}");
    let wide: Vec<u8> = wide.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(&file, wide).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rundown-package"))
        .arg("lint")
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// What only this project asks for is a warning to anybody else; what Windows asks for is an error to all.
#[test]
fn an_inf_of_anybodys_keeps_windows_rules() {
    let errors = |text: &str, rules| -> Vec<&str> {
        let findings = lint(text, &Inf::parse(text).unwrap(), rules);
        let errors = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| finding.rule).collect()
    };
    let foreign = GOOD
        .replace("The makers", "Thé makers")
        .replace("HKR,,Security", "HKR,,Insecurity");
    assert!(errors(&foreign, Rules::Project).contains(&"ascii"));
    assert!(errors(&foreign, Rules::Project).contains(&"security"));
    assert_eq!(errors(&foreign, Rules::Windows), [""; 0]);
    assert_eq!(
        lint(&foreign, &Inf::parse(&foreign).unwrap(), Rules::Windows).len(),
        lint(&foreign, &Inf::parse(&foreign).unwrap(), Rules::Project).len()
    );
    let unsigned = GOOD.replace("CatalogFile = sample.cat\n", "");
    assert_eq!(errors(&unsigned, Rules::Windows), ["1233"]);
}
