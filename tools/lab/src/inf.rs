//! Reads the driver's INF as far as Plug and Play would to install one root device.
//!
//! Sections and directives are those of "INF File Sections and Directives" (learn.microsoft.com). Followed are: `[Manufacturer]` to
//! the models section, the model of a root device ([`DriverInf::parse`]), its install section `X` with the decorations that
//! 64-bit Windows accepts, `X.HW` and `X.Services`, and the service-install section.

use std::fmt;
use std::path::Path;

use rundown_inf::{Entry, Inf, ParseError, Section, decode};

/// What the lab needs of an INF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInf {
    /// `Class` in `[Version]`.
    pub class: String,
    /// The root device's hardware id, as written: `Root\Sample`; empty for a legacy driver, which has no device of Plug and Play's.
    pub hardware_id: String,
    /// The service's name.
    pub service: String,
    /// The device's security descriptor in SDDL; `None` if the INF sets none.
    pub security: Option<String>,
    /// Values that the service-install section adds to the service's key.
    pub parameters: Vec<RegistryValue>,
    /// `KmdfLibraryVersion`, major and minor; `None` for a driver without the framework.
    pub kmdf: Option<(u32, u32)>,
}

/// A value that an add-registry section writes below the service's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryValue {
    /// The key below the service's; empty for the service's own.
    pub key: String,
    /// The value's name.
    pub name: String,
    /// Type and data.
    pub data: RegistryData,
}

/// Type and data of a registry value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryData {
    /// `REG_DWORD`.
    Dword(u32),
    /// `REG_SZ`.
    Text(String),
}

/// Why an INF cannot be used; the text says where and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfError {
    line: Option<usize>,
    text: String,
}

impl fmt::Display for InfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for InfError {}

impl From<ParseError> for InfError {
    fn from(error: ParseError) -> Self {
        Self {
            line: Some(error.line),
            text: error.what,
        }
    }
}

type Result<T> = std::result::Result<T, InfError>;

fn error<T>(line: impl Into<Option<usize>>, text: impl Into<String>) -> Result<T> {
    Err(InfError {
        line: line.into(),
        text: text.into(),
    })
}

impl DriverInf {
    /// Reads and follows the INF at `path`.
    ///
    /// # Errors
    /// One line that begins with the path.
    pub fn read(path: &Path, hardware_id: Option<&str>) -> std::result::Result<Self, String> {
        let bytes =
            std::fs::read(path).map_err(|e| format!("cannot read the INF {}: {e}", path.display()))?;
        Self::parse(&bytes, hardware_id).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Follows the INF with these bytes: UTF-16 with a byte order mark, or UTF-8 or ASCII.
    ///
    /// # Errors
    /// [`InfError`] names the line, or the section that is missing.
    pub fn parse(bytes: &[u8], hardware_id: Option<&str>) -> Result<Self> {
        let inf = Inf::parse(&decode(bytes)?)?.expanded()?;
        if let Some(template) = inf
            .sections
            .iter()
            .find(|section| section.name.contains("$ARCH$"))
        {
            return error(
                template.line,
                format!("{template} still contains $ARCH$: this is a template (.inx), give the stamped .inf"),
            );
        }
        let class = single(&inf, "Version", "Class")?;
        let model = root_model(&inf, hardware_id)?;

        let service_entry = decorated(&inf, &model.install_section, ".Services")
            .find_map(|section| section.entry("AddService"))
            .ok_or_else(|| InfError {
                line: None,
                text: format!(
                    "[{}.NT.Services] with an AddService directive is missing",
                    model.install_section
                ),
            })?;
        let (service, service_section) = (service_entry.value(0), service_entry.value(2));
        if service.is_empty() || service_section.is_empty() {
            return error(
                service_entry.line,
                "AddService names no service or no service-install section",
            );
        }

        let mut parameters = Vec::new();
        for entry in add_registry(&inf, inf.section(service_section)) {
            if is_relative(entry) {
                parameters.push(registry_value(entry)?);
            }
        }
        Ok(Self {
            security: security(&inf, &model.install_section)?,
            kmdf: kmdf(&inf, &model.install_section)?,
            class,
            hardware_id: model.hardware_id,
            service: service.to_owned(),
            parameters,
        })
    }
}

impl DriverInf {
    /// What there is to know without an INF: a service of that name, with a root device of that hardware id, or a legacy driver's.
    #[must_use]
    pub fn without(service: &str, hardware_id: Option<&str>) -> Self {
        Self {
            class: "Unknown".into(),
            hardware_id: hardware_id.unwrap_or_default().to_owned(),
            service: service.to_owned(),
            security: None,
            parameters: Vec::new(),
            kmdf: None,
        }
    }
}

/// A model of the models section.
struct Model {
    install_section: String,
    hardware_id: String,
}

/// The install section `name` with each decoration that 64-bit Windows prefers, and then `suffix`; those that exist, in the order of
/// preference.
fn decorated<'a>(inf: &'a Inf, name: &'a str, suffix: &'a str) -> impl Iterator<Item = &'a Section> {
    [".NTamd64", ".NT", ""]
        .into_iter()
        .filter_map(move |decoration| inf.section(&format!("{name}{decoration}{suffix}")))
}

/// The one value of a directive that must be there.
fn single(inf: &Inf, section: &str, key: &str) -> Result<String> {
    match inf.section(section).and_then(|section| section.entry(key)) {
        Some(entry) if !entry.value(0).is_empty() => Ok(entry.value(0).to_owned()),
        _ => error(None, format!("{key} is missing in [{section}]")),
    }
}

/// The model with that hardware id, if one is wanted; else the first with one that begins with `Root\\`, else the first of no bus's: a root
/// device may have any (`devgen /add /bus ROOT /hardwareid ID`).
fn root_model(inf: &Inf, wanted: Option<&str>) -> Result<Model> {
    let Some(manufacturers) = inf.section("Manufacturer") else {
        return error(None, "[Manufacturer] is missing");
    };
    let mut models = Vec::new();
    for manufacturer in &manufacturers.entries {
        let section = manufacturer.value(0);
        let decorations = manufacturer
            .values
            .iter()
            .skip(1)
            .filter(|decoration| decoration.to_ascii_lowercase().starts_with("nt"));
        let names = decorations
            .map(|decoration| format!("{section}.{decoration}"))
            .chain([section.to_owned()]);
        for entry in names
            .filter_map(|name| inf.section(&name))
            .flat_map(|section| &section.entries)
        {
            models.extend(entry.values.iter().skip(1).map(|id| Model {
                install_section: entry.value(0).to_owned(),
                hardware_id: id.clone(),
            }));
        }
    }
    if models.is_empty() {
        return error(
            None,
            "[Manufacturer] leads to no models section with a hardware id",
        );
    }
    let ids: Vec<String> = models.iter().map(|model| model.hardware_id.clone()).collect();
    let choose = |fits: &dyn Fn(&str) -> bool| ids.iter().position(|id| fits(id));
    let chosen = match wanted {
        Some(wanted) => choose(&|id| id.eq_ignore_ascii_case(wanted)),
        None => choose(&|id| id.to_ascii_lowercase().starts_with("root\\"))
            .or_else(|| choose(&|id| !id.contains('\\'))),
    };
    chosen
        .map(|index| models.swap_remove(index))
        .ok_or_else(|| InfError {
            line: None,
            text: match wanted {
                Some(wanted) => format!("no model has the hardware id {wanted}; found: {}", ids.join(", ")),
                None => format!(
                    "every hardware id is a bus's: {}. --hwid ID makes a root device with one of them",
                    ids.join(", ")
                ),
            },
        })
}

/// The lines of all add-registry sections that `section` names.
fn add_registry<'a>(inf: &'a Inf, section: Option<&'a Section>) -> impl Iterator<Item = &'a Entry> {
    section
        .into_iter()
        .flat_map(|section| section.named("AddReg"))
        .flat_map(|entry| &entry.values)
        .filter_map(|name| inf.section(name))
        .flat_map(|section| &section.entries)
}

/// Whether an add-registry line writes below the key of what is installed.
fn is_relative(entry: &Entry) -> bool {
    entry.value(0).eq_ignore_ascii_case("HKR")
}

/// `HKR,,Security,,"<SDDL>"` of the device (`X.HW`), else of the setup class (`[ClassInstall32]`).
fn security(inf: &Inf, install_section: &str) -> Result<Option<String>> {
    let of_device = decorated(inf, install_section, ".HW").flat_map(|hw| add_registry(inf, Some(hw)));
    let of_class = decorated(inf, "ClassInstall32", "").flat_map(|class| add_registry(inf, Some(class)));
    let Some(entry) = of_device.chain(of_class).find(|entry| {
        is_relative(entry) && entry.value(1).is_empty() && entry.value(2).eq_ignore_ascii_case("Security")
    }) else {
        return Ok(None);
    };
    let sddl = entry.value(4);
    match lab_wire::sddl::SecurityDescriptor::parse(sddl) {
        Ok(_) => Ok(Some(sddl.to_owned())),
        Err(e) => error(
            entry.line,
            format!("the device's security descriptor \"{sddl}\" is wrong: {e}"),
        ),
    }
}

fn kmdf(inf: &Inf, install_section: &str) -> Result<Option<(u32, u32)>> {
    let Some(service) =
        decorated(inf, install_section, ".Wdf").find_map(|section| section.entry("KmdfService"))
    else {
        return Ok(None);
    };
    let version = single(inf, service.value(1), "KmdfLibraryVersion")?;
    let parts = version
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    match parts {
        Some(version) => Ok(Some(version)),
        None if version.contains('$') => error(
            None,
            format!(
                "KmdfLibraryVersion is still {version}: this is a template (.inx), give the stamped .inf"
            ),
        ),
        None => error(
            None,
            format!("KmdfLibraryVersion is not a version number: {version}"),
        ),
    }
}

/// `HKR, subkey, name, flags, value` of a service's add-registry section.
fn registry_value(entry: &Entry) -> Result<RegistryValue> {
    const FLG_ADDREG_TYPE_MASK: u32 = 0xFFFF_0001;
    const FLG_ADDREG_TYPE_SZ: u32 = 0;
    const FLG_ADDREG_TYPE_DWORD: u32 = 0x0001_0001;

    let flags = entry.value(3);
    let kind = if flags.is_empty() { Some(0) } else { number(flags) };
    let value = entry.value(4);
    let data = match kind.map(|kind| kind & FLG_ADDREG_TYPE_MASK) {
        Some(FLG_ADDREG_TYPE_SZ) => RegistryData::Text(value.to_owned()),
        Some(FLG_ADDREG_TYPE_DWORD) => match number(value) {
            Some(number) => RegistryData::Dword(number),
            None => return error(entry.line, format!("\"{value}\" is not a 32-bit number")),
        },
        _ => {
            return error(
                entry.line,
                format!("flags {flags}: the lab's registry knows REG_SZ (0x0) and REG_DWORD (0x10001)"),
            );
        }
    };
    Ok(RegistryValue {
        key: entry.value(1).to_owned(),
        name: entry.value(2).to_owned(),
        data,
    })
}

/// A number as INFs write it.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: &str = r#"; a root device
[Version]
Signature = "$WINDOWS NT$"
Class     = Rundown            ; a class of its own
ClassGuid = {00000000-0000-0000-0000-000000000001}
Provider  = %Provider%

[ClassInstall32]
AddReg = Class_AddReg

[Class_AddReg]
HKR,,,,%ClassName%
HKR,,Security,,"D:P(A;;GA;;;SY)"

[Manufacturer]
%Provider% = Standard,NTamd64.10.0...16299

[Standard.NTamd64.10.0...16299]
%DeviceDesc% = Rundown_Install, \
               Root\Rundown

[Rundown_Install.NT]
CopyFiles = Drivers

[Rundown_Install.NT.HW]
AddReg = Security_AddReg

[Security_AddReg]
HKR,,Security,,"D:P(A;;GA;;;SY)(A;;GA;;;BA)"

[Rundown_Install.NT.Services]
AddService = rundown, %SPSVCINST_ASSOCSERVICE%, Service_Install

[Service_Install]
ServiceType   = 1
ServiceBinary = %13%\rundown.sys
AddReg        = Parameters_AddReg

[Parameters_AddReg]
HKR,Parameters,SpinCycles,0x00010001,10240
HKR,"Parameters","Greeting",,"say ""hi""; 100%%"

[Rundown_Install.NT.Wdf]
KmdfService = rundown, Wdf_Section

[Wdf_Section]
KmdfLibraryVersion = 1.31

[Strings]
SPSVCINST_ASSOCSERVICE = 0x00000002
Provider   = "The rundown project"
DeviceDesc = "Rundown device"
ClassName  = "Rundown devices"
"#;

    fn expected() -> DriverInf {
        DriverInf {
            class: "Rundown".into(),
            hardware_id: "Root\\Rundown".into(),
            service: "rundown".into(),
            security: Some("D:P(A;;GA;;;SY)(A;;GA;;;BA)".into()),
            parameters: vec![
                RegistryValue {
                    key: "Parameters".into(),
                    name: "SpinCycles".into(),
                    data: RegistryData::Dword(10240),
                },
                RegistryValue {
                    key: "Parameters".into(),
                    name: "Greeting".into(),
                    data: RegistryData::Text("say \"hi\"; 100%".into()),
                },
            ],
            kmdf: Some((1, 31)),
        }
    }

    #[test]
    fn every_encoding_is_read() {
        assert_eq!(DriverInf::parse(INF.as_bytes(), None), Ok(expected()));
        let crlf = INF.replace('\n', "\r\n");
        let units = [0xFEFF].into_iter().chain(crlf.encode_utf16());
        let utf16: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
        assert_eq!(DriverInf::parse(&utf16, None), Ok(expected()));
    }

    #[test]
    fn section_names_ignore_case_and_the_class_gives_security_where_the_device_does_not() {
        let inf = INF
            .replace("[Rundown_Install.NT.HW]", "[Unused]")
            .replace("[Service_Install]", "[SERVICE_INSTALL]");
        let parsed = DriverInf::parse(inf.as_bytes(), None).unwrap();
        assert_eq!(parsed.security.as_deref(), Some("D:P(A;;GA;;;SY)"));
        assert_eq!(parsed.service, "rundown");
    }

    #[test]
    fn without_security_there_is_none() {
        let inf = INF.replace("HKR,,Security", "HKR,,Insecurity");
        assert_eq!(DriverInf::parse(inf.as_bytes(), None).unwrap().security, None);
    }

    /// Each change to the good file, and a piece of the message that it must lead to.
    #[test]
    fn errors_name_line_or_section() {
        for (from, to, message) in [
            ("Root\\Rundown", "PCI\\VEN_1234", "PCI\\VEN_1234"),
            ("[Manufacturer]", "[Factory]", "[Manufacturer]"),
            ("AddService = ", "DelService = ", "[Rundown_Install.NT.Services]"),
            ("Class     =", "Glass     =", "Class is missing in [Version]"),
            (
                "Standard.NTamd64.10.0...16299]",
                "Standard.NT$ARCH$.10.0...16299]",
                ".inx",
            ),
            ("= 1.31", "= $KMDFVERSION$", ".inx"),
            ("%DeviceDesc%", "%Typo%", "line 19: %Typo%"),
            (
                ";;;BA)\"",
                ";;;XX)\"",
                "line 29: the device's security descriptor",
            ),
            ("10240", "many", "\"many\" is not a 32-bit number"),
            ("0x00010001", "0x00020001", "REG_DWORD"),
            ("[Version]", "Version]", "line 2: text before the first section"),
            ("[Strings]", "[Strings", "brackets"),
            ("\"Rundown device\"", "\"Rundown device", "not closed"),
        ] {
            assert!(INF.contains(from), "{from} is not in the sample");
            let text = DriverInf::parse(INF.replace(from, to).as_bytes(), None)
                .expect_err(to)
                .to_string();
            assert!(text.contains(message), "{to}: {text}");
        }
        assert!(
            DriverInf::parse(b"[Version]\n\xFF", None)
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }

    /// A root device may have any hardware id; which one is taken, and how another is asked for.
    #[test]
    fn any_hardware_id_can_be_a_root_devices() {
        let id = |inf: &str, wanted| DriverInf::parse(inf.as_bytes(), wanted).map(|inf| inf.hardware_id);
        let bare = INF.replace("Root\\Rundown", "sample_device");
        assert_eq!(id(&bare, None), Ok("sample_device".into()));
        let bus = INF.replace("Root\\Rundown", "PCI\\VEN_1234");
        assert_eq!(id(&bus, Some("pci\\ven_1234")), Ok("PCI\\VEN_1234".into()));
        let text = id(&bus, Some("Root\\Other")).unwrap_err().to_string();
        assert!(
            text.contains("no model has the hardware id Root\\Other; found: PCI"),
            "{text}"
        );
        let several = INF.replace("Root\\Rundown", "PCI\\VEN_1234, sample_device, ROOT\\Sample");
        assert_eq!(id(&several, None), Ok("ROOT\\Sample".into()));
        assert_eq!(DriverInf::without("sample", None).hardware_id, "");
    }

    #[test]
    fn no_truncation_panics() {
        for end in (0..INF.len()).filter(|&end| INF.is_char_boundary(end)) {
            let _ = DriverInf::parse(&INF.as_bytes()[..end], None);
        }
    }
}
