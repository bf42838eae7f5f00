//! The rules. Those with a number are `InfVerif`'s, as "INF Validation Errors and Warnings" (Microsoft Learn) publishes
//! them; those without are documented requirements of the sections that they name, or this project's own.

mod device;
mod references;

use rundown_inf::Inf;
use uuid::Uuid;

use super::Resolved;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The package is not made.
    Error,
    /// Worth a look.
    Warning,
}

/// Whose rules an INF has to keep. A rule of the others that it breaks is a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// What setup and `InfVerif` ask of any driver's.
    Windows,
    /// All of them: what this project asks of its own.
    Project,
}

/// The rules that are this project's own, or that know no more than its INFs need.
const OWN: &[&str] = &[
    "ascii",
    "pnp-lockdown",
    "include",
    "delete",
    "directive",
    "security",
];

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's number or name, as in [`RULES`].
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Every rule that is checked, and what it asks.
///
/// `InfVerif`'s published rules that are not here: 1220 and 1310 to 1314 (this INF may not use `Include` and `Needs` at all: rule
/// `include`), 1285 (needs Microsoft's list of classes; a class of our own has a GUID of our own), 1302 (deleting
/// services and files: rule `delete`), 1305, and 133x (a single package, each section used once).
pub const RULES: &[(&str, &str)] = &[
    (
        "1100",
        "a file keeps its name and place from the package to the driver store",
    ),
    ("1203", "every section that a directive names exists"),
    ("1204", "the provider is not Microsoft"),
    ("1205", "no section is named by two different directives"),
    ("1212", "not both [DefaultInstall] and [Manufacturer]"),
    ("1221", "no registry line writes below Services; HKR does"),
    (
        "1230",
        "every file that is copied is in [SourceDisksFiles], and its disk in [SourceDisksNames]",
    ),
    ("1233", "[Version] names a catalogue"),
    ("1235", "every %token% is in [Strings]"),
    (
        "1296",
        "every device's install section has a .Services section with one associated service (flag 2)",
    ),
    ("1297", "every device has a hardware ID"),
    (
        "1300",
        "no legacy directives and sections (LogConfig, co-installers, ...)",
    ),
    ("1303", "no registry line registers a co-installer"),
    ("1304", "registry lines use HKR"),
    (
        "1306",
        "files go to the driver store (directory 13), which driver package isolation asks for",
    ),
    ("2083", "every section is used"),
    ("2223", "models sections are decorated with an architecture"),
    ("ascii", "the file is ASCII"),
    ("signature", "[Version] Signature is $WINDOWS NT$"),
    (
        "class",
        "[Version] has Class and ClassGuid, the GUID is one, and [ClassInstall32] names the class",
    ),
    ("driver-version", "[Version] DriverVer is mm/dd/yyyy,a.b.c.d"),
    ("pnp-lockdown", "[Version] PnpLockdown is 1"),
    ("unstamped", "no $VARIABLE$ of stampinf is left"),
    ("include", "no Include and Needs"),
    (
        "delete",
        "no DelFiles, RenFiles and DelService: a package does not touch what is not its own",
    ),
    ("directive", "no directive that its section does not know"),
    (
        "service",
        "a service section has type, start, error control and a binary, and the binary is a file that is copied",
    ),
    (
        "kmdf",
        "a .Wdf section's service is one that is added, and names KmdfLibraryVersion 1.x",
    ),
    (
        "security",
        "the device has a security descriptor, and it lets in nobody but SYSTEM and administrators",
    ),
    ("destination", "[DestinationDirs] names file lists that exist"),
];

struct Lint<'a> {
    inf: &'a Inf,
    resolved: &'a Resolved<'a>,
    findings: Vec<Finding>,
}

/// Checks an INF that is stamped.
#[must_use]
pub fn lint(text: &str, inf: &Inf, rules: Rules) -> Vec<Finding> {
    let mut findings = all(text, inf);
    if rules == Rules::Windows {
        for finding in findings.iter_mut().filter(|finding| OWN.contains(&finding.rule)) {
            finding.severity = Severity::Warning;
        }
    }
    findings
}

fn all(text: &str, inf: &Inf) -> Vec<Finding> {
    let resolved = Resolved::new(inf);
    let mut lint = Lint {
        inf,
        resolved: &resolved,
        findings: Vec::new(),
    };
    if let Some(line) = text.lines().position(|line| !line.is_ascii()) {
        lint.error(
            "ascii",
            line + 1,
            "a character that is not ASCII: setup would read it in its machine's code page",
        );
    }
    lint.unstamped(text);
    lint.version();
    lint.references();
    lint.files();
    lint.devices();
    lint.services();
    lint.registry();
    lint.findings.sort_by_key(|finding| finding.line);
    lint.findings
}

impl Lint<'_> {
    fn error(&mut self, rule: &'static str, line: usize, what: impl Into<String>) {
        self.report(rule, Severity::Error, line, what.into());
    }

    fn warning(&mut self, rule: &'static str, line: usize, what: impl Into<String>) {
        self.report(rule, Severity::Warning, line, what.into());
    }

    fn report(&mut self, rule: &'static str, severity: Severity, line: usize, what: String) {
        debug_assert!(
            RULES.iter().any(|(known, _)| *known == rule),
            "{rule} is not listed"
        );
        self.findings.push(Finding {
            rule,
            severity,
            line,
            what,
        });
    }

    fn unstamped(&mut self, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let line = line.split(';').next().unwrap_or_default();
            for variable in [
                "$ARCH$",
                "$KMDFVERSION$",
                "$KMDFCOINSTALLERVERSION$",
                "$UMDFVERSION$",
            ] {
                if line.contains(variable) {
                    self.error(
                        "unstamped",
                        index + 1,
                        format!("{variable} is left; stampinf or the kit replaces it"),
                    );
                }
            }
        }
    }

    fn version(&mut self) {
        let Some(version) = self.inf.section("Version") else {
            self.error("signature", 0, "there is no section [Version]");
            return;
        };
        let line = version.line;
        let value = |key| self.inf.value("Version", key).unwrap_or_default();
        let (signature, provider, catalogue) = (value("Signature"), value("Provider"), value("CatalogFile"));
        let (class, guid, lockdown) = (value("Class"), value("ClassGuid"), value("PnpLockdown"));
        if !signature.eq_ignore_ascii_case("$WINDOWS NT$") {
            self.error(
                "signature",
                line,
                format!("Signature is \"{signature}\", not \"$WINDOWS NT$\""),
            );
        }
        if provider.is_empty() || provider.eq_ignore_ascii_case("Microsoft") {
            self.error("1204", line, format!("Provider is \"{provider}\"; name yourself"));
        }
        let has_suffix = std::path::Path::new(&catalogue)
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("cat"));
        if !has_suffix {
            self.error(
                "1233",
                line,
                "CatalogFile = name.cat is missing: the package could not be signed",
            );
        }
        if class.is_empty() || !is_guid(&guid) {
            self.error(
                "class",
                line,
                format!("Class \"{class}\" with ClassGuid \"{guid}\""),
            );
        }
        if lockdown != "1" {
            self.error(
                "pnp-lockdown",
                line,
                "PnpLockdown = 1 keeps others from writing the driver's file",
            );
        }
        let driver_version = version
            .entry("DriverVer")
            .map(|entry| entry.values.join(","))
            .unwrap_or_default();
        if !is_driver_version(&driver_version) {
            self.error(
                "driver-version",
                line,
                format!("DriverVer is \"{driver_version}\", not mm/dd/yyyy,a.b.c.d"),
            );
        }
        if self.inf.section("DefaultInstall").is_some() && self.inf.section("Manufacturer").is_some() {
            self.error("1212", line, "both [DefaultInstall] and [Manufacturer]");
        }
        if let Some(class) = self.inf.section("ClassInstall32")
            && class.entry("AddReg").is_none()
        {
            self.error(
                "class",
                class.line,
                "[ClassInstall32] has no AddReg that gives the class its name",
            );
        }
    }
}

/// In braces, as the registry has it.
fn is_guid(text: &str) -> bool {
    text.len() == 38 && text.starts_with('{') && Uuid::try_parse(text).is_ok()
}

fn is_driver_version(text: &str) -> bool {
    let Some((date, version)) = text.split_once(',') else {
        return false;
    };
    let date: Vec<&str> = date.trim().split('/').collect();
    let [month, day, year] = date.as_slice() else {
        return false;
    };
    let number = |text: &str, length: usize, range: std::ops::RangeInclusive<u16>| {
        text.len() == length && text.parse().is_ok_and(|number| range.contains(&number))
    };
    let parts: Vec<&str> = version.trim().split('.').collect();
    number(month, 2, 1..=12)
        && number(day, 2, 1..=31)
        && number(year, 4, 2000..=9999)
        && parts.len() == 4
        && parts.iter().all(|part| part.parse::<u16>().is_ok())
}
