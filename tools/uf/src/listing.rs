//! A whole listing.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use crate::{
    Error, Place, Row,
    decode::{Checker, Decoded},
    envelope::opened,
    flow,
    line::{self, Line},
    place::Address,
};

/// A listing that has passed every check.
#[derive(Debug)]
pub struct Listing {
    pub(crate) rows: BTreeMap<u64, Decoded>,
    routines: Vec<Routine>,
    /// The line that says that symbols are missing, if one does.
    pub(crate) without_symbols: Option<usize>,
    printed_for: BTreeMap<String, String>,
}

/// A routine of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routine {
    /// Its symbol: `nt!ExSomething`.
    pub name: String,
    /// Where it begins.
    pub address: u64,
    /// Its first line in the listing.
    pub first_line: usize,
    /// Its last line in the listing. Lines of other routines may lie between when it was dumped in parts.
    pub last_line: usize,
    /// How many instructions are listed under its name.
    pub instructions: usize,
    /// Whether its first instruction is listed. A fragment that the linker moved away may stand under the name of a
    /// routine that is not.
    pub has_entry: bool,
}

impl Listing {
    /// Reads the text of a listing.
    ///
    /// # Errors
    /// The first [`Error`] found: a damaged row, a row whose bytes and text disagree, a branch into nowhere, a hole.
    pub fn read(text: &str) -> Result<Self, Error> {
        let mut reader = Reader::default();
        for (index, text) in opened(text).lines().enumerate() {
            reader.line(index + 1, text)?;
        }
        reader.finish()
    }

    /// Reads a file's contents: UTF-8, or what its byte order mark says, such as UTF-16 of `.logopen /u`. Prose may be in any
    /// encoding; rows are ASCII.
    ///
    /// # Errors
    /// As [`Listing::read`].
    pub fn read_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(&encoding_rs::UTF_8.decode(bytes).0)
    }

    /// The routines, by address.
    #[must_use]
    pub fn routines(&self) -> &[Routine] {
        &self.routines
    }

    /// The routine of this name, with or without its module, if its beginning is listed.
    #[must_use]
    pub fn routine(&self, name: &str) -> Option<&Routine> {
        self.routines.iter().find(|routine| {
            routine.has_entry
                && (routine.name == name
                    || routine
                        .name
                        .split_once('!')
                        .is_some_and(|(_, symbol)| symbol == name))
        })
    }

    /// What the debugger printed when it was asked for the symbol `name`, if that was something else.
    pub(crate) fn printed_for(&self, name: &str) -> Option<&str> {
        self.printed_for.get(name).map(String::as_str)
    }

    /// The addresses of the listed instructions that the code at `entry` comes to or refers to. Where an indirect branch
    /// goes is not known.
    #[must_use]
    pub fn reached(&self, entry: u64) -> BTreeSet<u64> {
        flow::reached(&self.rows, entry)
    }

    /// The rows, by address.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(|decoded| &decoded.row)
    }
}

#[derive(Default)]
struct Reader {
    checker: Option<Checker>,
    /// The header that waits for its first row.
    pending: Option<(usize, Place)>,
    /// The routine that rows belong to.
    current: Option<String>,
    rows: BTreeMap<u64, Decoded>,
    /// Each symbol's address, and the line that says so.
    symbols: BTreeMap<String, (u64, usize)>,
    routines: BTreeMap<String, Routine>,
    /// What was asked for last, and the routines that have begun since.
    asked: Option<(String, Vec<String>)>,
    /// By what was asked for, without its module, the routine that was printed instead.
    printed_for: BTreeMap<String, String>,
    /// Names that the debugger said are at these addresses.
    proven: Vec<(u64, String)>,
    without_symbols: Option<usize>,
}

impl Reader {
    fn line(&mut self, number: usize, text: &str) -> Result<(), Error> {
        match line::parse(number, text)? {
            Line::Prose => {
                // Whatever the debugger said instead, what follows is no answer to the command.
                if !text.trim().is_empty() {
                    self.asked.take_if(|(_, begun)| begun.is_empty());
                }
                Ok(())
            }
            Line::Command(name) => {
                self.answered();
                self.asked = Some((name, Vec::new()));
                Ok(())
            }
            Line::Symbol(address, place) => {
                self.symbol(&place, address, number)?;
                if place.offset == 0 {
                    self.proven.push((address, place.symbol));
                }
                Ok(())
            }
            Line::NoSymbols => {
                self.without_symbols.get_or_insert(number);
                Ok(())
            }
            Line::Header(place) => {
                self.no_pending()?;
                if let Some((_, begun)) = self.asked.as_mut().filter(|_| place.offset == 0) {
                    begun.push(place.symbol.clone());
                }
                self.current = Some(place.symbol.clone());
                self.pending = Some((number, place));
                Ok(())
            }
            Line::Row(row) => self.row(row),
        }
    }

    /// The answer to the last command is whole. If one routine began, under another name, that may be a second name of its address.
    fn answered(&mut self) {
        let Some((name, begun)) = self.asked.take() else {
            return;
        };
        if let [only] = &begun[..]
            && !same_symbol(only, &name)
        {
            self.printed_for.insert(symbol_of(&name).to_owned(), only.clone());
        }
    }

    fn no_pending(&mut self) -> Result<(), Error> {
        match self.pending.take() {
            Some((line, place)) => Err(Error::at(
                line,
                format!("no instruction follows {place}"),
                format!("dump it again: `uf {}`", place.symbol),
            )),
            None => Ok(()),
        }
    }

    fn row(&mut self, row: Row) -> Result<(), Error> {
        if let (None, Some(line)) = (&self.current, self.without_symbols) {
            return Err(no_symbols(line));
        }
        let Some(name) = self.current.clone() else {
            return Err(Error::at(
                row.line,
                "this row stands under no name like `nt!ExSomething:`",
                "copy the output of `uf` from its first line on",
            ));
        };
        if let Some((line, place)) = self.pending.take() {
            self.symbol(&place, row.address, line)?;
        }
        let decoded = self.checker.get_or_insert_with(Checker::new).decode(row)?;
        if let Some((place, address)) = &decoded.named {
            self.symbol(place, *address, decoded.row.line)?;
        }
        self.insert(&name, decoded)
    }

    /// Notes where a symbol is, or that the listing contradicts itself.
    fn symbol(&mut self, place: &Place, address: u64, line: usize) -> Result<(), Error> {
        let address = address.wrapping_sub(place.offset);
        match self.symbols.entry(place.symbol.clone()) {
            Entry::Vacant(entry) => {
                entry.insert((address, line));
                Ok(())
            }
            Entry::Occupied(entry) if entry.get().0 == address => Ok(()),
            Entry::Occupied(entry) => Err(Error::at(
                line,
                format!(
                    "{} is at {} here and at {} in line {}",
                    place.symbol,
                    Address(address),
                    Address(entry.get().0),
                    entry.get().1
                ),
                format!(
                    "a row is missing, or these are two builds: dump all again from one boot of one build: `uf {}`",
                    place.symbol
                ),
            )),
        }
    }

    fn insert(&mut self, name: &str, decoded: Decoded) -> Result<(), Error> {
        let Row { line, address, .. } = decoded.row;
        let routine = self.routines.entry(name.to_owned()).or_insert_with(|| Routine {
            name: name.to_owned(),
            address: 0,
            first_line: line,
            last_line: line,
            instructions: 0,
            has_entry: false,
        });
        routine.last_line = line;
        match self.rows.entry(address) {
            Entry::Vacant(entry) => {
                entry.insert(decoded);
                routine.instructions += 1;
                Ok(())
            }
            // Dumped twice.
            Entry::Occupied(entry) if entry.get().row.bytes == decoded.row.bytes => Ok(()),
            Entry::Occupied(entry) => Err(Error::at(
                line,
                format!(
                    "{} has other bytes in line {}",
                    Address(address),
                    entry.get().row.line
                ),
                "dump all routines again, from one boot of one build",
            )),
        }
    }

    fn finish(mut self) -> Result<Listing, Error> {
        self.no_pending()?;
        self.answered();
        if self.rows.is_empty() {
            return Err(Error::whole(
                "there is no row of WinDbg's `uf` in this file",
                "in a kernel debugger on an x64 target give `uf nt!ExAcquireRundownProtection` and save what it prints",
            ));
        }
        for routine in self.routines.values_mut() {
            // The header's first row has noted it.
            if let Some((address, _)) = self.symbols.get(&routine.name) {
                routine.address = *address;
                routine.has_entry = self.rows.contains_key(address);
            }
        }
        for (address, name) in std::mem::take(&mut self.proven) {
            let listed = self
                .routines
                .values()
                .any(|routine| same_symbol(&routine.name, &name));
            let routine = self
                .routines
                .values_mut()
                .find(|routine| routine.has_entry && routine.address == address);
            if let Some(routine) = routine.filter(|_| !listed) {
                routine.name = name;
            }
        }
        let mut routines: Vec<Routine> = self.routines.into_values().collect();
        routines.sort_by_key(|routine| routine.address);
        flow::check(&self.rows, &routines)?;
        Ok(Listing {
            rows: self.rows,
            routines,
            without_symbols: self.without_symbols,
            printed_for: self.printed_for,
        })
    }
}

/// Whether two names are one symbol, whatever the module is called: `nt`, `ntkrnlmp`, `ntoskrnl`.
fn same_symbol(a: &str, b: &str) -> bool {
    symbol_of(a) == symbol_of(b)
}

fn symbol_of(name: &str) -> &str {
    name.split_once('!').map_or(name, |(_, symbol)| symbol)
}

/// Without symbols nothing in a listing can be trusted to be what its name says.
pub(crate) fn no_symbols(line: usize) -> Error {
    Error::at(
        line,
        "the debugger has no symbols for the kernel, only what it exports",
        "give `.symfix`, `.reload /f nt`, and the same `uf` commands again",
    )
}
