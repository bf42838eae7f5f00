//! One page that says how a run went: charts, figures, code, machine, and the command that repeats it.
//!
//! It is a single file that fetches nothing, follows the reader's light or dark scheme, and fits a phone.

use std::{fs, path::Path};

use crate::{error::Error, record::Record, session::Session};

mod chart;
mod disassembly;
mod listing;
mod page;
mod plot;

pub use listing::{Listing, Shown};

/// Makes sure that the page can be written, before time is spent on what it is to tell.
///
/// # Errors
/// [`Error::File`] when it cannot.
pub fn try_out(path: &Path) -> Result<(), Error> {
    // What is there already stays until there is something to say.
    let opened = fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|source| Error::File {
        path: path.into(),
        source,
    })
}

/// Writes the page about `records`.
///
/// # Errors
/// [`Error::File`] when the page cannot be written, or a listing not read.
pub fn write(path: &Path, records: &[&Record], shown: &Shown, session: &Session<'_>) -> Result<(), Error> {
    let listings = shown.read(session.native_listing())?;
    let page = page::page(records, &listings).into_string();
    fs::write(path, page).map_err(|source| Error::File {
        path: path.into(),
        source,
    })?;
    crate::print::tell(format_args!("the report is in {}", path.display()));
    Ok(())
}
