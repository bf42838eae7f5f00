//! Follows every reference of an INF from `[Version]` and `[Manufacturer]` on.

use rundown_inf::{Entry, Inf, Section};

/// What a section is: which directives it may have, and what they refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Models,
    Install,
    Services,
    Hardware,
    Wdf,
    Interfaces,
    Interface,
    Service,
    Kmdf,
    ClassInstall,
    CopyFiles,
    Files,
    AddReg,
    DelReg,
    /// Referenced, but by a directive whose sections are not looked into.
    Opaque,
}

/// A section that something refers to.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The line that refers to it.
    pub line: usize,
    /// The directive, such as `CopyFiles`.
    pub directive: String,
    /// The section's name, expanded.
    pub section: String,
    pub(super) kind: Kind,
}

/// A file that is copied.
#[derive(Clone, Debug)]
pub(super) struct CopiedFile {
    pub(super) line: usize,
    pub(super) source: String,
    pub(super) target: String,
    /// The directory number and sub-directory that it goes to.
    pub(super) directory: String,
}

/// An `AddService` line.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) flags: String,
    pub(super) section: String,
}

/// A device of a models section.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) line: usize,
    pub(super) models: String,
    pub(super) install: String,
    pub(super) hardware_ids: Vec<String>,
}

/// An INF with its references followed.
#[derive(Debug)]
pub struct Resolved<'a> {
    pub(super) inf: &'a Inf,
    /// Every reference to a section, in the order in which they were followed.
    pub references: Vec<Reference>,
    /// References to sections that do not exist.
    pub missing: Vec<Reference>,
    /// Tokens that `[Strings]` does not define: line and token.
    pub undefined_tokens: Vec<(usize, String)>,
    /// Directives that their section does not have: line, section and directive.
    pub unknown_directives: Vec<(usize, String, String)>,
    pub(super) used: Vec<String>,
    pub(super) files: Vec<CopiedFile>,
    pub(super) services: Vec<Service>,
    pub(super) devices: Vec<Device>,
    pub(super) kinds: Vec<(String, Kind)>,
}

/// Sections that setup finds by their names.
const WELL_KNOWN: &[&str] = &[
    "Version",
    "Manufacturer",
    "Strings",
    "DestinationDirs",
    "ControlFlags",
];
/// Those that may carry an architecture.
const DECORATED: &[&str] = &[
    "SourceDisksNames",
    "SourceDisksFiles",
    "ClassInstall32",
    "DefaultInstall",
];
/// Ends of the names of sections that belong to an install section.
const INSTALL_SUFFIXES: &[(&str, Kind)] = &[
    (".Services", Kind::Services),
    (".HW", Kind::Hardware),
    (".Wdf", Kind::Wdf),
    (".Interfaces", Kind::Interfaces),
    (".CoInstallers", Kind::Opaque),
    (".LogConfigOverride", Kind::Opaque),
    (".Filters", Kind::Opaque),
    (".Events", Kind::Opaque),
    (".Components", Kind::Opaque),
    (".Software", Kind::Opaque),
];

impl<'a> Resolved<'a> {
    /// Follows the references of `inf`.
    #[must_use]
    pub fn new(inf: &'a Inf) -> Self {
        let mut resolved = Self {
            inf,
            references: Vec::new(),
            missing: Vec::new(),
            undefined_tokens: Vec::new(),
            unknown_directives: Vec::new(),
            used: Vec::new(),
            files: Vec::new(),
            services: Vec::new(),
            devices: Vec::new(),
            kinds: Vec::new(),
        };
        resolved.tokens();
        for section in &inf.sections {
            let name = section.name.to_ascii_lowercase();
            let base = name.split('.').next().unwrap_or_default();
            if WELL_KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known))
                || (base == "strings")
                || DECORATED.iter().any(|known| base.eq_ignore_ascii_case(known))
            {
                resolved.used.push(name.clone());
            }
            if base == "classinstall32" {
                resolved.walk(section, Kind::ClassInstall);
            }
        }
        if let Some(manufacturer) = inf.section("Manufacturer") {
            for entry in &manufacturer.entries {
                resolved.manufacturer(entry);
            }
        }
        resolved
    }

    /// Every `%token%` of the file, wherever it stands.
    fn tokens(&mut self) {
        for section in self
            .inf
            .sections
            .iter()
            .filter(|section| !section.name.to_ascii_lowercase().starts_with("strings"))
        {
            for entry in &section.entries {
                for text in entry.key.iter().chain(&entry.values) {
                    if let Err(token) = self.inf.expand(text) {
                        self.undefined_tokens.push((entry.line, token));
                    }
                }
            }
        }
    }

    fn expanded(&self, text: &str) -> String {
        self.inf.expand(text).unwrap_or_else(|_| text.to_owned())
    }

    fn manufacturer(&mut self, entry: &Entry) {
        // `manufacturer` alone stands for `manufacturer = manufacturer`.
        let Some(models) = entry.values.first() else {
            return;
        };
        let base = self.expanded(models);
        let decorations: Vec<String> = entry
            .values
            .iter()
            .skip(1)
            .map(|text| self.expanded(text))
            .collect();
        let names: Vec<String> = if decorations.is_empty() {
            vec![base]
        } else {
            decorations
                .iter()
                .map(|decoration| format!("{base}.{decoration}"))
                .collect()
        };
        for name in names {
            if let Some(section) = self.refer(entry.line, "Manufacturer", &name, Kind::Models) {
                for device in &section.entries {
                    self.device(section, device);
                }
            }
        }
    }

    fn device(&mut self, models: &Section, entry: &Entry) {
        let install = self.expanded(entry.value(0));
        let hardware_ids = entry.values.iter().skip(1).map(|id| self.expanded(id)).collect();
        self.devices.push(Device {
            line: entry.line,
            models: models.name.clone(),
            install: install.clone(),
            hardware_ids,
        });
        // Setup takes the most specific one: x.NTamd64, x.NT, x; any of them makes the reference good.
        let decorated: Vec<String> = [".NTamd64", ".NTarm64", ".NT", ""]
            .iter()
            .map(|decoration| format!("{install}{decoration}"))
            .collect();
        let mut found = false;
        for name in decorated {
            let mut part = false;
            if let Some(section) = self.inf.section(&name) {
                found = true;
                part = true;
                self.mark(entry.line, "models", &name, Kind::Install);
                self.walk(section, Kind::Install);
            }
            for (suffix, kind) in INSTALL_SUFFIXES {
                let name = format!("{name}{suffix}");
                // An install section may be left out or empty; its parts count only beside it, or alone for `.NT`.
                if let Some(section) = self.inf.section(&name)
                    && part
                {
                    self.mark(entry.line, "models", &name, *kind);
                    self.walk(section, *kind);
                }
            }
        }
        if !found {
            let kind = Kind::Install;
            let reference = Reference {
                line: entry.line,
                directive: "models".into(),
                section: install,
                kind,
            };
            self.missing.push(reference);
        }
    }

    fn mark(&mut self, line: usize, directive: &str, name: &str, kind: Kind) {
        self.used.push(name.to_ascii_lowercase());
        self.kinds.push((name.to_ascii_lowercase(), kind));
        self.references.push(Reference {
            line,
            directive: directive.into(),
            section: name.into(),
            kind,
        });
    }

    /// Notes a reference; the section when it exists.
    fn refer(&mut self, line: usize, directive: &str, name: &str, kind: Kind) -> Option<&'a Section> {
        let section = self.inf.section(name);
        if section.is_some() {
            self.mark(line, directive, name, kind);
        } else {
            self.missing.push(Reference {
                line,
                directive: directive.into(),
                section: name.into(),
                kind,
            });
        }
        section
    }

    fn walk(&mut self, section: &'a Section, kind: Kind) {
        for entry in &section.entries {
            self.directive(section, kind, entry);
        }
    }

    /// All values of a directive as references to sections of one kind.
    fn sections(&mut self, entry: &Entry, directive: &str, kind: Kind) {
        for value in &entry.values {
            let name = self.expanded(value);
            if let Some(section) = self.refer(entry.line, directive, &name, kind) {
                self.walk(section, kind);
            }
        }
    }

    /// One optional value of a directive as a reference.
    fn section_at(&mut self, entry: &Entry, directive: &str, index: usize, kind: Kind) {
        let name = self.expanded(entry.value(index));
        if !name.is_empty()
            && let Some(section) = self.refer(entry.line, directive, &name, kind)
        {
            self.walk(section, kind);
        }
    }

    fn directive(&mut self, section: &'a Section, kind: Kind, entry: &Entry) {
        use Kind::{
            AddReg, ClassInstall, CopyFiles, DelReg, Files, Hardware, Install, Interface, Interfaces, Kmdf,
            Models, Opaque, Service as ServiceKind, Services, Wdf,
        };
        let directive = entry.key.clone().unwrap_or_default();
        match (kind, directive.to_ascii_lowercase().as_str()) {
            (Install | ClassInstall, "copyfiles") => self.copy_files(entry),
            (Install | ClassInstall, "delfiles" | "renfiles") => self.sections(entry, &directive, Files),
            (Install | ClassInstall | Hardware | ServiceKind | Interface, "addreg") => {
                self.sections(entry, &directive, AddReg);
            }
            (Install | ClassInstall | Hardware | ServiceKind | Interface, "delreg") => {
                self.sections(entry, &directive, DelReg);
            }
            (Install | ClassInstall | ServiceKind, "bitreg") => self.sections(entry, &directive, Opaque),
            (Install, "logconfig" | "updateinis" | "updateinifields" | "ini2reg" | "profileitems") => {
                self.sections(entry, &directive, Opaque);
            }
            (Services, "addservice") => {
                let (name, flags, section) = (
                    self.expanded(entry.value(0)),
                    self.expanded(entry.value(1)),
                    self.expanded(entry.value(2)),
                );
                self.services.push(Service {
                    line: entry.line,
                    name,
                    flags,
                    section,
                });
                self.section_at(entry, &directive, 2, ServiceKind);
                self.section_at(entry, &directive, 3, Opaque);
            }
            (Wdf, "kmdfservice" | "umdfservice") => self.section_at(entry, &directive, 1, Kmdf),
            (Interfaces, "addinterface") => self.section_at(entry, &directive, 2, Interface),
            (
                Install,
                "include" | "needs" | "driverver" | "reboot" | "featurescore" | "copyinf" | "registerdlls",
            )
            | (Services | Hardware | Wdf | Interfaces, "include" | "needs")
            | (Services, "delservice")
            | (
                ServiceKind,
                "displayname" | "description" | "servicetype" | "starttype" | "errorcontrol"
                | "servicebinary" | "startname" | "loadordergroup" | "dependencies" | "security"
                | "delayedautostart" | "requiredprivileges" | "servicesidtype" | "failureactions"
                | "addtrigger",
            )
            | (
                Kmdf,
                "kmdflibraryversion"
                | "umdflibraryversion"
                | "umdfserviceorder"
                | "umdfdispatcher"
                | "umdfkernelmodeclientpolicy"
                | "umdffileobjectpolicy"
                | "umdfmethodneitheraction"
                | "umdfimpersonationlevel"
                | "umdfhostprocesssharing"
                | "umdfdirecthardwareaccess"
                | "umdfregisteraccessmode",
            )
            | (Models | Opaque | AddReg | DelReg | CopyFiles | Files, _) => {}
            _ => self
                .unknown_directives
                .push((entry.line, section.name.clone(), directive)),
        }
    }

    fn copy_files(&mut self, entry: &Entry) {
        for value in &entry.values {
            let name = self.expanded(value);
            if let Some(file) = name.strip_prefix('@') {
                let directory = self.directory("DefaultDestDir");
                let (source, target) = (file.to_owned(), file.to_owned());
                self.files.push(CopiedFile {
                    line: entry.line,
                    source,
                    target,
                    directory,
                });
            } else if let Some(section) = self.refer(entry.line, "CopyFiles", &name, Kind::CopyFiles) {
                let directory = self.directory(&section.name);
                for file in &section.entries {
                    // target[,source[,unused,flags]]
                    let target = self.expanded(file.value(0));
                    let source = Some(self.expanded(file.value(1))).filter(|name| !name.is_empty());
                    self.files.push(CopiedFile {
                        line: file.line,
                        source: source.unwrap_or_else(|| target.clone()),
                        target,
                        directory: directory.clone(),
                    });
                }
            }
        }
    }

    /// Where a file list goes: the directory number, and the sub-directory behind a comma.
    fn directory(&self, list: &str) -> String {
        let directories = self.inf.section("DestinationDirs");
        let entry =
            directories.and_then(|section| section.entry(list).or_else(|| section.entry("DefaultDestDir")));
        entry.map_or_else(String::new, |entry| {
            entry
                .values
                .iter()
                .map(|value| self.expanded(value))
                .collect::<Vec<_>>()
                .join(",")
        })
    }

    /// Sections that nothing refers to.
    #[must_use]
    pub fn unused(&self) -> Vec<&'a Section> {
        let used = |section: &&Section| !self.used.contains(&section.name.to_ascii_lowercase());
        self.inf.sections.iter().filter(used).collect()
    }

    /// The hardware and compatible IDs of all devices.
    #[must_use]
    pub fn hardware_ids(&self) -> Vec<String> {
        self.devices
            .iter()
            .flat_map(|device| device.hardware_ids.iter().cloned())
            .collect()
    }

    /// The files of the package that are copied to the target machine, by their names in the package.
    #[must_use]
    pub fn source_files(&self) -> Vec<String> {
        let mut files: Vec<String> = Vec::new();
        for file in &self.files {
            if !files.iter().any(|known| known.eq_ignore_ascii_case(&file.source)) {
                files.push(file.source.clone());
            }
        }
        files
    }
}
