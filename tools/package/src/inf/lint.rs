//! The rules. Those with a number are `InfVerif`'s, as "INF Validation Errors and Warnings" (Microsoft Learn) publishes
//! them; those without are documented requirements of the sections that they name, or this project's own.

use super::{
    Entry, Inf, Resolved,
    resolve::{Kind, Service},
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The package is not made.
    Error,
    /// Worth a look.
    Warning,
}

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
pub fn lint(text: &str, inf: &Inf) -> Vec<Finding> {
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

impl<'a> Lint<'a> {
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

    fn references(&mut self) {
        let resolved = self.resolved;
        for missing in &resolved.missing {
            self.error(
                "1203",
                missing.line,
                format!(
                    "{} names [{}], which is missing",
                    missing.directive, missing.section
                ),
            );
        }
        for (line, token) in &resolved.undefined_tokens {
            self.error(
                "1235",
                *line,
                format!("%{token}% is not in [Strings]; write %% for a per cent sign"),
            );
        }
        for (line, section, directive) in &resolved.unknown_directives {
            self.error(
                "directive",
                *line,
                format!("[{section}] does not know {directive}"),
            );
        }
        for section in resolved.unused() {
            self.warning("2083", section.line, format!("{section} is not used"));
        }
        for (index, reference) in resolved.references.iter().enumerate() {
            let other = resolved.references[..index].iter().find(|other| {
                other.section.eq_ignore_ascii_case(&reference.section) && other.kind != reference.kind
            });
            if let Some(other) = other {
                let what = format!(
                    "[{}] is named by {} and by {}",
                    reference.section, other.directive, reference.directive
                );
                self.error("1205", reference.line, what);
            }
            if reference.section.to_ascii_lowercase().ends_with(".coinstallers")
                || reference
                    .section
                    .to_ascii_lowercase()
                    .ends_with(".logconfigoverride")
            {
                self.error(
                    "1300",
                    reference.line,
                    format!("[{}] is legacy", reference.section),
                );
            }
        }
        for section in &self.inf.sections {
            for entry in &section.entries {
                self.legacy(entry);
            }
        }
        let lists = self
            .inf
            .section("DestinationDirs")
            .map(|section| section.entries.as_slice())
            .unwrap_or_default();
        for entry in lists {
            let key = entry.key.clone().unwrap_or_default();
            if !key.eq_ignore_ascii_case("DefaultDestDir") && self.inf.section(&key).is_none() {
                self.error("destination", entry.line, format!("[{key}] is missing"));
            }
        }
    }

    fn legacy(&mut self, entry: &Entry) {
        for directive in [
            "LogConfig",
            "UpdateInis",
            "UpdateIniFields",
            "Ini2Reg",
            "ProfileItems",
            "RegisterDlls",
        ] {
            if entry.is(directive) {
                self.error("1300", entry.line, format!("{directive} is legacy"));
            }
        }
        for directive in ["DelFiles", "RenFiles", "DelService"] {
            if entry.is(directive) {
                self.error(
                    "delete",
                    entry.line,
                    format!("{directive} touches what is not the package's"),
                );
            }
        }
        for directive in ["Include", "Needs"] {
            if entry.is(directive) {
                self.error(
                    "include",
                    entry.line,
                    format!("{directive} depends on another INF"),
                );
            }
        }
    }

    fn files(&mut self) {
        let resolved = self.resolved;
        for file in &resolved.files {
            if !file.source.eq_ignore_ascii_case(&file.target) {
                self.error(
                    "1100",
                    file.line,
                    format!("{} is renamed to {}", file.source, file.target),
                );
            }
            match file.directory.as_str() {
                "13" => {}
                directory if directory.starts_with("13,") => {
                    self.error(
                        "1100",
                        file.line,
                        format!("{} goes to the sub-directory {directory}", file.source),
                    );
                }
                directory => {
                    let what = format!(
                        "{} goes to directory {directory}, not 13, the driver store",
                        file.source
                    );
                    self.error("1306", file.line, what);
                }
            }
            let disk = ["", ".amd64"].iter().find_map(|end| {
                let section = self.inf.section(&format!("SourceDisksFiles{end}"))?;
                section
                    .entry(&file.source)
                    .map(|entry| self.inf.expand(entry.value(0)).unwrap_or_default())
            });
            let Some(disk) = disk else {
                self.error(
                    "1230",
                    file.line,
                    format!("{} is not in [SourceDisksFiles]", file.source),
                );
                continue;
            };
            let names = ["", ".amd64"]
                .iter()
                .filter_map(|end| self.inf.section(&format!("SourceDisksNames{end}")));
            if !names.into_iter().any(|section| section.entry(&disk).is_some()) {
                self.error(
                    "1230",
                    file.line,
                    format!("disk {disk} of {} is not in [SourceDisksNames]", file.source),
                );
            }
        }
    }

    fn devices(&mut self) {
        let resolved = self.resolved;
        if resolved.devices.is_empty() {
            self.error(
                "1297",
                0,
                "no device: [Manufacturer] leads to no line with a hardware ID",
            );
        }
        for device in &resolved.devices {
            if device.hardware_ids.iter().all(String::is_empty) {
                self.error("1297", device.line, "a device without a hardware ID");
            }
            let models = device.models.to_ascii_lowercase();
            if !models.contains(".ntamd64") && !models.contains(".ntarm64") {
                self.warning(
                    "2223",
                    device.line,
                    format!("[{}] names no architecture", device.models),
                );
            }
            let prefix = format!("{}.", device.install.to_ascii_lowercase());
            let has = |kind| {
                resolved
                    .kinds
                    .iter()
                    .any(|(name, own)| *own == kind && name.starts_with(&prefix))
            };
            if !has(Kind::Services) {
                self.error(
                    "1296",
                    device.line,
                    format!("[{}] has no .Services section", device.install),
                );
            }
            if !has(Kind::Hardware) {
                self.error(
                    "security",
                    device.line,
                    format!("[{}] has no .HW section with a descriptor", device.install),
                );
            }
        }
    }

    fn services(&mut self) {
        let resolved = self.resolved;
        let associated = resolved
            .services
            .iter()
            .filter(|service| flags(&service.flags) & 2 != 0)
            .count();
        if !resolved.devices.is_empty() && associated != 1 {
            let line = resolved.services.first().map_or(0, |service| service.line);
            self.error(
                "1296",
                line,
                format!("{associated} services have flag 2 (associated), not one"),
            );
        }
        for service in &resolved.services {
            self.service(service);
        }
        for section in self.of_kind(Kind::Wdf) {
            for entry in section.entries.iter().filter(|entry| entry.is("KmdfService")) {
                let name = self.inf.expand(entry.value(0)).unwrap_or_default();
                if !resolved
                    .services
                    .iter()
                    .any(|service| service.name.eq_ignore_ascii_case(&name))
                {
                    self.error("kmdf", entry.line, format!("no AddService adds {name}"));
                }
            }
        }
        for section in self.of_kind(Kind::Kmdf) {
            let version = self
                .inf
                .value(&section.name, "KmdfLibraryVersion")
                .unwrap_or_default();
            if version
                .strip_prefix("1.")
                .is_none_or(|minor| minor.parse::<u8>().is_err())
            {
                self.error(
                    "kmdf",
                    section.line,
                    format!("KmdfLibraryVersion is \"{version}\", not 1.x"),
                );
            }
        }
    }

    fn service(&mut self, service: &Service) {
        let value = |key| self.inf.value(&service.section, key).unwrap_or_default();
        for key in ["ServiceType", "StartType", "ErrorControl"] {
            if value(key).is_empty() {
                self.error(
                    "service",
                    service.line,
                    format!("[{}] has no {key}", service.section),
                );
            }
        }
        let binary = value("ServiceBinary");
        let file = binary.strip_prefix(r"%13%\");
        let copied = |file| {
            self.resolved
                .files
                .iter()
                .any(|copied| copied.target.eq_ignore_ascii_case(file))
        };
        if !file.is_some_and(copied) {
            let what =
                format!("ServiceBinary is \"{binary}\", which is no file that is copied to directory 13");
            self.error("service", service.line, what);
        }
    }

    fn of_kind(&self, kind: Kind) -> Vec<&'a super::Section> {
        let (inf, resolved) = (self.inf, self.resolved);
        let names = resolved.kinds.iter().filter(|(_, own)| *own == kind);
        names.filter_map(|(name, _)| inf.section(name)).collect()
    }

    fn registry(&mut self) {
        let mut descriptors = 0;
        for section in self
            .of_kind(Kind::AddReg)
            .into_iter()
            .chain(self.of_kind(Kind::DelReg))
        {
            for entry in &section.entries {
                let [root, key, name] = [0, 1, 2].map(|index| {
                    self.inf
                        .expand(entry.value(index))
                        .unwrap_or_default()
                        .to_ascii_lowercase()
                });
                if root != "hkr" {
                    self.error(
                        "1304",
                        entry.line,
                        format!("{} instead of HKR", root.to_ascii_uppercase()),
                    );
                }
                if key.contains(r"currentcontrolset\services") {
                    self.error(
                        "1221",
                        entry.line,
                        "writes below Services; HKR in the service's AddReg does that",
                    );
                }
                if name == "coinstallers32" {
                    self.error("1303", entry.line, "registers a co-installer");
                }
                if key.is_empty() && name == "security" {
                    descriptors += 1;
                    let descriptor = self.inf.expand(entry.value(4)).unwrap_or_default();
                    if let Err(what) = check_descriptor(&descriptor) {
                        self.error("security", entry.line, what);
                    }
                }
            }
        }
        if descriptors == 0 {
            self.error(
                "security",
                0,
                "no registry line gives the device a security descriptor",
            );
        }
    }
}

fn flags(text: &str) -> u32 {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).unwrap_or(0),
        None => text.parse().unwrap_or(0),
    }
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(inner) => inner.split('-').collect(),
        None => return false,
    };
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
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

/// Of a descriptor in SDDL only the form is understood that this project uses: a protected DACL of `allow` entries.
fn check_descriptor(text: &str) -> Result<(), String> {
    let entries = text
        .strip_prefix("D:P")
        .ok_or("the descriptor is no protected DACL (D:P...)")?;
    let entries = entries
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .ok_or("the DACL is empty")?;
    for entry in entries.split(")(") {
        let fields: Vec<&str> = entry.split(';').collect();
        let &["A", _, _, _, _, trustee] = fields.as_slice() else {
            return Err(format!("({entry}) is no allow entry of six fields"));
        };
        if !["SY", "BA"].contains(&trustee) {
            return Err(format!(
                "({entry}) lets {trustee} in, who is neither SYSTEM (SY) nor administrators (BA)"
            ));
        }
    }
    Ok(())
}
