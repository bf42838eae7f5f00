//! NT's own run-down routines for the machine, from what `WinDbg`'s `uf` prints of them.

use crate::watch;
use lab_wire::native::{Name, Native, Segment};
use rundown_uf::protection::{self, Origin, StandIn};
use rundown_uf::{Error, Image, Listing};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The routines that drivers import and whose place NT's code can take. What allocates and frees a cache-aware reference is the
/// lab's: the memory is its pool's.
const IMPORTED: [&str; 17] = [
    "ExInitializeRundownProtection",
    "ExReInitializeRundownProtection",
    "ExRundownCompleted",
    "ExAcquireRundownProtection",
    "ExAcquireRundownProtectionEx",
    "ExReleaseRundownProtection",
    "ExReleaseRundownProtectionEx",
    "ExWaitForRundownProtectionRelease",
    LAYOUT[0],
    LAYOUT[1],
    "ExReInitializeRundownProtectionCacheAware",
    "ExRundownCompletedCacheAware",
    "ExAcquireRundownProtectionCacheAware",
    "ExAcquireRundownProtectionCacheAwareEx",
    "ExReleaseRundownProtectionCacheAware",
    "ExReleaseRundownProtectionCacheAwareEx",
    "ExWaitForRundownProtectionReleaseCacheAware",
];

/// What the one measures the other lays out, so NT's run together or not at all.
const LAYOUT: [&str; 2] = [
    "ExSizeOfRundownProtectionCacheAware",
    "ExInitializeRundownProtectionCacheAware",
];

/// A listing that has passed every check that can be made before the boot.
#[derive(Debug)]
pub struct NativeCode {
    /// Where it was read from.
    pub path: PathBuf,
    image: Image,
    /// The routines that are run, without a module, and their addresses.
    routines: Vec<(String, u64)>,
    cr8_reads: Vec<u64>,
    origins: Vec<(String, String)>,
}

impl NativeCode {
    /// Reads and checks the listing at `path`.
    ///
    /// # Errors
    /// One line that names the file and the line in it, and says what to dump again.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes =
            std::fs::read(path).map_err(|e| format!("cannot read the listing {}: {e}", path.display()))?;
        Self::parse(path, &bytes).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let listing = Listing::read_bytes(bytes)?;
        let image = Image::new(&listing)?;
        protection::entries(&listing, &image)?;
        let idle = idle(&listing, &image);
        let mut routines = Vec::new();
        let mut run = BTreeSet::new();
        for routine in listing.routines().iter().filter(|routine| routine.has_entry) {
            let symbol = protection::symbol(&routine.name);
            if IMPORTED.contains(&symbol) && !idle.contains_key(symbol) {
                run.extend(listing.reached(routine.address));
                routines.push((symbol.to_owned(), routine.address));
            }
        }
        let mut cr8_reads = Vec::new();
        for segment in &image.segments {
            let reads = watch::reads_in(&segment.bytes, segment.address, watch::Read::Cr8);
            cr8_reads.extend(reads.into_iter().filter(|read| run.contains(read)));
        }
        let mut origins = Vec::new();
        for (name, origin) in protection::origins(&listing, &image, &run) {
            let symbol = protection::symbol(&name);
            let text = match (origin, idle.get(symbol)) {
                (Origin::Reference, _) => "reference".to_owned(),
                (Origin::Host, _) => "lab".to_owned(),
                (Origin::Nt { runs: false, .. }, Some(why)) => format!("{origin}: {why}"),
                (Origin::Nt { .. }, _) => origin.to_string(),
            };
            origins.push((symbol.to_owned(), text));
        }
        Ok(Self {
            path: path.to_owned(),
            routines,
            cr8_reads,
            origins,
            image,
        })
    }

    /// How many reads of CR8 the kernel has to watch, to tell how a wait ended.
    #[must_use]
    pub fn cr8_reads(&self) -> usize {
        self.cr8_reads.len()
    }

    /// For the boot container.
    #[must_use]
    pub fn layout(&self) -> Native<'_> {
        // An image spans at most 2 GiB.
        let offset = |address: u64| u32::try_from(address - self.image.base).unwrap_or(u32::MAX);
        let segments = self.image.segments.iter().map(|segment| Segment {
            offset: offset(segment.address),
            bytes: &segment.bytes,
        });
        let routines = self.routines.iter().map(|(symbol, address)| Name {
            symbol,
            offset: offset(*address),
        });
        // The rest is what keeps routines from being run.
        let bound = |name: &&str| StandIn::of(protection::symbol(name)).is_some();
        let missing = self.image.unlisted().filter(bound).map(|name| Name {
            symbol: protection::symbol(name),
            offset: offset(self.image.symbols[name]),
        });
        Native {
            size: offset(self.image.end),
            segments: segments.collect(),
            routines: routines.collect(),
            missing: missing.collect(),
            cr8_reads: self.cr8_reads.iter().map(|read| offset(*read)).collect(),
        }
    }
}

/// The imported routines whose place the listing's code cannot take, without a module, and why not.
fn idle(listing: &Listing, image: &Image) -> BTreeMap<&'static str, String> {
    let mut idle = BTreeMap::new();
    for symbol in IMPORTED {
        let routine = listing.routine(symbol);
        let unbound = routine.and_then(|routine| protection::unbound(listing, image, routine.address));
        if let Some(reference) = unbound {
            idle.insert(symbol, format!("it refers to {}", reference.name));
        }
    }
    let runs = |symbol| listing.routine(symbol).is_some() && !idle.contains_key(symbol);
    if !LAYOUT.into_iter().all(runs) {
        for (symbol, other) in [(LAYOUT[0], LAYOUT[1]), (LAYOUT[1], LAYOUT[0])] {
            idle.entry(symbol).or_insert_with(|| format!("{other} is not"));
        }
    }
    idle
}

/// Whose code each native routine is: `NT code (lines a-b)` or `reference`, and `lab` for what the kernel plays.
#[must_use]
pub fn origins(code: Option<&NativeCode>) -> BTreeMap<String, String> {
    let imported = IMPORTED.map(|name| (name.to_owned(), "reference".to_owned()));
    let mut origins = BTreeMap::from(imported);
    origins.extend(code.iter().flat_map(|code| code.origins.iter().cloned()));
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest listing that has all that is needed; its routines do nothing.
    fn listing() -> String {
        [
            "nt!ExAcquireRundownProtection:\n",
            "fffff802`10001000 b001            mov     al,1\n",
            "fffff802`10001002 c3              ret\n",
            "nt!ExReleaseRundownProtection:\n",
            "fffff802`10001010 c3              ret\n",
            "nt!ExWaitForRundownProtectionRelease:\n",
            "fffff802`10001020 440f20c0        mov     rax,cr8\n",
            "fffff802`10001024 e8d70f0000      call    nt!KeSetEvent (fffff802`10002000)\n",
            "fffff802`10001029 c3              ret\n",
            "nt!ExAcquireRundownProtectionCacheAware:\n",
            "fffff802`10001030 658b0425a4010000 mov     eax,dword ptr gs:[1A4h]\n",
            "fffff802`10001038 ebc6            jmp     nt!ExAcquireRundownProtection (fffff802`10001000)\n",
            "nt!ExReleaseRundownProtectionCacheAware:\n",
            "fffff802`10001040 eb0e            jmp     nt!ExpRelease (fffff802`10001050)\n",
            "nt!ExpRelease:\n",
            "fffff802`10001050 440f20c0        mov     rax,cr8\n",
            "fffff802`10001054 e9a71f0000      jmp     nt!KeOther (fffff802`10003000)\n",
            "nt!ExSizeOfRundownProtectionCacheAware:\n",
            "fffff802`10001060 c3              ret\n",
        ]
        .concat()
    }

    #[test]
    fn a_listing_is_laid_out() {
        let code = NativeCode::parse(Path::new("a.txt"), listing().as_bytes()).unwrap();
        let layout = code.layout();
        let name = |symbol, offset| Name { symbol, offset };
        // Only the read of what is run.
        assert_eq!((layout.size, &layout.cr8_reads[..]), (0x3000, &[0x20][..]));
        assert_eq!(layout.segments.len(), 7);
        assert_eq!(
            layout.segments[0],
            Segment {
                offset: 0,
                bytes: &[0xB0, 0x01, 0xC3]
            }
        );
        assert_eq!(
            layout.routines[2..],
            [
                name("ExWaitForRundownProtectionRelease", 0x20),
                name("ExAcquireRundownProtectionCacheAware", 0x30)
            ]
        );
        assert_eq!(layout.missing, [name("KeSetEvent", 0x1000)]);
    }

    #[test]
    fn the_report_says_whose_code_it_is() {
        let code = NativeCode::parse(Path::new("a.txt"), listing().as_bytes()).unwrap();
        let with = origins(Some(&code));
        assert_eq!(with["ExAcquireRundownProtection"], "NT code (lines 2-3)");
        assert_eq!(with["ExRundownCompleted"], "reference");
        assert_eq!(
            with["ExAcquireRundownProtectionCacheAware"],
            "NT code (lines 11-12)"
        );
        assert_eq!(
            with["ExReleaseRundownProtectionCacheAware"],
            "NT code (lines 14-14), which is not run: it refers to nt!KeOther"
        );
        assert_eq!(with["ExpRelease"], "NT code (lines 16-17), which is not run");
        assert!(!with.contains_key("KeOther"));
        assert_eq!(with["ExWaitForRundownProtectionReleaseCacheAware"], "reference");
        assert_eq!(
            with["ExSizeOfRundownProtectionCacheAware"],
            "NT code (lines 19-19), which is not run: ExInitializeRundownProtectionCacheAware is not"
        );
        let initialize = "nt!ExInitializeRundownProtectionCacheAware:\nfffff802`10001070 c3 ret\n";
        let both = NativeCode::parse(Path::new("a.txt"), (listing() + initialize).as_bytes()).unwrap();
        assert!(
            LAYOUT
                .iter()
                .all(|name| !origins(Some(&both))[*name].contains("not run"))
        );
        assert_eq!(with["KeSetEvent"], "lab");
        assert!(origins(None).values().all(|origin| origin == "reference"));
        assert_eq!(origins(None).len(), IMPORTED.len());
    }

    #[test]
    fn what_cannot_be_used_is_one_line() {
        let refused = |text: String| {
            let error = NativeCode::parse(Path::new("a.txt"), text.as_bytes())
                .unwrap_err()
                .to_string();
            assert_eq!(error.lines().count(), 1);
            error
        };
        assert!(refused("hello".into()).contains("no row"));
        let error = refused(listing().replace("KeSetEvent", "KeOther"));
        assert!(
            error.contains("line 8") && error.contains("`uf nt!KeOther`"),
            "{error}"
        );
        assert!(
            refused(listing().replace("nt!ExRelease", "nt!ExOther"))
                .contains("`uf nt!ExReleaseRundownProtection`")
        );
        let missing = NativeCode::read(Path::new("/nowhere/listing.txt")).unwrap_err();
        assert!(missing.contains("/nowhere/listing.txt"), "{missing}");
    }
}
