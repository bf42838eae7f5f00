//! Reads the driver's INF as far as Plug and Play would to install one root device.
//!
//! Sections and directives are those of "INF File Sections and Directives" (learn.microsoft.com). Followed are: `[Manufacturer]` to
//! the models section, the first model whose hardware id begins with `Root\`, its install section `X` with the decorations that
//! 64-bit Windows accepts, `X.HW` and `X.Services`, and the service-install section.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// What the lab needs of an INF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInf {
    /// `Class` in `[Version]`.
    pub class: String,
    /// The root device's hardware id, as written: `Root\Rundown`.
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
    pub fn read(path: &Path) -> std::result::Result<Self, String> {
        let bytes =
            std::fs::read(path).map_err(|e| format!("cannot read the INF {}: {e}", path.display()))?;
        Self::parse(&bytes).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Follows the INF with these bytes: UTF-16 with a byte order mark, or UTF-8 or ASCII.
    ///
    /// # Errors
    /// [`InfError`] names the line, or the section that is missing.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let file = File::parse(&decode(bytes)?)?;
        let class = file.single("Version", "Class")?;
        let model = file.root_model()?;

        let service_entry = file
            .decorated(&model.install_section, ".Services")
            .find_map(|section| section.named("AddService").next())
            .ok_or_else(|| InfError {
                line: None,
                text: format!(
                    "[{}.NT.Services] with an AddService directive is missing",
                    model.install_section
                ),
            })?;
        let service = field(service_entry, 0);
        let service_section = field(service_entry, 2);
        if service.is_empty() || service_section.is_empty() {
            return error(
                service_entry.number,
                "AddService names no service or no service-install section",
            );
        }

        let mut parameters = Vec::new();
        for line in file.add_registry(file.section(&service_section)) {
            if root_is(line, "HKR") {
                parameters.push(registry_value(line)?);
            }
        }
        Ok(Self {
            security: file.security(&model.install_section)?,
            kmdf: file.kmdf(&model.install_section)?,
            class,
            hardware_id: model.hardware_id,
            service,
            parameters,
        })
    }
}

/// Bytes to text.
fn decode(bytes: &[u8]) -> Result<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| unit([pair[0], pair[1]]))
            .collect();
        String::from_utf16(&units).or_else(|_| error(None, "is not valid UTF-16"))
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => match std::str::from_utf8(rest) {
            Ok(text) => Ok(text.to_owned()),
            Err(e) => error(
                rest[..e.valid_up_to()].split(|&b| b == b'\n').count(),
                "is neither ASCII, UTF-8 nor UTF-16 with a byte order mark",
            ),
        },
    }
}

/// One directive: `key = value, value, ...`, or only values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    number: usize,
    key: Option<String>,
    values: Vec<String>,
}

/// A value by its place; an absent one is empty, as `SetupAPI` has it.
fn field(line: &Line, index: usize) -> String {
    line.values.get(index).cloned().unwrap_or_default()
}

fn root_is(line: &Line, root: &str) -> bool {
    line.values
        .first()
        .is_some_and(|value| value.eq_ignore_ascii_case(root))
}

/// All lines of all sections with one name: an INF may open a section again.
#[derive(Debug, Default)]
struct Section {
    lines: Vec<Line>,
}

impl Section {
    fn named<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines
            .iter()
            .filter(move |line| line.key.as_deref().is_some_and(|k| k.eq_ignore_ascii_case(key)))
    }
}

/// A model of the models section.
struct Model {
    install_section: String,
    hardware_id: String,
}

/// All sections, with `%name%` replaced.
#[derive(Debug, Default)]
struct File {
    sections: HashMap<String, Section>,
}

impl File {
    fn parse(text: &str) -> Result<Self> {
        let mut file = Self::default();
        let mut current: Option<String> = None;
        for (number, logical) in logical_lines(text) {
            let content = logical.trim();
            if content.is_empty() {
                continue;
            }
            if let Some(rest) = content.strip_prefix('[') {
                let Some(name) = rest.strip_suffix(']') else {
                    return error(number, "a section's name does not end with ']'");
                };
                let name = name.trim().to_ascii_lowercase();
                file.sections.entry(name.clone()).or_default();
                current = Some(name);
                continue;
            }
            let Some(section) = current.as_ref().and_then(|name| file.sections.get_mut(name)) else {
                return error(number, "a directive stands before the first [section]");
            };
            section.lines.push(directive(number, content)?);
        }
        file.substitute()?;
        Ok(file)
    }

    /// Replaces `%name%` by the text of `[Strings]`. A directory id (`%13%`) stays as it is; a variable of stampinf (`$ARCH$`) is an error,
    /// since the file is then a template.
    fn substitute(&mut self) -> Result<()> {
        let strings: HashMap<String, String> =
            self.sections.get("strings").map_or_else(HashMap::new, |section| {
                section
                    .lines
                    .iter()
                    .filter_map(|l| Some((l.key.as_ref()?.to_ascii_lowercase(), field(l, 0))))
                    .collect()
            });
        for (name, section) in &mut self.sections {
            if name.contains("$arch$") {
                return error(
                    None,
                    format!(
                        "[{name}] still contains $ARCH$: this is a template (.inx), give the stamped .inf"
                    ),
                );
            }
            if name == "strings" {
                continue;
            }
            for line in &mut section.lines {
                if let Some(key) = &line.key {
                    line.key = Some(expand(key, &strings, line.number)?);
                }
                for value in &mut line.values {
                    *value = expand(value, &strings, line.number)?;
                }
            }
        }
        Ok(())
    }

    fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(&name.to_ascii_lowercase())
    }

    /// The install section `name` with each decoration that 64-bit Windows prefers, and then `suffix`; those that exist, in the order of preference.
    fn decorated<'a>(&'a self, name: &'a str, suffix: &'a str) -> impl Iterator<Item = &'a Section> {
        ["ntamd64", "nt", ""].into_iter().filter_map(move |decoration| {
            let dot = if decoration.is_empty() { "" } else { "." };
            self.section(&format!("{name}{dot}{decoration}{suffix}"))
        })
    }

    fn single(&self, section: &str, key: &str) -> Result<String> {
        let line = self.section(section).and_then(|s| s.named(key).next());
        match line.map(|line| field(line, 0)) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => error(None, format!("{key} is missing in [{section}]")),
        }
    }

    /// The first model with a root-enumerated hardware id.
    fn root_model(&self) -> Result<Model> {
        let Some(manufacturers) = self.section("Manufacturer") else {
            return error(None, "[Manufacturer] is missing");
        };
        let mut other_ids = Vec::new();
        for manufacturer in &manufacturers.lines {
            let models = field(manufacturer, 0);
            let decorations = manufacturer
                .values
                .iter()
                .skip(1)
                .filter(|d| d.to_ascii_lowercase().starts_with("nt"));
            let names = decorations
                .map(|d| format!("{models}.{d}"))
                .chain([models.clone()]);
            for line in names
                .filter_map(|name| self.section(&name))
                .flat_map(|section| &section.lines)
            {
                for id in line.values.iter().skip(1) {
                    if id.to_ascii_lowercase().starts_with("root\\") {
                        return Ok(Model {
                            install_section: field(line, 0),
                            hardware_id: id.clone(),
                        });
                    }
                    other_ids.push(id.clone());
                }
            }
        }
        if other_ids.is_empty() {
            return error(
                None,
                "[Manufacturer] leads to no models section with a hardware id",
            );
        }
        error(
            None,
            format!(
                "no hardware id begins with Root\\; found: {}. The lab has only a root-enumerated device",
                other_ids.join(", ")
            ),
        )
    }

    /// The lines of all add-registry sections that `section` names.
    fn add_registry<'a>(&'a self, section: Option<&'a Section>) -> impl Iterator<Item = &'a Line> {
        section
            .into_iter()
            .flat_map(|section| section.named("AddReg"))
            .flat_map(|line| &line.values)
            .filter_map(|name| self.section(name))
            .flat_map(|section| &section.lines)
    }

    /// `HKR,,Security,,"<SDDL>"` of the device (`X.HW`), else of the setup class (`[ClassInstall32]`).
    fn security(&self, install_section: &str) -> Result<Option<String>> {
        let of_device = self
            .decorated(install_section, ".HW")
            .flat_map(|hw| self.add_registry(Some(hw)));
        let of_class = self
            .decorated("ClassInstall32", "")
            .flat_map(|class| self.add_registry(Some(class)));
        let Some(line) = of_device.chain(of_class).find(|line| {
            root_is(line, "HKR")
                && field(line, 1).is_empty()
                && field(line, 2).eq_ignore_ascii_case("Security")
        }) else {
            return Ok(None);
        };
        let sddl = field(line, 4);
        match lab_wire::sddl::SecurityDescriptor::parse(&sddl) {
            Ok(_) => Ok(Some(sddl)),
            Err(e) => error(
                line.number,
                format!("the device's security descriptor \"{sddl}\" is wrong: {e}"),
            ),
        }
    }

    fn kmdf(&self, install_section: &str) -> Result<Option<(u32, u32)>> {
        let Some(service) = self
            .decorated(install_section, ".Wdf")
            .find_map(|wdf| wdf.named("KmdfService").next())
        else {
            return Ok(None);
        };
        let section = field(service, 1);
        let version = self.single(&section, "KmdfLibraryVersion")?;
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
}

/// Joins lines that end with a backslash, and cuts comments off; each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (index, raw) in text.lines().enumerate() {
        let line = without_comment(raw).trim_end();
        let (content, goes_on) = match line.strip_suffix('\\') {
            Some(head) => (head, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some((_, last)) if continued => last.push_str(content.trim_start()),
            _ => lines.push((index + 1, content.to_owned())),
        }
        continued = goes_on;
    }
    lines
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (index, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => return &line[..index],
            _ => {}
        }
    }
    line
}

/// Splits `key = value, "value, with comma"`.
fn directive(line: usize, content: &str) -> Result<Line> {
    let mut quoted = false;
    let mut key = None;
    let mut values = Vec::new();
    let mut start = 0;
    for (index, c) in content.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '=' if !quoted && key.is_none() && values.is_empty() => {
                key = Some(unquote(&content[start..index]));
                start = index + 1;
            }
            ',' if !quoted => {
                values.push(unquote(&content[start..index]));
                start = index + 1;
            }
            _ => {}
        }
    }
    if quoted {
        return error(line, "a quoted text does not end");
    }
    values.push(unquote(&content[start..]));
    Ok(Line {
        number: line,
        key,
        values,
    })
}

/// Drops blanks around a value and its quotation marks; two inside a quoted text stand for one.
fn unquote(text: &str) -> String {
    let text = text.trim();
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '"' {
            if quoted && characters.peek() == Some(&'"') {
                characters.next();
                out.push('"');
            } else {
                quoted = !quoted;
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn expand(text: &str, strings: &HashMap<String, String>, line: usize) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        let Some(length) = rest[start + 1..].find('%') else {
            break;
        };
        let name = &rest[start + 1..start + 1 + length];
        out.push_str(&rest[..start]);
        if name.is_empty() {
            out.push('%');
        } else if name.chars().all(|c| c.is_ascii_digit()) {
            // A directory id, which only the copying of files needs.
            out.push_str(&rest[start..start + length + 2]);
        } else if let Some(value) = strings.get(&name.to_ascii_lowercase()) {
            out.push_str(value);
        } else {
            return error(line, format!("%{name}% is not defined in [Strings]"));
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

/// `HKR, subkey, name, flags, value` of a service's add-registry section.
fn registry_value(line: &Line) -> Result<RegistryValue> {
    const FLG_ADDREG_TYPE_MASK: u32 = 0xFFFF_0001;
    const FLG_ADDREG_TYPE_SZ: u32 = 0;
    const FLG_ADDREG_TYPE_DWORD: u32 = 0x0001_0001;

    let flags = field(line, 3);
    let kind = if flags.is_empty() { Some(0) } else { number(&flags) };
    let value = field(line, 4);
    let data = match kind.map(|kind| kind & FLG_ADDREG_TYPE_MASK) {
        Some(FLG_ADDREG_TYPE_SZ) => RegistryData::Text(value),
        Some(FLG_ADDREG_TYPE_DWORD) => match number(&value) {
            Some(number) => RegistryData::Dword(number),
            None => return error(line.number, format!("\"{value}\" is not a 32-bit number")),
        },
        _ => {
            return error(
                line.number,
                format!("flags {flags}: the lab's registry knows REG_SZ (0x0) and REG_DWORD (0x10001)"),
            );
        }
    };
    Ok(RegistryValue {
        key: field(line, 1),
        name: field(line, 2),
        data,
    })
}

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
    fn ascii_utf8_and_utf16() {
        assert_eq!(DriverInf::parse(INF.as_bytes()), Ok(expected()));
        assert_eq!(
            DriverInf::parse(format!("\u{FEFF}{INF}").as_bytes()),
            Ok(expected())
        );
        let crlf = INF.replace('\n', "\r\n");
        let little: Vec<u8> = [0xFEFF]
            .into_iter()
            .chain(crlf.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(DriverInf::parse(&little), Ok(expected()));
        let big: Vec<u8> = [0xFEFF]
            .into_iter()
            .chain(crlf.encode_utf16())
            .flat_map(u16::to_be_bytes)
            .collect();
        assert_eq!(DriverInf::parse(&big), Ok(expected()));
    }

    #[test]
    fn section_names_ignore_case_and_the_class_gives_security_where_the_device_does_not() {
        let inf = INF
            .replace("[Rundown_Install.NT.HW]", "[Unused]")
            .replace("[Service_Install]", "[SERVICE_INSTALL]");
        let parsed = DriverInf::parse(inf.as_bytes()).unwrap();
        assert_eq!(parsed.security.as_deref(), Some("D:P(A;;GA;;;SY)"));
        assert_eq!(parsed.service, "rundown");
    }

    #[test]
    fn without_security_there_is_none() {
        let inf = INF.replace("HKR,,Security", "HKR,,Insecurity");
        assert_eq!(DriverInf::parse(inf.as_bytes()).unwrap().security, None);
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
            ("[Version]", "Version]", "line 2: a directive stands before"),
            ("[Strings]", "[Strings", "does not end with ']'"),
            (
                "\"Rundown device\"",
                "\"Rundown device",
                "a quoted text does not end",
            ),
        ] {
            assert!(INF.contains(from), "{from} is not in the sample");
            let text = DriverInf::parse(INF.replace(from, to).as_bytes())
                .expect_err(to)
                .to_string();
            assert!(text.contains(message), "{to}: {text}");
        }
        assert!(
            DriverInf::parse(b"[Version]\n\xFF")
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }

    #[test]
    fn no_truncation_panics() {
        for end in (0..INF.len()).filter(|&end| INF.is_char_boundary(end)) {
            let _ = DriverInf::parse(&INF.as_bytes()[..end]);
        }
    }
}
