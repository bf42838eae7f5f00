//! A whole listing.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use crate::{
    Error, Place, Row,
    decode::{Checker, Decoded},
    flow,
    line::{self, Line},
    place::Address,
};

/// A listing that has passed every check.
#[derive(Debug)]
pub struct Listing {
    pub(crate) rows: BTreeMap<u64, Decoded>,
    routines: Vec<Routine>,
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
        for (index, text) in text.lines().enumerate() {
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
}

impl Reader {
    fn line(&mut self, number: usize, text: &str) -> Result<(), Error> {
        match line::parse(number, text)? {
            Line::Prose => Ok(()),
            Line::Header(place) => {
                self.no_pending()?;
                self.current = Some(place.symbol.clone());
                self.pending = Some((number, place));
                Ok(())
            }
            Line::Row(row) => self.row(row),
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
        let mut routines: Vec<Routine> = self.routines.into_values().collect();
        routines.sort_by_key(|routine| routine.address);
        flow::check(&self.rows, &routines)?;
        Ok(Listing {
            rows: self.rows,
            routines,
        })
    }
}
