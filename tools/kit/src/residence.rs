//! Which of a driver's functions need not be in memory: those in pageable sections, and those that are thrown away after
//! `DriverEntry`.
//!
//! The linker decides where a function lies, and the optimiser what it is made of, so this asks the image and its PDB.

use std::{collections::BTreeMap, fs, io::Cursor, path::Path};

use object::read::pe::PeFile64;
use pdb::FallibleIterator as _;

use crate::Error;

/// A function outside the resident sections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotResident {
    /// The section: `INIT`, `PAGE`, or one whose name begins with that.
    pub section: String,
    /// The function, as the PDB names it.
    pub function: String,
    /// The functions that were inlined into it.
    pub inlined: Vec<String>,
}

/// The functions of `sys` that lie in `INIT` or in a pageable section, by its PDB.
///
/// # Errors
///
/// If a file cannot be read.
pub fn not_resident(sys: &Path, pdb: &Path) -> Result<Vec<NotResident>, Error> {
    let image = fs::read(sys).map_err(Error::file("read", sys))?;
    let symbols = fs::read(pdb).map_err(Error::file("read", pdb))?;
    let file = PeFile64::parse(&*image)
        .map_err(|error| Error::new(format!("{}: is not a 64-bit PE image: {error}", sys.display())))?;
    let sections: Vec<String> = file
        .section_table()
        .iter()
        .map(|section| String::from_utf8_lossy(section.raw_name()).into_owned())
        .collect();
    functions(&symbols, &sections)
        .map_err(|error| Error::new(format!("{}: is unreadable: {error}", pdb.display())))
}

fn functions(symbols: &[u8], sections: &[String]) -> pdb::Result<Vec<NotResident>> {
    let mut pdb = pdb::PDB::open(Cursor::new(symbols))?;
    let names = Names::read(&mut pdb)?;
    let information = pdb.debug_information()?;
    let mut modules = information.modules()?;
    let mut found: Vec<NotResident> = Vec::new();
    while let Some(module) = modules.next()? {
        let Some(module) = pdb.module_info(&module)? else {
            continue;
        };
        let mut symbols = module.symbols()?;
        // The function that the symbols at hand are inside of, if it is not resident.
        let mut inside = false;
        while let Some(symbol) = symbols.next()? {
            // A record of a kind that the crate does not know is neither of these.
            match symbol.parse() {
                Ok(pdb::SymbolData::Procedure(procedure)) => {
                    let number = usize::from(procedure.offset.section);
                    let section = number.checked_sub(1).and_then(|index| sections.get(index));
                    inside = section.is_some_and(|name| name == "INIT" || name.starts_with("PAGE"));
                    if inside && let Some(section) = section {
                        found.push(NotResident {
                            section: section.clone(),
                            function: procedure.name.to_string().into_owned(),
                            inlined: Vec::new(),
                        });
                    }
                }
                Ok(pdb::SymbolData::InlineSite(site)) if inside => {
                    if let (Some(function), Some(name)) = (found.last_mut(), names.0.get(&site.inlinee.0))
                        && !function.inlined.contains(name)
                    {
                        function.inlined.push(name.clone());
                    }
                }
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The names of functions that may be inlined, by their index.
struct Names(BTreeMap<u32, String>);

impl Names {
    fn read<'a>(pdb: &mut pdb::PDB<'a, Cursor<&'a [u8]>>) -> pdb::Result<Self> {
        let owners = type_names(pdb)?;
        let ids = pdb.id_information()?;
        let mut items = ids.iter();
        let (mut strings, mut names) = (BTreeMap::new(), BTreeMap::new());
        while let Some(item) = items.next()? {
            let index = item.index().0;
            match item.parse() {
                Ok(pdb::IdData::String(text)) => {
                    strings.insert(index, text.name.to_string().into_owned());
                }
                Ok(pdb::IdData::Function(function)) => {
                    let scope = function.scope.and_then(|scope| strings.get(&scope.0));
                    let scope = scope.map(|scope| format!("{scope}::")).unwrap_or_default();
                    names.insert(index, format!("{scope}{}", function.name));
                }
                Ok(pdb::IdData::MemberFunction(function)) => {
                    let owner = owners.get(&function.parent.0).map_or("?", String::as_str);
                    names.insert(index, format!("{owner}::{}", function.name));
                }
                _ => {}
            }
        }
        Ok(Self(names))
    }
}

/// The names of the types that have functions of their own, by their index.
fn type_names<'a>(pdb: &mut pdb::PDB<'a, Cursor<&'a [u8]>>) -> pdb::Result<BTreeMap<u32, String>> {
    let types = pdb.type_information()?;
    let mut items = types.iter();
    let mut names = BTreeMap::new();
    while let Some(item) = items.next()? {
        let name = match item.parse() {
            Ok(pdb::TypeData::Class(class)) => class.name,
            Ok(pdb::TypeData::Union(union)) => union.name,
            Ok(pdb::TypeData::Enumeration(enumeration)) => enumeration.name,
            _ => continue,
        };
        names.insert(item.index().0, name.to_string().into_owned());
    }
    Ok(names)
}
