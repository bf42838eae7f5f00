//! From addresses to functions, files and lines: the driver's by its PDB, the kernel's by its DWARF.

use crate::driver::DriverFile;
use pdb_addr2line::pdb::{self, FallibleIterator as _};
use pdb_addr2line::{ContextPdbData, TypeFormatterFlags};
use std::io::Cursor;
use std::path::Path;

/// A place in the sources; an inlined function has one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The function's name with its path, without arguments.
    pub function: Option<String>,
    /// The file as the compiler knew it.
    pub file: Option<String>,
    /// Counted from 1.
    pub line: Option<u32>,
}

/// A function of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its first byte, relative to the image base.
    pub start: u32,
    /// Behind its last byte, relative to the image base.
    pub end: u32,
}

/// The driver's symbols.
pub struct DriverSymbols {
    /// What the linker calls functions, and where they are: `DriverEntry`.
    names: Vec<(String, u32)>,
    data: ContextPdbData<'static, 'static, Cursor<Vec<u8>>>,
}

impl DriverSymbols {
    /// Reads the PDB at `path`, which has to belong to `driver`.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn read(path: &Path, driver: &DriverFile) -> Result<Self, String> {
        let bytes =
            std::fs::read(path).map_err(|e| format!("cannot read the PDB {}: {e}", path.display()))?;
        let wrong =
            |e: &dyn std::fmt::Display| format!("{} is not a PDB that can be read: {e}", path.display());
        let mut pdb = pdb::PDB::open(Cursor::new(bytes)).map_err(|e| wrong(&e))?;
        let information = pdb.pdb_information().map_err(|e| wrong(&e))?;
        if let Some((guid, _age)) = driver.pdb
            && information.guid.to_bytes_le() != guid
        {
            return Err(format!(
                "{} does not belong to {}: they come from different builds",
                path.display(),
                driver.path.display()
            ));
        }
        let names = names(&mut pdb).map_err(|e| wrong(&e))?;
        Ok(Self {
            names,
            data: ContextPdbData::try_from_pdb(pdb).map_err(|e| wrong(&e))?,
        })
    }

    /// The linker's names of functions, each with its address relative to the image base.
    #[must_use]
    pub fn names(&self) -> &[(String, u32)] {
        &self.names
    }

    /// Calls `use_context` with the tables that answer questions. They borrow from the PDB, hence the detour.
    ///
    /// # Errors
    /// The PDB's streams may be damaged.
    fn with_context<T>(
        &self,
        use_context: impl FnOnce(&pdb_addr2line::Context<'_, '_>) -> T,
    ) -> Result<T, String> {
        let flags = TypeFormatterFlags::NO_FUNCTION_RETURN
            | TypeFormatterFlags::NO_MEMBER_FUNCTION_STATIC
            | TypeFormatterFlags::NAME_ONLY
            | TypeFormatterFlags::NO_ARGUMENTS;
        let context = self
            .data
            .make_context_with_formatter_flags(flags)
            .map_err(|e| format!("the PDB is damaged: {e}"))?;
        Ok(use_context(&context))
    }

    /// What is at each of `addresses` (relative to the image base), the innermost inlined function first; empty where nothing is known.
    #[must_use]
    pub fn locate(&self, addresses: &[u32]) -> Vec<Vec<Location>> {
        let located = self.with_context(|context| {
            addresses
                .iter()
                .map(|&address| locations(context, address))
                .collect()
        });
        located.unwrap_or_else(|_| vec![Vec::new(); addresses.len()])
    }

    /// All functions with code, in the order of their addresses.
    ///
    /// # Errors
    /// The PDB's streams may be damaged.
    pub fn functions(&self) -> Result<Vec<Function>, String> {
        self.with_context(|context| {
            let mut functions: Vec<Function> = context
                .functions()
                .filter_map(|f| {
                    Some(Function {
                        start: f.start_rva,
                        end: f.end_rva?,
                    })
                })
                .collect();
            functions.sort_by_key(|f| f.start);
            functions.dedup();
            functions
        })
    }
}

/// The linker's names of functions.
fn names(pdb: &mut pdb::PDB<'static, Cursor<Vec<u8>>>) -> pdb::Result<Vec<(String, u32)>> {
    let (symbols, addresses) = (pdb.global_symbols()?, pdb.address_map()?);
    let mut symbols = symbols.iter();
    let mut names = Vec::new();
    while let Some(symbol) = symbols.next()? {
        if let Ok(pdb::SymbolData::Public(public)) = symbol.parse()
            && public.function
            && let Some(address) = public.offset.to_rva(&addresses)
        {
            names.push((public.name.to_string().into_owned(), address.0));
        }
    }
    Ok(names)
}

fn locations(context: &pdb_addr2line::Context<'_, '_>, address: u32) -> Vec<Location> {
    let Ok(Some(found)) = context.find_frames(address) else {
        return Vec::new();
    };
    let location = |frame: pdb_addr2line::Frame<'_>| Location {
        function: frame.function,
        file: frame.file.map(std::borrow::Cow::into_owned),
        line: frame.line,
    };
    found.frames.into_iter().map(location).collect()
}

/// The kernel's symbols.
pub struct KernelSymbols {
    loader: addr2line::Loader,
}

impl KernelSymbols {
    /// Reads the kernel's ELF; `None` if it has none that can be read, and then addresses stay addresses.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        addr2line::Loader::new(path).ok().map(|loader| Self { loader })
    }

    /// What is at `address`, the innermost inlined function first.
    #[must_use]
    pub fn locate(&self, address: u64) -> Vec<Location> {
        let mut found = Vec::new();
        // No function ends there, and addr2line adds one to it.
        if address == u64::MAX {
            return found;
        }
        if let Ok(mut frames) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                found.push(Location {
                    function: frame
                        .function
                        .and_then(|f| f.demangle().ok().map(std::borrow::Cow::into_owned)),
                    file: frame.location.as_ref().and_then(|l| l.file).map(str::to_owned),
                    line: frame.location.and_then(|l| l.line),
                });
            }
        }
        if found.is_empty()
            && let Some(symbol) = self.loader.find_symbol(address)
        {
            let function = Some(addr2line::demangle_auto(symbol.into(), None).into_owned());
            found.push(Location {
                function,
                file: None,
                line: None,
            });
        }
        found
    }
}
