//! Run-down protection in a listing: which routines have to be there, and what their code may refer to beyond them.

use std::{collections::BTreeSet, fmt};

use crate::{Error, Image, Kind, Listing, Reference, listing::no_symbols};

/// The routines that a listing has to have: acquire, release and wait.
pub const ROUTINES: [&str; 3] = [
    "ExAcquireRundownProtection",
    "ExReleaseRundownProtection",
    "ExWaitForRundownProtectionRelease",
];

/// What stands in for something that code refers to and that is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// A function of the kernel: whoever runs the code plays it.
    Kernel,
    /// Only the lab's kernel has it: the processors' numbers, and what else the three [`ROUTINES`] do without.
    Lab,
    /// A slow path of the routines themselves: a reference.
    SlowPath,
    /// `ExpSpinCycleCount`, four bytes of data.
    SpinCycles,
}

impl StandIn {
    /// What stands in for a symbol, which has no module, or for a field of the processor's.
    #[must_use]
    pub fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "KeWaitForSingleObject" | "KeSetEvent" | "KeYieldProcessorEx" => Self::Kernel,
            "ExfAcquireRundownProtection" | "ExfReleaseRundownProtection" => Self::SlowPath,
            "ExpSpinCycleCount" => Self::SpinCycles,
            // KPCR.Prcb.Number, `dt nt!_KPCR` and `dt nt!_KPRCB` say.
            "dword ptr gs:[1A4h]"
            | "KeGetCurrentProcessorNumberEx"
            | "KeQueryActiveProcessorCountEx"
            | "KeQueryMaximumProcessorCountEx"
            | "KeInitializeEvent" => Self::Lab,
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
        /// Whether it is run.
        runs: bool,
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
                runs,
            } => {
                let not = if *runs { "" } else { ", which is not run" };
                write!(f, "NT code (lines {first_line}-{last_line}){not}")
            }
            Self::Reference => f.write_str("reference (not listed)"),
            Self::Host => f.write_str("host"),
        }
    }
}

/// Checks that a file is a listing whose [`ROUTINES`] can be run.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn check(bytes: &[u8]) -> Result<(), Error> {
    let listing = Listing::read_bytes(bytes)?;
    let image = Image::new(&listing)?;
    entries(&listing, &image).map(drop)
}

/// The addresses of [`ROUTINES`], in their order.
///
/// # Errors
/// When one is not listed, or when its code refers to something that is neither listed nor has a [`StandIn`] everywhere.
pub fn entries(listing: &Listing, image: &Image) -> Result<[u64; 3], Error> {
    let mut entries = [0; 3];
    for (entry, name) in entries.iter_mut().zip(ROUTINES) {
        let routine = listing.routine(name).ok_or_else(|| not_listed(listing, name))?;
        *entry = routine.address;
        let everywhere = |stand_in| stand_in != StandIn::Lab;
        if let Some(Reference { line, name, kind, .. }) = beyond(listing, image, *entry, everywhere) {
            if let Some(line) = listing.without_symbols {
                return Err(no_symbols(line));
            }
            return Err(Error::at(
                *line,
                format!(
                    "the code refers to {name}, which is not listed and which nothing here stands in for"
                ),
                match kind {
                    Kind::Call | Kind::Jump => format!("dump it too: `uf {name}`"),
                    // A distance from a name that is far away is what a debugger without symbols prints.
                    Kind::Data(_) if name.contains("+0x") => {
                        "give `.symfix`, `.reload /f nt`, and the same `uf` commands again".to_owned()
                    }
                    Kind::Data(_) | Kind::Processor | Kind::Absolute => {
                        "please report it, and the number of the build".to_owned()
                    }
                },
            ));
        }
    }
    Ok(entries)
}

/// What keeps the code at `entry` from being run in the lab: the first thing that it refers to, or that other listed
/// code does to which it comes, and that is neither listed nor has a [`StandIn`].
#[must_use]
pub fn unbound<'a>(listing: &Listing, image: &'a Image, entry: u64) -> Option<&'a Reference> {
    beyond(listing, image, entry, |_| true)
}

fn not_listed(listing: &Listing, name: &str) -> Error {
    match (listing.without_symbols, listing.printed_for(name)) {
        (Some(line), _) => no_symbols(line),
        (None, Some(printed)) => Error::whole(
            format!("where {name} was asked for, the debugger printed {printed}"),
            format!("if both are one routine, add what `x nt!{name}` prints, which says so"),
        ),
        (None, None) => Error::whole(
            format!("{name} is not listed"),
            format!("dump it too: `uf nt!{name}`"),
        ),
    }
}

fn beyond<'a>(
    listing: &Listing,
    image: &'a Image,
    entry: u64,
    has: impl Fn(StandIn) -> bool,
) -> Option<&'a Reference> {
    let reached = listing.reached(entry);
    let mut references = image.references.iter();
    references.find(|reference| {
        reached.contains(&reference.at) && !StandIn::of(symbol(&reference.name)).is_some_and(&has)
    })
}

/// Whose code each routine is, with its module: those that are listed, and whether they are among the instructions that
/// are run; then what stands in.
#[must_use]
pub fn origins(listing: &Listing, image: &Image, run: &BTreeSet<u64>) -> Vec<(String, Origin)> {
    let listed = listing
        .routines()
        .iter()
        .filter(|routine| routine.has_entry)
        .map(|routine| {
            let lines = Origin::Nt {
                first_line: routine.first_line,
                last_line: routine.last_line,
                runs: run.contains(&routine.address),
            };
            (routine.name.clone(), lines)
        });
    let others = image.unlisted().filter_map(|name| {
        let origin = match StandIn::of(symbol(name))? {
            StandIn::SlowPath => Origin::Reference,
            StandIn::Kernel | StandIn::Lab | StandIn::SpinCycles => Origin::Host,
        };
        Some((name.to_owned(), origin))
    });
    listed.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three routines, and cache-aware ones: acquire asks for the processor's number, release for another field of
    /// the processor's, the wait goes on in a listed routine that calls an unlisted one.
    const LISTING: &str = "\
nt!ExAcquireRundownProtection:
fffff802`10001000 b001            mov     al,1
fffff802`10001002 c3              ret
nt!ExReleaseRundownProtection:
fffff802`10001010 c3              ret
nt!ExWaitForRundownProtectionRelease:
fffff802`10001020 e8db0f0000      call    nt!KeSetEvent (fffff802`10002000)
fffff802`10001025 c3              ret
nt!ExAcquireRundownProtectionCacheAware:
fffff802`10001030 658b0425a4010000 mov     eax,dword ptr gs:[1A4h]
fffff802`10001038 ebc6            jmp     nt!ExAcquireRundownProtection (fffff802`10001000)  Branch
nt!ExReleaseRundownProtectionCacheAware:
fffff802`10001040 65488b042588010000 mov   rax,qword ptr gs:[188h]
fffff802`10001049 ebc5            jmp     nt!ExReleaseRundownProtection (fffff802`10001010)  Branch
nt!ExWaitForRundownProtectionReleaseCacheAware:
fffff802`10001050 eb0e            jmp     nt!ExpWait (fffff802`10001060)  Branch
nt!ExpWait:
fffff802`10001060 e89b1f0000      call    nt!KeSomehow (fffff802`10003000)
fffff802`10001065 c3              ret
";

    fn unbound_of(listing: &str, name: &str) -> Option<(usize, String)> {
        let listing = Listing::read(listing).unwrap();
        let image = Image::new(&listing).unwrap();
        let reference = unbound(&listing, &image, listing.routine(name).unwrap().address)?;
        Some((reference.line, reference.name.clone()))
    }

    fn entries_of(listing: &str) -> Result<[u64; 3], Error> {
        let listing = Listing::read(listing).unwrap();
        entries(&listing, &Image::new(&listing).unwrap())
    }

    #[test]
    fn a_routine_is_bound_with_everything_that_it_comes_to() {
        for routine in ROUTINES {
            assert_eq!(unbound_of(LISTING, routine), None, "{routine}");
        }
        assert_eq!(unbound_of(LISTING, "ExAcquireRundownProtectionCacheAware"), None);
        assert_eq!(
            unbound_of(LISTING, "ExReleaseRundownProtectionCacheAware"),
            Some((13, "qword ptr gs:[188h]".into()))
        );
        assert_eq!(
            unbound_of(LISTING, "ExWaitForRundownProtectionReleaseCacheAware"),
            Some((18, "nt!KeSomehow".into()))
        );
    }

    #[test]
    fn only_the_processors_number_is_there_at_its_width() {
        for (row, expected) in [
            ("658b0425a4010000 mov eax,dword ptr gs:[1A4h]", None),
            (
                "658b0425a8010000 mov eax,dword ptr gs:[1A8h]",
                Some("dword ptr gs:[1A8h]"),
            ),
            (
                "648b0425a4010000 mov eax,dword ptr fs:[1A4h]",
                Some("dword ptr fs:[1A4h]"),
            ),
            (
                "65488b0425a4010000 mov rax,qword ptr gs:[1A4h]",
                Some("qword ptr gs:[1A4h]"),
            ),
            (
                "658a0425a4000000 mov al,byte ptr gs:[0A4h]",
                Some("byte ptr gs:[0A4h]"),
            ),
            (
                "658b80a4010000 mov eax,dword ptr gs:[rax+1A4h]",
                Some("dword ptr gs:[...]"),
            ),
            // A prefix that means nothing.
            ("6590 nop", None),
        ] {
            let end = 0x1000_1000 + row.split_once(' ').unwrap().0.len() / 2;
            let listing = format!("nt!X:\nfffff802`10001000 {row}\nfffff802`{end:08x} c3 ret\n");
            assert_eq!(
                unbound_of(&listing, "X").map(|(_, name)| name).as_deref(),
                expected,
                "{row}"
            );
        }
    }

    #[test]
    fn the_three_are_refused_for_what_only_the_lab_has_and_for_nobody_elses_sake() {
        assert_eq!(
            entries_of(LISTING),
            Ok([
                0xffff_f802_1000_1000,
                0xffff_f802_1000_1010,
                0xffff_f802_1000_1020
            ])
        );
        let refused = |from: &str, to: &str| entries_of(&LISTING.replace(from, to)).unwrap_err().to_string();
        let error = refused("KeSetEvent", "KeInitializeEvent");
        assert!(
            error.starts_with("line 7: the code refers to nt!KeInitializeEvent"),
            "{error}"
        );
        assert!(
            error.ends_with("dump it too: `uf nt!KeInitializeEvent`"),
            "{error}"
        );
        let error = refused(
            "e8db0f0000      call    nt!KeSetEvent (fffff802`10002000)\nfffff802`10001025",
            "658b0425a4010000 mov     eax,dword ptr gs:[1A4h]\nfffff802`10001028",
        );
        assert!(
            error.contains("refers to dword ptr gs:[1A4h]") && error.contains("report it"),
            "{error}"
        );
    }

    #[test]
    fn origins_say_what_is_run() {
        let listing = Listing::read(LISTING).unwrap();
        let image = Image::new(&listing).unwrap();
        let run = listing.reached(
            listing
                .routine("ExWaitForRundownProtectionReleaseCacheAware")
                .unwrap()
                .address,
        );
        let origins: Vec<String> = origins(&listing, &image, &run)
            .iter()
            .map(|(name, origin)| format!("{name} {origin}"))
            .collect();
        assert_eq!(
            origins,
            [
                "nt!ExAcquireRundownProtection NT code (lines 2-3), which is not run",
                "nt!ExReleaseRundownProtection NT code (lines 5-5), which is not run",
                "nt!ExWaitForRundownProtectionRelease NT code (lines 7-8), which is not run",
                "nt!ExAcquireRundownProtectionCacheAware NT code (lines 10-11), which is not run",
                "nt!ExReleaseRundownProtectionCacheAware NT code (lines 13-14), which is not run",
                "nt!ExWaitForRundownProtectionReleaseCacheAware NT code (lines 16-16)",
                "nt!ExpWait NT code (lines 18-19)",
                // Nothing stands in for nt!KeSomehow.
                "nt!KeSetEvent host",
            ]
        );
    }
}
