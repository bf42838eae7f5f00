//! The driver's functions, inlined functions and lines, as DWARF 4.

use crate::lines::Line;
use crate::symbols::{Function, Location};
use gimli::write::{
    Address, AttributeValue, DwarfUnit, EndianVec, FileId, LineProgram, LineString, Sections, Unit,
    UnitEntryId,
};
use gimli::{Encoding, Format, LineEncoding, LittleEndian};
use std::collections::HashMap;

/// What made the code. gdb takes the second row of a function's lines for the end of its prologue only where a producer begins so, and elsewhere
/// reads the function's instructions (`amd64_skip_prologue` in gdb/amd64-tdep.c), which are not there before the image is loaded.
const PRODUCER: &str = "clang LLVM (made from the driver's PDB)";

const ENCODING: Encoding = Encoding {
    format: Format::Dwarf32,
    version: 4,
    address_size: 8,
};

/// The debug sections by name, of code at `base`.
///
/// # Errors
/// One line if it is more than DWARF can hold.
pub(super) fn sections(
    driver: &str,
    base: u64,
    functions: &[Function],
    lines: &[Line],
) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
    let mut dwarf = DwarfUnit::new(ENCODING);
    let name = LineString::String(driver.into());
    dwarf.unit.line_program = LineProgram::new(
        ENCODING,
        LineEncoding::default(),
        LineString::String(b".".to_vec()),
        None,
        name,
        None,
    );
    let root = dwarf.unit.root();
    let unit = dwarf.unit.get_mut(root);
    unit.set(gimli::DW_AT_name, string(driver));
    unit.set(gimli::DW_AT_producer, string(PRODUCER));
    // The language whose names gdb finds by their last part, with scopes and generics left out.
    unit.set(
        gimli::DW_AT_language,
        AttributeValue::Language(gimli::DW_LANG_C_plus_plus_14),
    );
    unit.set(gimli::DW_AT_stmt_list, AttributeValue::LineProgramRef);
    let mut builder = Builder {
        unit: &mut dwarf.unit,
        base,
        files: HashMap::new(),
        inlined: HashMap::new(),
        scopes: HashMap::new(),
    };
    for function in functions {
        let from = lines.partition_point(|line| line.address < function.start);
        let to = lines.partition_point(|line| line.address < function.end);
        builder.function(function, &lines[from..to]);
    }
    let mut written = Sections::new(EndianVec::new(LittleEndian));
    dwarf
        .write(&mut written)
        .map_err(|e| format!("the PDB does not fit into DWARF: {e}"))?;
    let mut sections = Vec::new();
    let gathered: Result<(), gimli::write::Error> = written.for_each(|id, data| {
        if !data.slice().is_empty() {
            sections.push((id.name(), data.slice().to_vec()));
        }
        Ok(())
    });
    gathered.map_err(|e| e.to_string())?;
    Ok(sections)
}

fn string(text: &str) -> AttributeValue {
    // What DWARF ends strings with.
    AttributeValue::String(text.replace('\0', "").into())
}

/// The unit under construction.
struct Builder<'a> {
    unit: &'a mut Unit,
    base: u64,
    files: HashMap<String, FileId>,
    /// What was inlined, by its name.
    inlined: HashMap<String, UnitEntryId>,
    /// Modules, types and whatever else names begin with.
    scopes: HashMap<String, UnitEntryId>,
}

impl Builder<'_> {
    fn file(&mut self, name: &str) -> FileId {
        if let Some(&id) = self.files.get(name) {
            return id;
        }
        let program = &mut self.unit.line_program;
        let folder = program.default_directory();
        let id = program.add_file(LineString::String(name.replace('\0', "").into()), folder, None);
        self.files.insert(name.to_owned(), id);
        id
    }

    /// The code from `start` to `end`.
    fn place(&mut self, entry: UnitEntryId, start: u32, end: u32) {
        let entry = self.unit.get_mut(entry);
        let address = Address::Constant(self.base + u64::from(start));
        entry.set(gimli::DW_AT_low_pc, AttributeValue::Address(address));
        entry.set(
            gimli::DW_AT_high_pc,
            AttributeValue::Udata(u64::from(end - start)),
        );
    }

    /// A function by its whole name.
    fn subprogram(&mut self, name: &str) -> UnitEntryId {
        let (scope, own) = split(name);
        let parent = self.scope(scope);
        let entry = self.unit.add(parent, gimli::DW_TAG_subprogram);
        self.unit.get_mut(entry).set(gimli::DW_AT_name, string(own));
        entry
    }

    /// What names begin with; gdb finds a function by the rest of its name only where the scopes are entries of their own.
    fn scope(&mut self, name: &str) -> UnitEntryId {
        if name.is_empty() {
            return self.unit.root();
        }
        if let Some(&entry) = self.scopes.get(name) {
            return entry;
        }
        let (outer, own) = split(name);
        let parent = self.scope(outer);
        let entry = self.unit.add(parent, gimli::DW_TAG_namespace);
        self.unit.get_mut(entry).set(gimli::DW_AT_name, string(own));
        self.scopes.insert(name.to_owned(), entry);
        entry
    }

    /// A function, and what was inlined into it.
    fn function(&mut self, function: &Function, lines: &[Line]) {
        let Some(outermost) = lines.first().and_then(|line| line.locations.last()) else {
            return;
        };
        let Some(name) = &outermost.function else {
            return;
        };
        let entry = self.subprogram(name);
        self.unit
            .get_mut(entry)
            .set(gimli::DW_AT_external, AttributeValue::Flag(true));
        self.place(entry, function.start, function.end);
        self.inlined_in(entry, lines, function.end, 1);
        self.rows(function, lines);
    }

    /// What was inlined at `depth` into what `parent` stands for: each run of instructions with the same function and call.
    fn inlined_in(&mut self, parent: UnitEntryId, lines: &[Line], end: u32, depth: usize) {
        let mut rest = lines;
        while let Some(first) = rest.first() {
            let same = rest
                .iter()
                .take_while(|line| call(line, depth) == call(first, depth))
                .count();
            let (run, behind) = rest.split_at(same);
            let end = behind.first().map_or(end, |line| line.address);
            if let Some((name, file, line)) = call(first, depth) {
                let (origin, file) = (self.origin(name), self.file(file));
                let entry = self.unit.add(parent, gimli::DW_TAG_inlined_subroutine);
                self.place(entry, first.address, end);
                let inlined = self.unit.get_mut(entry);
                inlined.set(gimli::DW_AT_abstract_origin, AttributeValue::UnitRef(origin));
                inlined.set(gimli::DW_AT_call_file, AttributeValue::FileIndex(Some(file)));
                inlined.set(gimli::DW_AT_call_line, AttributeValue::Udata(line.into()));
                self.inlined_in(entry, run, end, depth + 1);
            }
            rest = behind;
        }
    }

    /// The entry that all places have in common where `name` was inlined.
    fn origin(&mut self, name: &str) -> UnitEntryId {
        if let Some(&entry) = self.inlined.get(name) {
            return entry;
        }
        let entry = self.subprogram(name);
        let function = self.unit.get_mut(entry);
        function.set(gimli::DW_AT_inline, AttributeValue::Inline(gimli::DW_INL_inlined));
        self.inlined.insert(name.to_owned(), entry);
        entry
    }

    /// The rows of the line table.
    fn rows(&mut self, function: &Function, lines: &[Line]) {
        let start = self.base + u64::from(function.start);
        self.unit
            .line_program
            .begin_sequence(Some(Address::Constant(start)));
        let mut last = None;
        for line in lines {
            let here = line.locations.first().and_then(place);
            if here.is_none() || here == last {
                continue;
            }
            last = here;
            let Some((file, number)) = here else { continue };
            let file = self.file(file);
            let row = self.unit.line_program.row();
            row.address_offset = (line.address - function.start).into();
            row.file = file;
            row.line = number.into();
            self.unit.line_program.generate_row();
        }
        let length = function.end - function.start;
        self.unit.line_program.end_sequence(length.into());
    }
}

/// A name's scope and its last part; what stands between angle brackets is no scope.
fn split(name: &str) -> (&str, &str) {
    let mut depth = 0_usize;
    for (at, character) in name.char_indices().rev() {
        match character {
            '>' => depth += 1,
            '<' => depth = depth.saturating_sub(1),
            ':' if depth == 0 && name[..at].ends_with(':') => return (&name[..at - 1], &name[at + 1..]),
            _ => {}
        }
    }
    ("", name)
}

fn place(location: &Location) -> Option<(&str, u32)> {
    Some((
        location.file.as_deref()?,
        location.line.filter(|&line| line != 0)?,
    ))
}

/// What is inlined at `depth` where `line` comes from, counted from the function outside, and where it was called.
fn call(line: &Line, depth: usize) -> Option<(&str, &str, u32)> {
    let index = line.locations.len().checked_sub(depth + 1)?;
    let name = line.locations[index].function.as_deref()?;
    let (file, number) = place(&line.locations[index + 1])?;
    Some((name, file, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_scopes() {
        assert_eq!(split("DriverEntry"), ("", "DriverEntry"));
        assert_eq!(split("rundown::queue::evt_io"), ("rundown::queue", "evt_io"));
        assert_eq!(
            split("enum2$<core::result::Result<u8,core::fmt::Error> >::is_ok"),
            ("enum2$<core::result::Result<u8,core::fmt::Error> >", "is_ok")
        );
        assert_eq!(split("core::iter::map<a::B>"), ("core::iter", "map<a::B>"));
    }
}
