//! An image's functions, by its unwind data and its PDB.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
};

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::{
    LittleEndian as LE,
    pe::{
        IMAGE_DIRECTORY_ENTRY_EXCEPTION, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, IMAGE_SCN_MEM_EXECUTE,
        ImageNtHeaders64,
    },
    read::{
        ExportTarget, Object as _,
        coff::SectionTable,
        pe::{ImageThunkData as _, PeFile64},
    },
};
use pdb::FallibleIterator as _;

use crate::kmdf;

use super::{
    code::{self, Behaviour, Stretch, Target},
    unwind::{self, RETURN_ADDRESS, Region},
};

/// The pointer to the framework's table.
const FRAMEWORK: &str = "WdfFunctions_01031";
/// Control Flow Guard's pointers, to the routine that checks a target and to the one that calls it.
const GUARD: [&str; 2] = ["__guard_check_icall_fptr", "__guard_dispatch_icall_fptr"];
/// What the second does where Windows does not enforce Control Flow Guard: goes on to the target, which is its caller's.
const GUARD_DISPATCH: &str = "_guard_dispatch_icall_nop";

/// A function, or a part of one that has unwind data of its own.
pub(super) struct Function {
    pub(super) name: String,
    /// Bytes of its frame by its unwind data, with the return address.
    pub(super) frame: u32,
    pub(super) behaviour: Behaviour,
    /// Where the function begins that it is a part of: itself, mostly.
    pub(super) whole: u32,
    /// Where its other parts begin.
    pub(super) parts: BTreeSet<u32>,
    end: u32,
}

/// Addresses are relative to the image's base.
pub(super) struct Image {
    pub(super) functions: BTreeMap<u32, Function>,
    /// Names of imports, by their slots.
    pub(super) imports: BTreeMap<u32, String>,
    /// Where the address of the framework's table lies.
    pub(super) framework: u32,
    /// Functions whose address is taken.
    pub(super) taken: BTreeSet<u32>,
    /// Where Windows or the framework can enter.
    pub(super) entries: BTreeSet<u32>,
}

impl Image {
    pub(super) fn read(bytes: &[u8], symbols: &[u8]) -> Result<Self, String> {
        let trouble = |error: object::Error| format!("is unreadable: {error}");
        let file = PeFile64::parse(bytes).map_err(trouble)?;
        let sections = file.section_table();
        let at = |address: u32| sections.pe_data_at(bytes, address);
        let directory = file
            .data_directory(IMAGE_DIRECTORY_ENTRY_EXCEPTION)
            .ok_or("has no unwind data")?;
        let regions = unwind::regions(directory.data(bytes, &sections).map_err(trouble)?, &at)?;
        let names = Names::read(symbols).map_err(|error| format!("its PDB is unreadable: {error}"))?;
        let guard = [names.public(GUARD[0])?, names.public(GUARD[1])?];

        let mut image = Self {
            functions: BTreeMap::new(),
            imports: imports(&file).map_err(trouble)?,
            framework: names.public(FRAMEWORK)?,
            taken: guarded(&file, bytes)?,
            entries: BTreeSet::new(),
        };
        let base = file.relative_address_base();
        for export in file.exports().map_err(trouble)? {
            let export = export.map_err(trouble)?;
            let ExportTarget::Address { address } = export.target() else {
                continue;
            };
            let address = u32::try_from(address - base).ok();
            // Variables are exported as well.
            image
                .entries
                .extend(address.filter(|&address| is_code(&sections, address)));
        }
        image.entries.extend(&image.taken);
        // The linker has it in the table for Windows' sake: nothing in the image takes its address.
        let entry = file.nt_headers().optional_header.address_of_entry_point.get(LE);
        image.entries.insert(entry);
        image.taken.remove(&entry);

        // Code without unwind data is passed by: what it takes the address of only ends fewer tables.
        let code = regions
            .iter()
            .filter_map(|(&begin, region)| Some((begin, at(begin)?.get(..(region.end - begin) as usize)?)));
        let taken: BTreeSet<u32> = code.flat_map(|(begin, code)| code::taken(code, begin)).collect();
        let table = |address: u32| at(address).map(|bytes| code::up_to_next(&taken, address, bytes));

        let mut open: BTreeSet<u32> = regions.keys().chain(&image.entries).copied().collect();
        while let Some(begin) = open.pop_first() {
            if image.containing(begin).is_some() || is_inside(&regions, begin) {
                continue;
            }
            let mut function = function(begin, regions.get(&begin), &at, &table, &names, guard)?;
            let targets = function.behaviour.calls.iter().chain(&function.behaviour.jumps);
            open.extend(targets.filter_map(|target| match target {
                Target::At(address) => Some(*address),
                _ => None,
            }));
            let import = function.behaviour.jumps.iter().find_map(|target| match target {
                Target::Through(slot) if !names.functions.contains_key(&begin) => image.imports.get(slot),
                _ => None,
            });
            if let Some(import) = import {
                function.name = format!("the jump to {import}");
            }
            image.functions.insert(begin, function);
        }
        for (&begin, region) in regions
            .iter()
            .filter(|&(&begin, region)| region.function != begin)
        {
            let whole = image.functions.get_mut(&region.function);
            whole
                .ok_or_else(|| format!("{begin:#x} is a part of no function"))?
                .parts
                .insert(begin);
        }
        image
            .taken
            .retain(|address| image.functions.contains_key(address));
        Ok(image)
    }

    /// The function, or its part, that an address is in.
    pub(super) fn containing(&self, address: u32) -> Option<u32> {
        let (&begin, function) = self.functions.range(..=address).next_back()?;
        (address < function.end).then_some(begin)
    }

    /// The function of that name.
    pub(super) fn named(&self, name: &str) -> Result<u32, String> {
        let found = self.functions.iter().find(|(_, function)| function.name == name);
        found
            .map(|(&begin, _)| begin)
            .ok_or_else(|| format!("there is no function {name}"))
    }
}

fn is_code(sections: &SectionTable<'_>, address: u32) -> bool {
    sections.iter().any(|section| {
        let begin = section.virtual_address.get(LE);
        let size = section.virtual_size.get(LE);
        (begin..begin + size).contains(&address)
            && (section.characteristics.get(LE) & IMAGE_SCN_MEM_EXECUTE).0 != 0
    })
}

/// The framework's routine at an offset in its table.
pub(super) fn framework_routine(offset: u32) -> Option<&'static str> {
    kmdf::function(offset / 8)
}

/// Whether an address is in a region, but not where it begins.
fn is_inside(regions: &BTreeMap<u32, Region>, address: u32) -> bool {
    let before = regions.range(..address).next_back();
    before.is_some_and(|(_, region)| address < region.end)
}

fn function<'a>(
    begin: u32,
    region: Option<&Region>,
    at: &impl Fn(u32) -> Option<&'a [u8]>,
    table: &impl Fn(u32) -> Option<&'a [u8]>,
    names: &Names,
    guard: [u32; 2],
) -> Result<Function, String> {
    let name = names.of(begin);
    let code = at(begin).ok_or_else(|| format!("{name} is outside the image"))?;
    // A function without unwind data has no frame and calls nobody.
    let end = match region {
        Some(region) => region.end,
        None => names.end(begin).unwrap_or_else(|| begin + leaf(code)),
    };
    let bytes = code
        .get(..(end - begin) as usize)
        .ok_or_else(|| format!("{name} is cut short"))?;
    let stretch = Stretch {
        bytes,
        begin,
        prologue_end: region.map_or(begin, |region| region.prologue_end),
    };
    let mut behaviour = code::behaviour(stretch, guard, table).map_err(|what| format!("{name}: {what}"))?;
    if region.is_none() && !behaviour.calls.is_empty() {
        return Err(format!("{name} calls others, and has no unwind data"));
    }
    if name == GUARD_DISPATCH {
        behaviour.jumps.clear();
    }
    Ok(Function {
        name,
        frame: region.map_or(RETURN_ADDRESS, |region| region.frame),
        behaviour,
        whole: region.map_or(begin, |region| region.function),
        parts: BTreeSet::new(),
        end,
    })
}

/// The length of code that nobody describes: to its first end.
fn leaf(code: &[u8]) -> u32 {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    while decoder.can_decode() {
        let flow = decoder.decode().flow_control();
        if matches!(
            flow,
            FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch
        ) {
            break;
        }
    }
    u32::try_from(decoder.position()).unwrap_or(u32::MAX)
}

fn imports(file: &PeFile64<'_>) -> object::Result<BTreeMap<u32, String>> {
    let mut imports = BTreeMap::new();
    let Some(table) = file.import_table()? else {
        return Ok(imports);
    };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
        let mut slot = descriptor.first_thunk.get(LE);
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
            let (_, name) = table.hint_name(thunk.address())?;
            imports.insert(slot, String::from_utf8_lossy(name).into_owned());
            slot += 8;
        }
    }
    Ok(imports)
}

/// The functions in the table of Control Flow Guard: those whose address is taken.
fn guarded(file: &PeFile64<'_>, bytes: &[u8]) -> Result<BTreeSet<u32>, String> {
    let sections = file.section_table();
    let configuration = file
        .data_directory(IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG)
        .and_then(|directory| directory.data(bytes, &sections).ok())
        .ok_or("has no load configuration")?;
    // IMAGE_LOAD_CONFIG_DIRECTORY64: GuardCFFunctionTable, GuardCFFunctionCount, GuardFlags.
    let field = |offset: usize| -> Result<u64, String> {
        let bytes = configuration
            .get(offset..offset + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(u64::from_le_bytes)
            .ok_or_else(|| "its load configuration is cut short".into())
    };
    let (table, count, flags) = (field(128)?, field(136)?, field(144)?);
    // IMAGE_GUARD_CF_FUNCTION_TABLE_SIZE_MASK: bytes behind each address.
    let stride = 4 + usize::try_from(flags >> 28 & 15).unwrap_or(0);
    let table = u32::try_from(table - file.nt_headers().optional_header.image_base.get(LE));
    let data = table.ok().and_then(|table| sections.pe_data_at(bytes, table));
    let data = data.ok_or("has no Control Flow Guard table")?;
    let entries = data
        .chunks_exact(stride)
        .take(usize::try_from(count).unwrap_or(0));
    Ok(entries
        .filter_map(|entry| entry.first_chunk().copied().map(u32::from_le_bytes))
        .collect())
}

/// The PDB's names.
struct Names {
    /// Functions with their ends; several names for code that the linker folded.
    functions: BTreeMap<u32, (u32, BTreeSet<String>)>,
    publics: BTreeMap<String, u32>,
}

impl Names {
    fn read(bytes: &[u8]) -> pdb::Result<Self> {
        let mut pdb = pdb::PDB::open(Cursor::new(bytes))?;
        let addresses = pdb.address_map()?;
        let mut names = Self {
            functions: BTreeMap::new(),
            publics: BTreeMap::new(),
        };
        let information = pdb.debug_information()?;
        let mut modules = information.modules()?;
        while let Some(module) = modules.next()? {
            let Some(module) = pdb.module_info(&module)? else {
                continue;
            };
            let mut symbols = module.symbols()?;
            while let Some(symbol) = symbols.next()? {
                // A record of a kind that the crate does not know is no function.
                if let Ok(pdb::SymbolData::Procedure(procedure)) = symbol.parse()
                    && let Some(address) = procedure.offset.to_rva(&addresses)
                {
                    let entry = names.functions.entry(address.0);
                    let (_, all) = entry.or_insert((address.0 + procedure.len, BTreeSet::new()));
                    all.insert(procedure.name.to_string().into_owned());
                }
            }
        }
        let table = pdb.global_symbols()?;
        let mut symbols = table.iter();
        while let Some(symbol) = symbols.next()? {
            if let Ok(pdb::SymbolData::Public(public)) = symbol.parse()
                && let Some(address) = public.offset.to_rva(&addresses)
            {
                names
                    .publics
                    .insert(public.name.to_string().into_owned(), address.0);
            }
        }
        Ok(names)
    }

    fn of(&self, begin: u32) -> String {
        let name = self.functions.get(&begin).and_then(|(_, names)| names.first());
        name.cloned().unwrap_or_else(|| format!("the code at {begin:#x}"))
    }

    fn end(&self, begin: u32) -> Option<u32> {
        self.functions.get(&begin).map(|(end, _)| *end)
    }

    fn public(&self, name: &str) -> Result<u32, String> {
        self.publics
            .get(name)
            .copied()
            .ok_or_else(|| format!("its PDB has no {name}"))
    }
}
