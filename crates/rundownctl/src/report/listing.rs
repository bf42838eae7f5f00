//! Disassembly that the user brings: `--listing native=FILE`.

use std::{fs, path::PathBuf, str::FromStr};

use clap::ValueEnum;

use crate::{error::Error, names::Arm};

/// The file with an arm's fast path, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Whose.
    pub arm: Arm,
    /// The file.
    pub file: PathBuf,
}

/// A listing that was read.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) arm: Arm,
    pub(super) text: String,
}

impl FromStr for Listing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (arm, file) = text
            .split_once('=')
            .ok_or("a listing is ARM=FILE, such as native=uf.txt")?;
        Ok(Self {
            arm: Arm::from_str(arm, false)?,
            file: file.into(),
        })
    }
}

impl Listing {
    pub(super) fn read(&self) -> Result<Code, Error> {
        // WinDbg's logs are in the system's code page: what is no UTF-8 is shown as such.
        let bytes = fs::read(&self.file).map_err(|source| Error::File {
            path: self.file.clone(),
            source,
        })?;
        Ok(Code {
            arm: self.arm,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_names_its_arm() {
        let listing: Listing = "native=C:\\logs\\uf=1.txt".parse().unwrap();
        assert_eq!(
            (listing.arm, listing.file),
            (Arm::Native, "C:\\logs\\uf=1.txt".into())
        );
        for text in ["uf.txt", "nobody=uf.txt"] {
            assert!(text.parse::<Listing>().is_err(), "{text}");
        }
    }
}
