//! Microsoft's metadata of the kernel's interface, as the source of windows-sys states it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::signature::{Signature, Type};

pub(crate) struct Metadata {
    /// Each with its parameters and result.
    functions: BTreeMap<String, String>,
    /// The image that exports each function.
    exporters: BTreeMap<String, String>,
    constants: BTreeMap<String, String>,
    aliases: BTreeMap<String, String>,
    structures: BTreeMap<String, Record>,
    unions: BTreeMap<String, Record>,
}

/// A structure or union.
struct Record {
    /// The most that a field is aligned to.
    pack: usize,
    /// Names and types.
    fields: Vec<(String, String)>,
}

/// Size and offsets of a structure on x64.
pub(crate) struct Layout {
    pub(crate) size: usize,
    alignment: usize,
    offsets: Vec<(String, usize)>,
}

impl Layout {
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, usize)> {
        self.offsets.iter().map(|(name, offset)| (name.as_str(), *offset))
    }

    pub(crate) fn offset(&self, field: &str) -> usize {
        let found = self.offsets.iter().find(|(name, _)| name == field);
        found
            .unwrap_or_else(|| panic!("the metadata has no field {field}"))
            .1
    }
}

/// Where cargo keeps the release of windows-sys that this crate is locked to.
fn folder() -> PathBuf {
    package(Path::new(env!("CARGO_MANIFEST_DIR")), "windows-sys", "0.61.").join("src/Windows")
}

/// Where cargo keeps the wdk-sys that the driver is built with.
pub(crate) fn wdk_sys() -> PathBuf {
    package(crate::repository(), "wdk-sys", "")
}

/// Where cargo keeps a package that the one in `folder` is locked to.
fn package(folder: &Path, name: &str, version: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found =
        metadata["packages"].as_array().unwrap().iter().find(|package| {
            package["name"] == name && package["version"].as_str().unwrap().starts_with(version)
        });
    let manifest = PathBuf::from(found.unwrap()["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().to_path_buf()
}

impl Metadata {
    pub(crate) fn read() -> Self {
        let mut metadata = Self {
            functions: BTreeMap::new(),
            exporters: BTreeMap::new(),
            constants: BTreeMap::new(),
            aliases: BTreeMap::new(),
            structures: BTreeMap::new(),
            unions: BTreeMap::new(),
        };
        let root = folder();
        for module in [
            "Win32/Foundation",
            "Win32/Security",
            "Win32/System/IO",
            "Win32/System/Kernel",
            "Win32/System/Power",
            "Win32/System/Rpc",
            "Win32/System/SystemInformation",
            "Win32/System/Threading",
            "Win32/System/WindowsProgramming",
            "Win32/System/Diagnostics/Debug",
            "Win32/System/Diagnostics/Etw",
        ] {
            metadata.read_folder(&root.join(module));
        }
        let mut folders = vec![root.join("Wdk")];
        while let Some(folder) = folders.pop() {
            metadata.read_folder(&folder);
            let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            folders.extend(entries.filter(|path| path.is_dir()));
        }
        assert!(metadata.functions.len() > 1000, "{}", metadata.functions.len());
        metadata
    }

    fn read_folder(&mut self, folder: &Path) {
        let path = folder.join("mod.rs");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.read_module(&text);
    }

    fn read_module(&mut self, text: &str) {
        let mut lines = text.lines();
        let (mut other_machine, mut pack) = (false, usize::MAX);
        while let Some(line) = lines.next() {
            if let Some(condition) = line.strip_prefix("#[cfg(") {
                other_machine |= condition.contains("target_arch") && !condition.contains("x86_64");
                continue;
            }
            if let Some(packed) = line
                .strip_prefix("#[repr(C, packed(")
                .and_then(|rest| rest.strip_suffix("))]"))
            {
                pack = packed.parse().unwrap();
                continue;
            }
            if line.starts_with("#[") {
                continue;
            }
            let pack = std::mem::replace(&mut pack, usize::MAX);
            if std::mem::take(&mut other_machine) {
                continue;
            }
            let item = |prefix: &str| line.strip_prefix(prefix);
            if let Some((exporter, function)) =
                item("windows_link::link!(\"").and_then(|line| line.split_once("\" fn "))
            {
                let (name, rest) = function.split_once('(').unwrap();
                let (exporter, _) = exporter.split_once('"').unwrap();
                self.exporters.insert(name.into(), exporter.into());
                self.functions
                    .insert(name.into(), rest.trim_end_matches(");").into());
            } else if let Some((name, rest)) = item("pub const ").and_then(|rest| rest.split_once(':')) {
                if let Some((_, value)) = rest.split_once('=') {
                    self.constants
                        .insert(name.into(), value.trim().trim_end_matches(';').into());
                }
            } else if let Some((name, of)) = item("pub type ").and_then(|rest| rest.split_once(" = ")) {
                self.aliases.insert(name.into(), of.trim_end_matches(';').into());
            } else if let Some(name) = item("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
                let fields = fields(&mut lines);
                self.structures.insert(name.into(), Record { pack, fields });
            } else if let Some(name) = item("pub union ").and_then(|rest| rest.strip_suffix(" {")) {
                let fields = fields(&mut lines);
                self.unions.insert(name.into(), Record { pack, fields });
            }
        }
    }

    /// Whether it knows the name at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.functions.contains_key(name)
            || self.constants.contains_key(name)
            || self.aliases.contains_key(name)
            || self.has_structure(name)
    }

    pub(crate) fn has_structure(&self, name: &str) -> bool {
        self.structures.contains_key(name)
    }

    pub(crate) fn function(&self, name: &str) -> Option<Signature> {
        let text = self.functions.get(name)?;
        let (parameters, result) = text
            .rsplit_once(')')
            .map_or((text.as_str(), ""), |(parameters, result)| {
                (parameters, result.trim().trim_start_matches("->").trim())
            });
        let parameters = parameters
            .split(", ")
            .filter_map(|parameter| Some(self.resolve(parameter.split_once(" : ")?.1)));
        Some(Signature {
            result: if result.is_empty() || result == "!" {
                Type::Void
            } else {
                self.resolve(result)
            },
            parameters: parameters.collect(),
        })
    }

    /// The image that exports a function.
    pub(crate) fn exporter(&self, name: &str) -> Option<&str> {
        self.exporters.get(name).map(String::as_str)
    }

    /// Every function with the image that exports it.
    pub(crate) fn exporters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.exporters
            .iter()
            .map(|(name, image)| (name.as_str(), image.as_str()))
    }

    /// Every constant that is an integer, as C writes its value.
    pub(crate) fn integers(&self) -> impl Iterator<Item = (&str, String)> {
        self.constants.iter().filter_map(|(name, text)| {
            let number = text.trim_end_matches(" as _").replace('_', "");
            let (digits, suffix) = ["u32", "i32", "u64", "i64", "u16", "i16", "u8", "i8"]
                .into_iter()
                .find_map(|kind| Some((number.strip_suffix(kind)?, kind)))?;
            let radix = if digits.starts_with("0x") { 16 } else { 10 };
            i128::from_str_radix(digits.trim_start_matches("0x"), radix).ok()?;
            let suffix = if suffix.starts_with('u') { "ULL" } else { "LL" };
            Some((name.as_str(), format!("{digits}{suffix}")))
        })
    }

    /// A constant's value as 32 bits.
    pub(crate) fn constant(&self, name: &str) -> Option<u32> {
        let text = self.constants.get(name)?;
        let number = text.trim_end_matches(" as _");
        let digits = number
            .trim_end_matches("u32")
            .trim_end_matches("i32")
            .trim_end_matches('_');
        let value = match digits.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => digits.parse::<i64>().ok().and_then(|value| {
                u32::try_from(value)
                    .or_else(|_| i32::try_from(value).map(i32::cast_unsigned))
                    .ok()
            }),
        };
        assert!(value.is_some(), "{name} = {text}");
        value
    }

    /// The type that a path of the metadata stands for.
    fn resolve(&self, text: &str) -> Type {
        let text = text.trim();
        let pointed = text
            .strip_prefix("*mut ")
            .or_else(|| text.strip_prefix("*const "));
        if let Some(to) = pointed {
            return match self.resolve(to) {
                Type::Other(name) => Type::PointerTo(name),
                _ => Type::Pointer,
            };
        }
        let name = text.rsplit("::").next().unwrap_or(text).trim();
        match name {
            "c_void" => Type::Void,
            "bool" | "u8" => Type::Integer("u8"),
            "i8" => Type::Integer("i8"),
            "i16" => Type::Integer("i16"),
            "u16" => Type::Integer("u16"),
            "i32" => Type::Integer("i32"),
            "u32" => Type::Integer("u32"),
            "i64" | "isize" => Type::Integer("i64"),
            "u64" | "usize" => Type::Integer("u64"),
            // Pointers to opaque types, which the metadata has as integers.
            "PEX_RUNDOWN_REF_CACHE_AWARE"
            | "PKTHREAD"
            | "POBJECT_TYPE"
            | "PSTR"
            | "PCSTR"
            | "PWSTR"
            | "PCWSTR" => Type::Pointer,
            _ => match self.aliases.get(name) {
                Some(of) if of.starts_with("Option<") => Type::Pointer,
                Some(of) => self.resolve(of),
                None => Type::Other(name.to_owned()),
            },
        }
    }

    pub(crate) fn structure_names(&self) -> impl Iterator<Item = &str> {
        self.structures.keys().map(String::as_str)
    }

    pub(crate) fn layout(&self, name: &str) -> Layout {
        self.try_layout(name)
            .unwrap_or_else(|| panic!("the metadata has no structure {name}, or not of all of its fields"))
    }

    /// The layout of a structure; `None` if it or a type in it is not there.
    pub(crate) fn try_layout(&self, name: &str) -> Option<Layout> {
        let Record { pack, fields } = self.structures.get(name)?;
        let (mut end, mut most, mut offsets) = (0_usize, 1, Vec::new());
        for (field, of) in fields {
            let (size, alignment) = self.size(of)?;
            let alignment = alignment.min(*pack);
            end = end.next_multiple_of(alignment);
            offsets.push((field.clone(), end));
            end += size;
            most = most.max(alignment);
        }
        Some(Layout {
            size: end.next_multiple_of(most),
            alignment: most,
            offsets,
        })
    }

    /// Size and alignment of a field's type.
    fn size(&self, of: &str) -> Option<(usize, usize)> {
        let of = of.trim();
        if let Some((element, count)) = of
            .strip_prefix('[')
            .and_then(|array| array.strip_suffix(']')?.split_once(';'))
        {
            let (size, alignment) = self.size(element)?;
            return Some((size * count.trim().parse::<usize>().ok()?, alignment));
        }
        let name = of.rsplit("::").next().unwrap_or(of).trim();
        if of.starts_with('*') || of.starts_with("Option<") || matches!(name, "PWSTR" | "PSTR") {
            return Some((8, 8));
        }
        let plain = match name {
            "bool" | "u8" | "i8" => 1,
            "u16" | "i16" => 2,
            "u32" | "i32" => 4,
            "u64" | "i64" | "usize" | "isize" => 8,
            _ => 0,
        };
        if plain > 0 {
            Some((plain, plain))
        } else if let Some(alias) = self.aliases.get(name) {
            self.size(alias)
        } else if let Some(Record { pack, fields }) = self.unions.get(name) {
            let sizes: Option<Vec<_>> = fields.iter().map(|(_, of)| self.size(of)).collect();
            let (size, alignment) = sizes?.into_iter().fold((0, 1), |(size, most), (own, alignment)| {
                (own.max(size), alignment.min(*pack).max(most))
            });
            Some((size.next_multiple_of(alignment), alignment))
        } else {
            let layout = self.try_layout(name)?;
            Some((layout.size, layout.alignment))
        }
    }
}

/// The fields up to the closing brace.
fn fields<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .take_while(|line| *line != "}")
        .filter_map(|line| {
            line.trim()
                .strip_prefix("pub ")?
                .trim_end_matches(',')
                .split_once(": ")
        })
        .map(|(name, of)| (name.to_owned(), of.to_owned()))
        .collect()
}
