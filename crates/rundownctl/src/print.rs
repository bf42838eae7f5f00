//! Standard output for a program that people pipe into `head`.

use std::io::{ErrorKind, Write, stdout};

use crate::error::Error;

/// Prints `text` as it is. A reader that has gone away wants no more of it, which is no error.
///
/// # Errors
/// [`Error::File`] when standard output cannot be written to.
pub fn raw(text: impl AsRef<[u8]>) -> Result<(), Error> {
    let mut out = stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(Error::File {
            path: "standard output".into(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Prints `text` and ends its line.
///
/// # Errors
/// As [`raw`].
pub fn line(text: impl AsRef<str>) -> Result<(), Error> {
    raw(format!("{}\n", text.as_ref()))
}
