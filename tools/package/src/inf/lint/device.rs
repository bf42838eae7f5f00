//! Rules on devices, their services, and what is written to the registry.

use rundown_inf::Section;

use super::Lint;
use crate::inf::resolve::{Kind, Service};

impl<'a> Lint<'a> {
    pub(super) fn devices(&mut self) {
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

    pub(super) fn services(&mut self) {
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

    fn of_kind(&self, kind: Kind) -> Vec<&'a Section> {
        let (inf, resolved) = (self.inf, self.resolved);
        let names = resolved.kinds.iter().filter(|(_, own)| *own == kind);
        names.filter_map(|(name, _)| inf.section(name)).collect()
    }

    pub(super) fn registry(&mut self) {
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
