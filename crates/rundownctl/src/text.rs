//! Text files that the user hands over, in the encodings that Windows' programs write.

use std::{fs, path::Path};

use encoding_rs::UTF_8;

use crate::error::Error;

/// Reads a file as UTF-8, or as UTF-8 or UTF-16 behind a byte order mark: Windows PowerShell's `>` and
/// `WinDbg`'s `.logopen /u` write UTF-16. What is no such text becomes U+FFFD.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::File {
        path: path.into(),
        source,
    })?;
    let (text, ..) = UTF_8.decode(&bytes);
    Ok(text.into_owned())
}
