//! Run-down protection in a listing: which routines have to be there, and what their code may refer to beyond them.

use std::fmt;

use crate::{Error, Image, Listing};

/// The routines that a listing has to have: acquire, release and wait.
pub const ROUTINES: [&str; 3] = [
    "ExAcquireRundownProtection",
    "ExReleaseRundownProtection",
    "ExWaitForRundownProtectionRelease",
];

/// What stands in for something that the code refers to and that is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// A function of the kernel: whoever runs the code plays it.
    Kernel,
    /// A slow path of the routines themselves: a reference.
    SlowPath,
    /// `ExpSpinCycleCount`, four bytes of data.
    SpinCycles,
}

impl StandIn {
    /// What stands in for a symbol, which has no module.
    #[must_use]
    pub fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "KeWaitForSingleObject" | "KeSetEvent" | "KeYieldProcessorEx" => Self::Kernel,
            "ExfAcquireRundownProtection" | "ExfReleaseRundownProtection" => Self::SlowPath,
            "ExpSpinCycleCount" => Self::SpinCycles,
            _ => return None,
        })
    }
}

/// A name without its module.
#[must_use]
pub fn symbol(name: &str) -> &str {
    name.split_once('!').map_or(name, |(_, symbol)| symbol)
}

/// Whose code a routine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// NT's, from these lines of the listing.
    Nt {
        /// The first.
        first_line: usize,
        /// The last.
        last_line: usize,
    },
    /// A reference, written from the contract: it is not listed.
    Reference,
    /// Whoever runs the code plays the kernel.
    Host,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nt {
                first_line,
                last_line,
            } => write!(f, "NT code (lines {first_line}-{last_line})"),
            Self::Reference => f.write_str("reference (not listed)"),
            Self::Host => f.write_str("host"),
        }
    }
}

/// The addresses of [`ROUTINES`], in their order.
///
/// # Errors
/// When one is not listed, or when the code refers to something that is neither listed nor has a [`StandIn`].
pub fn entries(listing: &Listing, image: &Image) -> Result<[u64; 3], Error> {
    let mut entries = [0; 3];
    for (entry, name) in entries.iter_mut().zip(ROUTINES) {
        let routine = listing.routine(name).ok_or_else(|| {
            Error::whole(
                format!("{name} is not listed"),
                format!("dump it too: `uf nt!{name}`"),
            )
        })?;
        *entry = routine.address;
    }
    for reference in &image.references {
        if StandIn::of(symbol(&reference.name)).is_none() {
            return Err(Error::at(
                reference.line,
                format!(
                    "the code refers to {}, which is not listed and which nothing here stands in for",
                    reference.name
                ),
                format!("dump it too: `uf {}`", reference.name),
            ));
        }
    }
    Ok(entries)
}

/// Whose code each routine is, with its module: those that are listed, then what stands in.
#[must_use]
pub fn origins(listing: &Listing, image: &Image) -> Vec<(String, Origin)> {
    let listed = listing
        .routines()
        .iter()
        .filter(|routine| routine.has_entry)
        .map(|routine| {
            let lines = Origin::Nt {
                first_line: routine.first_line,
                last_line: routine.last_line,
            };
            (routine.name.clone(), lines)
        });
    let others = image.unlisted().map(|name| {
        let origin = match StandIn::of(symbol(name)) {
            Some(StandIn::SlowPath) => Origin::Reference,
            _ => Origin::Host,
        };
        (name.to_owned(), origin)
    });
    listed.chain(others).collect()
}
