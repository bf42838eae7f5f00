//! Functions out of an image, decoded.

use std::{collections::BTreeMap, fs, path::Path};

use iced_x86::{Decoder, DecoderOptions, Instruction};
use object::{ExportTarget, NameOrOrdinal, Object as _, ObjectSection as _, ObjectSymbol as _};
use rundown_lab::{driver::DriverFile, symbols::DriverSymbols};

/// What the names of the probes begin with.
const PREFIX: &str = "probe_";

/// The instructions of each function, by its name.
pub type Functions = BTreeMap<String, Vec<Instruction>>;

/// The probes in a program of the host, by its symbols.
///
/// # Errors
/// One line that names the file.
pub fn probes_of_program(path: &Path) -> Result<Functions, String> {
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let file = object::File::parse(&*bytes)
        .map_err(|error| format!("{} is no executable: {error}", path.display()))?;
    file.symbols()
        .filter_map(|symbol| Some((symbol.name().ok()?.strip_prefix(PREFIX)?.to_owned(), symbol)))
        .map(|(name, symbol)| {
            let (start, end) = (symbol.address(), symbol.address() + symbol.size());
            let code = decode(&file, start, end).ok_or_else(|| format!("{name} is not in the file"))?;
            Ok((name, code))
        })
        .collect()
}

/// The probes in a driver: where they begin is in its exports, where they end in its PDB.
///
/// Two probes with the same code may be one function.
///
/// # Errors
/// One line that names the file.
pub fn probes_of_driver(sys: &Path, pdb: &Path) -> Result<Functions, String> {
    let driver = DriverFile::read(sys)?;
    let functions = DriverSymbols::read(pdb, &driver)?.functions()?;
    let file = object::File::parse(&*driver.bytes).map_err(|error| error.to_string())?;
    let unreadable = |error: object::Error| format!("{}: its exports cannot be read: {error}", sys.display());
    let mut probes = Functions::new();
    for export in file.exports().map_err(unreadable)? {
        let export = export.map_err(unreadable)?;
        let (NameOrOrdinal::Name(name), ExportTarget::Address { address }) = (export.name(), export.target())
        else {
            continue;
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let Some(name) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let start = address - file.relative_address_base();
        let end = functions
            .iter()
            .find(|function| u64::from(function.start) == start)
            .ok_or_else(|| format!("{}: {name} is not a function of the PDB", sys.display()))?
            .end;
        let code = decode_relative(&file, start, end.into())
            .ok_or_else(|| format!("{}: {name} is not in the file", sys.display()))?;
        probes.insert(name.to_owned(), code);
    }
    Ok(probes)
}

/// The instructions between two addresses relative to the image base; their own addresses are relative as well.
pub(crate) fn decode_relative(file: &object::File<'_>, start: u64, end: u64) -> Option<Vec<Instruction>> {
    let base = file.relative_address_base();
    let mut code = decode(file, base + start, base + end)?;
    for instruction in &mut code {
        instruction.set_ip(instruction.ip() - base);
        if instruction.near_branch_target() != 0 {
            instruction.set_near_branch64(instruction.near_branch_target() - base);
        }
    }
    Some(code)
}

fn decode(file: &object::File<'_>, start: u64, end: u64) -> Option<Vec<Instruction>> {
    let code = file
        .sections()
        .find_map(|section| section.data_range(start, end - start).ok().flatten())?;
    Some(
        Decoder::with_ip(64, code, start, DecoderOptions::NONE)
            .into_iter()
            .collect(),
    )
}
