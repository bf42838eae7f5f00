//! Checks a driver's image against what Windows' loader and its kernel ask of one.
//!
//! Each check has a name and says what it found; none of them trusts the linker that wrote the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::Cursor,
    path::Path,
};

use object::{
    LittleEndian as LE,
    pe::{
        DllFlags, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
        IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, IMAGE_DLLCHARACTERISTICS_GUARD_CF,
        IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, IMAGE_DLLCHARACTERISTICS_NX_COMPAT,
        IMAGE_FILE_MACHINE_AMD64, IMAGE_FILE_RELOCS_STRIPPED, IMAGE_REL_BASED_ABSOLUTE,
        IMAGE_REL_BASED_DIR64, IMAGE_SCN_MEM_DISCARDABLE, IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_NOT_PAGED,
        IMAGE_SCN_MEM_WRITE, IMAGE_SUBSYSTEM_NATIVE, ImageOptionalHeader64, ImageSectionHeader, SectionFlags,
    },
    read::{
        Object as _,
        pe::{ImageNtHeaders as _, ImageThunkData as _, PeFile64},
    },
};
use pdb::FallibleIterator as _;

use crate::{
    Error,
    exports::{self, Image as Exporter, Since, Windows},
    sysroot,
};

/// Who asks for what a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Windows, of every driver: without it the image is not loaded, or not where memory integrity is on, or does not start.
    Windows,
    /// The framework's loader, of a driver of KMDF that is linked with the kit's entry library.
    Framework,
    /// This project, of its own drivers: Windows loads others.
    Project,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, for reports and tests.
    pub name: &'static str,
    /// Who asks for it.
    pub by: By,
    /// What it found, or what is wrong.
    pub result: Result<String, String>,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(found) => write!(f, "ok    {}: {found}", self.name),
            Err(wrong) => write!(f, "WRONG {}: {wrong}", self.name),
        }
    }
}

/// The checks that failed and that matter: all that Windows asks for; what the framework's loader asks for if the driver is its
/// (`framework`); what this project asks of its own drivers if that is wanted (`strict`).
pub fn failed(checks: &[Check], framework: bool, strict: bool) -> impl Iterator<Item = &Check> {
    checks.iter().filter(move |check| {
        let asked = match check.by {
            By::Windows => true,
            By::Framework => framework,
            By::Project => strict,
        };
        asked && check.result.is_err()
    })
}

/// Checks the driver `sys` with its symbols `pdb`, which is to run on `target` and all later Windows.
///
/// # Errors
///
/// If a file cannot be read, or is not a 64-bit PE image, or not a program database; a failed check is no error.
pub fn check(sys: &Path, pdb: &Path, target: Windows) -> Result<Vec<Check>, Error> {
    let image = fs::read(sys).map_err(Error::file("read", sys))?;
    let symbols = fs::read(pdb).map_err(Error::file("read", pdb))?;
    check_bytes(&image, &symbols, target).map_err(|what| Error::new(format!("{}: {what}", sys.display())))
}

/// As [`check`], on the files' contents.
///
/// # Errors
///
/// As [`check`].
pub fn check_bytes(image: &[u8], symbols: &[u8], target: Windows) -> Result<Vec<Check>, String> {
    let image = Image::parse(image)?;
    let symbols = Symbols::parse(symbols)?;
    let flag = |flag, name| image.flag(flag, name);
    let checks: [(&'static str, By, Result<String, String>); 18] = [
        ("machine", By::Windows, image.machine()),
        ("subsystem", By::Windows, image.subsystem()),
        ("entry", By::Framework, image.entry(&symbols)),
        ("imports", By::Windows, image.imports(target)),
        ("relocations", By::Windows, image.relocations()),
        ("bind-info", By::Framework, image.bind_info(&symbols)),
        (
            "dynamic-base",
            By::Project,
            flag(IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "DYNAMIC_BASE"),
        ),
        (
            "nx-compat",
            By::Project,
            flag(IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX_COMPAT"),
        ),
        (
            "high-entropy",
            By::Project,
            flag(IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, "HIGH_ENTROPY_VA"),
        ),
        (
            "force-integrity",
            By::Project,
            flag(IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "FORCE_INTEGRITY"),
        ),
        ("control-flow-guard", By::Project, image.control_flow_guard()),
        ("checksum", By::Windows, image.checksum()),
        ("section-alignment", By::Windows, image.section_alignment()),
        ("section-rights", By::Windows, image.section_rights()),
        ("section-names", By::Windows, image.section_names()),
        ("version", By::Project, image.version()),
        ("pdb-identity", By::Project, image.pdb_identity(&symbols)),
        ("pdb-symbols", By::Framework, symbols.named()),
    ];
    Ok(checks
        .into_iter()
        .map(|(name, by, result)| Check { name, by, result })
        .collect())
}

/// The checksum of a PE image, by the algorithm of `CheckSumMappedFile` (imagehlp): the 16-bit ones'-complement sum of
/// the file without the checksum itself, plus the file's length.
///
/// # Errors
///
/// If `image` is too short to have a checksum.
pub fn checksum(image: &[u8]) -> Result<u32, String> {
    let position = checksum_position(image).ok_or("is too short for a PE image")?;
    let mut sum = 0u32;
    for (index, pair) in image.chunks(2).enumerate() {
        if index == position / 2 || index == position / 2 + 1 {
            continue;
        }
        sum += u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0)) << 8;
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    let length = u32::try_from(image.len()).map_err(|_| "is longer than a PE image can be")?;
    Ok(sum + length)
}

/// Where the checksum lies in the file: 64 bytes into the optional header.
#[must_use]
pub fn checksum_position(image: &[u8]) -> Option<usize> {
    let header = u32::from_le_bytes(image.get(0x3C..0x40)?.try_into().ok()?);
    let position = usize::try_from(header).ok()?.checked_add(4 + 20 + 64)?;
    (position + 4 <= image.len()).then_some(position)
}

/// Since when the image `library` has what a driver for `target` imports from it; what is wrong otherwise, and what to do.
fn import(library: &str, name: &str, target: Windows) -> Result<Since, String> {
    let (loader, routines) = sysroot::exports(sysroot::WDFLDR);
    if loader.eq_ignore_ascii_case(library) && routines.contains(&name) {
        return Ok(Since::Windows(Windows::V2004));
    }
    let image = Exporter::ALL
        .into_iter()
        .find(|image| image.name().eq_ignore_ascii_case(library));
    let export = exports::all().get(name);
    match image.zip(export) {
        Some((image, export)) if image.has(export.image) => match export.since {
            Since::Windows(first) if first > target => Err(format!(
                "{library}!{name} is there since {first}, and the driver is for {target} and later: ask \
                 MmGetSystemRoutineAddress for it, or have the INF's [Manufacturer] say 10.0...{}",
                first.build()
            )),
            since => Ok(since),
        },
        _ if exports::inlines().any(|inline| inline == name) => Err(format!(
            "{library}!{name} is an inline or a macro of the WDK, and no import: write what it does in the driver"
        )),
        _ => Err(format!(
            "{library}!{name} is not among the exports that the kit knows: is it misspelt, or is its library missing?"
        )),
    }
}

struct Image<'a> {
    bytes: &'a [u8],
    file: PeFile64<'a>,
}

impl<'a> Image<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let file = PeFile64::parse(bytes).map_err(|error| format!("is not a 64-bit PE image: {error}"))?;
        Ok(Self { bytes, file })
    }

    fn optional(&self) -> &ImageOptionalHeader64 {
        &self.file.nt_headers().optional_header
    }

    fn sections(&self) -> impl Iterator<Item = (String, &ImageSectionHeader)> {
        self.file.section_table().iter().map(|section| {
            let name = section.raw_name();
            (String::from_utf8_lossy(name).into_owned(), section)
        })
    }

    fn machine(&self) -> Result<String, String> {
        let machine = self.file.nt_headers().file_header().machine.get(LE);
        if machine == IMAGE_FILE_MACHINE_AMD64 {
            Ok("AMD64".into())
        } else {
            Err(format!("{machine:#06x}, not AMD64"))
        }
    }

    fn subsystem(&self) -> Result<String, String> {
        let subsystem = self.optional().subsystem.get(LE);
        if subsystem == IMAGE_SUBSYSTEM_NATIVE {
            Ok("NATIVE".into())
        } else {
            Err(format!(
                "{subsystem}, not NATIVE (1): Windows loads no driver of another subsystem"
            ))
        }
    }

    fn entry(&self, symbols: &Symbols) -> Result<String, String> {
        let entry = self.optional().address_of_entry_point.get(LE);
        match symbols.public.get(ENTRY) {
            Some(&address) if address == entry => Ok(format!("{ENTRY} at {entry:#x}")),
            Some(address) => Err(format!(
                "the image starts at {entry:#x}, {ENTRY} lies at {address:#x}"
            )),
            None => Err(format!(
                "the symbols have no {ENTRY}, which binds the driver to the framework"
            )),
        }
    }

    fn imports(&self, target: Windows) -> Result<String, String> {
        let trouble = |error: object::Error| format!("unreadable: {error}");
        let table = self.file.import_table().map_err(trouble)?.ok_or("none at all")?;
        let mut descriptors = table.descriptors().map_err(trouble)?;
        let (mut count, mut unknown, mut wrong) = (0, Vec::new(), Vec::new());
        while let Some(descriptor) = descriptors.next().map_err(trouble)? {
            let library = table.name(descriptor.name.get(LE)).map_err(trouble)?;
            let library = String::from_utf8_lossy(library);
            let mut thunks = table
                .thunks(descriptor.original_first_thunk.get(LE))
                .map_err(trouble)?;
            while let Some(thunk) = thunks.next::<object::pe::ImageNtHeaders64>().map_err(trouble)? {
                count += 1;
                if thunk.is_ordinal() {
                    wrong.push(format!(
                        "{library} by ordinal {}, which Windows does not keep from one build to the next",
                        thunk.ordinal()
                    ));
                    continue;
                }
                let (_, name) = table.hint_name(thunk.address()).map_err(trouble)?;
                let name = String::from_utf8_lossy(name);
                match import(&library, &name, target) {
                    Ok(Since::Windows(_)) => {}
                    Ok(Since::Unknown) => unknown.push(name.into_owned()),
                    Err(what) => wrong.push(what),
                }
            }
        }
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        Ok(if unknown.is_empty() {
            format!("{count}, all exported by {target}")
        } else {
            let rest = count - unknown.len();
            format!(
                "{rest} exported by {target}; no source says which Windows has {}",
                unknown.join(", ")
            )
        })
    }

    fn relocations(&self) -> Result<String, String> {
        match self.pointers()?.len() {
            0 => Err("none".into()),
            count => Ok(format!("{count}, all DIR64")),
        }
    }

    /// Where the loader adds the image's base to a pointer.
    fn pointers(&self) -> Result<BTreeSet<u32>, String> {
        let stripped =
            self.file.nt_headers().file_header().characteristics.get(LE) & IMAGE_FILE_RELOCS_STRIPPED;
        if stripped.0 != 0 {
            return Err("stripped: the image cannot be loaded but at its preferred address".into());
        }
        let trouble = |error: object::Error| format!("unreadable: {error}");
        let blocks = self
            .file
            .data_directories()
            .relocation_blocks(self.bytes, &self.file.section_table())
            .map_err(trouble)?
            .ok_or("none, but the load configuration alone has pointers")?;
        let mut blocks = blocks;
        let mut pointers = BTreeSet::new();
        while let Some(block) = blocks.next().map_err(trouble)? {
            for relocation in block {
                match relocation.typ {
                    IMAGE_REL_BASED_DIR64 => drop(pointers.insert(relocation.virtual_address)),
                    IMAGE_REL_BASED_ABSOLUTE => {}
                    other => {
                        return Err(format!(
                            "type {other} at {:#x}, not DIR64",
                            relocation.virtual_address
                        ));
                    }
                }
            }
        }
        Ok(pointers)
    }

    /// Whether the framework's loader finds pointers where it follows pointers, and the versions that it compares.
    fn bind_info(&self, symbols: &Symbols) -> Result<String, String> {
        let begin = symbols.bind_info.ok_or("the symbols have no BindInfo")?;
        let section = self.file.section_table();
        let word = |address: u32| -> Result<u32, String> {
            let bytes = section
                .pe_data_at(self.bytes, address)
                .and_then(|bytes| bytes.first_chunk());
            bytes
                .copied()
                .map(u32::from_le_bytes)
                .ok_or_else(|| format!("{address:#x} is not in the file"))
        };
        let (pointers, size) = (self.pointers()?, word(begin)?);
        if size != BIND_INFO_SIZE {
            return Err(format!(
                "its size is {size}, not a WDF_BIND_INFO2's, {BIND_INFO_SIZE}"
            ));
        }
        let here = |address: u32| {
            address
                .checked_sub(begin)
                .filter(|offset| *offset < BIND_INFO_SIZE)
        };
        let found: BTreeSet<u32> = pointers.iter().copied().filter_map(here).collect();
        for (name, offset) in BIND_INFO_POINTERS {
            if !found.contains(&offset) {
                return Err(format!(
                    "{name} is a number, where the framework's loader follows a pointer"
                ));
            }
        }
        if found.len() != BIND_INFO_POINTERS.len() {
            return Err(format!(
                "pointers at {found:?}, some of them where the loader reads numbers"
            ));
        }
        // Version.Minor, and what MinimumVersionRequired points at.
        let base = self.optional().image_base.get(LE);
        let absolute = u64::from(word(begin + 48)?) | u64::from(word(begin + 52)?) << 32;
        let pointed = absolute
            .checked_sub(base)
            .and_then(|address| u32::try_from(address).ok());
        let (minor, least) = (
            word(begin + 20)?,
            word(pointed.ok_or("MinimumVersionRequired points out of the image")?)?,
        );
        if least == 0 || least > minor {
            return Err(format!(
                "the driver is built for KMDF 1.{minor} and wants at least 1.{least}"
            ));
        }
        Ok(format!("KMDF 1.{minor}, at least 1.{least}"))
    }

    fn flag(&self, flag: DllFlags, name: &str) -> Result<String, String> {
        if (self.optional().dll_characteristics.get(LE) & flag).0 == 0 {
            Err(format!("{name} is not set"))
        } else {
            Ok("set".into())
        }
    }

    fn control_flow_guard(&self) -> Result<String, String> {
        self.flag(IMAGE_DLLCHARACTERISTICS_GUARD_CF, "GUARD_CF")?;
        let directory = self
            .file
            .data_directory(IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG)
            .ok_or("GUARD_CF is set without a load configuration")?;
        let bytes = directory
            .data(self.bytes, &self.file.section_table())
            .map_err(|error| format!("unreadable load configuration: {error}"))?;
        // IMAGE_LOAD_CONFIG_DIRECTORY64.
        let pointer = |offset: usize| {
            bytes
                .get(offset..offset + 8)
                .and_then(|field| field.try_into().ok())
                .map_or(0, u64::from_le_bytes)
        };
        let (check, dispatch, table, count) = (pointer(112), pointer(120), pointer(128), pointer(136));
        if check == 0 || dispatch == 0 {
            return Err("the load configuration names no check or dispatch pointer".into());
        }
        if table == 0 || count == 0 {
            return Err("the load configuration names no table of call targets".into());
        }
        Ok(format!("{count} call targets"))
    }

    fn checksum(&self) -> Result<String, String> {
        let (stored, right) = (self.optional().check_sum.get(LE), checksum(self.bytes)?);
        if stored == right {
            Ok(format!("{stored:#x}"))
        } else {
            Err(format!("{stored:#x}, right is {right:#x}"))
        }
    }

    fn section_alignment(&self) -> Result<String, String> {
        let alignment = self.optional().section_alignment.get(LE);
        if alignment >= 4096 {
            Ok(format!("{alignment}"))
        } else {
            Err(format!(
                "{alignment}: memory integrity (HVCI) wants sections on pages of their own, 4096"
            ))
        }
    }

    fn section_rights(&self) -> Result<String, String> {
        let mut listed = Vec::new();
        for (name, section) in self.sections() {
            let rights = section.characteristics.get(LE);
            let has = |flags: SectionFlags| (rights & flags).0 != 0;
            if has(IMAGE_SCN_MEM_EXECUTE) && has(IMAGE_SCN_MEM_WRITE) {
                return Err(format!("{name} is writable and executable"));
            }
            if name == "INIT" && !has(IMAGE_SCN_MEM_DISCARDABLE) {
                return Err("INIT is not discardable".into());
            }
            // NT pages what is called PAGE or begins with it; such a section is code, and stays what it is.
            let wrong = IMAGE_SCN_MEM_WRITE | IMAGE_SCN_MEM_NOT_PAGED | IMAGE_SCN_MEM_DISCARDABLE;
            if name.starts_with("PAGE") && has(wrong) {
                return Err(format!("{name} is not just pageable: {:#010x}", rights.0));
            }
            // What Microsoft's linker sets under /KERNEL on all that must stay resident.
            if [".text", ".rdata", ".data", ".pdata"].contains(&&*name) && !has(IMAGE_SCN_MEM_NOT_PAGED) {
                return Err(format!("{name} may be paged out"));
            }
            listed.push(format!("{name} {:#010x}", rights.0));
        }
        Ok(listed.join(", "))
    }

    fn section_names(&self) -> Result<String, String> {
        // Made by lld; with it, StartService fails with ERROR_NOACCESS (windows-drivers-rs, issue 182).
        if self.sections().any(|(name, _)| name == ".retplne") {
            return Err("there is a section .retplne, with which Windows does not start a driver".into());
        }
        Ok("no .retplne".into())
    }

    fn version(&self) -> Result<String, String> {
        const SIGNATURE: [u8; 4] = 0xFEEF_04BD_u32.to_le_bytes();
        const DRIVER: u32 = 3;
        let trouble = |error: object::Error| format!("unreadable resources: {error}");
        let directory = self
            .file
            .data_directories()
            .resource_directory(self.bytes, &self.file.section_table())
            .map_err(trouble)?
            .ok_or("there are no resources, so nobody can tell one build from another")?;
        // By type, name and language.
        let types = directory.root().map_err(trouble)?;
        let version = types
            .entries
            .iter()
            .find(|entry| entry.name_or_id().id() == Some(object::pe::RT_VERSION));
        let names = version.ok_or("there is no version among the resources")?;
        let names = names.data(directory).map_err(trouble)?.table();
        let languages = names.and_then(|names| names.entries.first());
        let languages = languages.ok_or("the version resource has no name")?;
        let languages = languages.data(directory).map_err(trouble)?.table();
        let data = languages.and_then(|languages| languages.entries.first());
        let data = data.ok_or("the version resource has no language")?;
        let data = data.data(directory).map_err(trouble)?.data();
        let data = data.ok_or("the version resource has no data")?;
        let section = self.file.section_table();
        let bytes = section
            .pe_data_at(self.bytes, data.offset_to_data.get(LE))
            .ok_or("the version resource lies outside the image")?;
        let bytes = &bytes[..bytes.len().min(data.size.get(LE) as usize)];
        // VS_FIXEDFILEINFO, behind a header and a key of fixed length.
        let fixed = bytes
            .get(40..40 + 52)
            .filter(|fixed| fixed.starts_with(&SIGNATURE));
        let fixed = fixed.ok_or("the version resource is malformed")?;
        let word = |index: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| fixed[4 * index + byte]));
        if word(9) != DRIVER {
            return Err(format!(
                "the version resource is of type {}, not of a driver's, 3",
                word(9)
            ));
        }
        let (high, low) = (word(2), word(3));
        Ok(format!(
            "{}.{}.{}.{}",
            high >> 16,
            high & 0xFFFF,
            low >> 16,
            low & 0xFFFF
        ))
    }

    fn pdb_identity(&self, symbols: &Symbols) -> Result<String, String> {
        let Some(info) = self
            .file
            .pdb_info()
            .map_err(|error| format!("unreadable debug directory: {error}"))?
        else {
            return Err("the image names no PDB".into());
        };
        let name = String::from_utf8_lossy(info.path());
        if name.contains(['/', '\\']) {
            return Err(format!(
                "the image names its PDB by a path of the building machine, {name}"
            ));
        }
        if info.guid() == symbols.guid {
            Ok(format!("{name}, age {}", info.age()))
        } else {
            Err(format!("the image was linked with another {name}"))
        }
    }
}

/// Bytes of a `WDF_BIND_INFO2` on x64.
const BIND_INFO_SIZE: u32 = 88;
/// The fields of a `WDF_BIND_INFO2` that are pointers, with their offsets, as the framework's own header declares them:
/// microsoft/Windows-Driver-Frameworks (MIT), src/framework/shared/inc/private/common/fxldr.h, lines 79 to 173. A driver
/// leaves the remaining one, `Module`, to the loader.
const BIND_INFO_POINTERS: [(&str, u32); 7] = [
    ("Component", 8),
    ("FuncTable", 32),
    ("MinimumVersionRequired", 48),
    ("ClientVersionHigherThanFramework", 56),
    ("FuncCountPtr", 64),
    ("StructCountPtr", 72),
    ("StructTable", 80),
];

const ENTRY: &str = "FxDriverEntry";
const NAMED: [&str; 2] = [ENTRY, "DriverEntry"];

/// What the PDB says, with addresses relative to the image's base.
struct Symbols {
    public: BTreeMap<String, u32>,
    /// Where the bind information lies.
    bind_info: Option<u32>,
    /// As its bytes in the image.
    guid: [u8; 16],
}

impl Symbols {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let trouble = |error: pdb::Error| format!("the PDB is unreadable: {error}");
        let mut pdb = pdb::PDB::open(Cursor::new(bytes)).map_err(trouble)?;
        let guid = pdb.pdb_information().map_err(trouble)?.guid.to_bytes_le();
        let addresses = pdb.address_map().map_err(trouble)?;
        let table = pdb.global_symbols().map_err(trouble)?;
        let mut symbols = table.iter();
        let (mut public, mut bind_info) = (BTreeMap::new(), None);
        while let Some(symbol) = symbols.next().map_err(trouble)? {
            // A record of a kind that the crate does not know is neither of these.
            match symbol.parse() {
                Ok(pdb::SymbolData::Public(symbol)) => {
                    if let Some(address) = symbol.offset.to_rva(&addresses) {
                        public.insert(symbol.name.to_string().into_owned(), address.0);
                    }
                }
                Ok(pdb::SymbolData::Data(data)) if data.name.as_bytes() == b"BindInfo" => {
                    bind_info = data.offset.to_rva(&addresses).map(|address| address.0);
                }
                _ => {}
            }
        }
        Ok(Self {
            public,
            bind_info,
            guid,
        })
    }

    fn named(&self) -> Result<String, String> {
        for name in NAMED {
            if !self.public.contains_key(name) {
                return Err(format!("the PDB has no {name}"));
            }
        }
        Ok(format!("{} public symbols", self.public.len()))
    }
}
