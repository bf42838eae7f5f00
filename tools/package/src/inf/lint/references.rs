//! Rules on what the sections refer to, and on the files.

use super::Lint;
use rundown_inf::Entry;

impl Lint<'_> {
    pub(super) fn references(&mut self) {
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

    pub(super) fn files(&mut self) {
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
}
