//! Whose code a page shows: `--listing ARM=FILE`, `--native-code`.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, ValueEnum};

use crate::{error::Error, names::Arm, text};

/// What a page shows of the arms' machine code, beside ours as the driver tells it.
#[derive(Args, Clone, Debug, Default)]
pub struct Shown {
    /// A disassembly of an arm's fast path to show instead, such as native=uf.txt
    #[arg(long, value_name = "ARM=FILE")]
    pub listing: Vec<Listing>,
    /// Show the system's routines too, which are Microsoft's: such a page is for you alone
    #[arg(long)]
    pub native_code: bool,
}

impl Shown {
    /// The listings to show, the one that the lab runs as the system's routines among them if those are to be seen.
    ///
    /// # Errors
    /// [`Error::File`] when one cannot be read.
    pub(super) fn read(&self, native: Option<&Path>) -> Result<Vec<Code>, Error> {
        let brought = self.listing.iter().any(|listing| listing.arm == Arm::Native);
        let run = native
            .filter(|_| self.native_code && !brought)
            .map(|file| Listing {
                arm: Arm::Native,
                file: file.into(),
            });
        self.listing.iter().chain(&run).map(Listing::read).collect()
    }
}

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
    fn read(&self) -> Result<Code, Error> {
        Ok(Code {
            arm: self.arm,
            text: text::read(&self.file)?,
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
