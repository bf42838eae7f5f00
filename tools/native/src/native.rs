//! NT's routines, mapped and callable.

use std::{
    collections::BTreeSet,
    fmt,
    hint::black_box,
    mem::MaybeUninit,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use ex_rundown::{DISPATCH_LEVEL, WayOut};
use rundown_uf::{
    Image, Listing,
    protection::{self, Origin, StandIn},
};

use crate::{
    Arm, Word, exports,
    faults::Faults,
    machine,
    map::{Map, PAGE},
};

type Acquire = unsafe extern "win64" fn(*mut usize) -> u8;
type Release = unsafe extern "win64" fn(*mut usize);
type Wait = unsafe extern "win64" fn(*mut usize);

/// Why a listing cannot be run, in one line.
#[derive(Debug)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

impl From<rundown_uf::Error> for LoadError {
    fn from(error: rundown_uf::Error) -> Self {
        Self(error.to_string())
    }
}

/// NT's code in this process, an [`Arm`].
#[derive(Debug)]
pub struct Native {
    acquire: Acquire,
    release: Release,
    wait: Wait,
    faults: Faults,
    /// The offset of `ExpSpinCycleCount`, when the code has it.
    spin_cycles: Option<usize>,
    origins: Vec<(String, Origin)>,
    // Last: all of the above points into it.
    map: Map,
}

impl Native {
    /// Reads, checks and maps a listing.
    ///
    /// # Errors
    /// One line for the person who made the listing.
    pub fn load(listing: &[u8]) -> Result<Self, LoadError> {
        let listing = Listing::read_bytes(listing)?;
        let mut image = Image::new(&listing)?;
        let entries = protection::entries(&listing, &image)?;
        let run = entries.iter().flat_map(|entry| listing.reached(*entry)).collect();
        // A page of room: a stand-in may be longer than the last page.
        image.end += PAGE as u64;
        let map = Plan::new(&image)?.build(&image)?;
        let offset = |address: u64| offset(&image, address);

        let mut faults = Faults::default();
        for segment in &image.segments {
            faults.add(&segment.bytes, map.at(offset(segment.address)).addr().get());
        }
        let entry = |index: usize| map.at(offset(entries[index])).as_ptr();
        // SAFETY: listed, checked and mapped code of this routine, whose prototype is documented.
        let acquire = unsafe { std::mem::transmute::<*mut u8, Acquire>(entry(0)) };
        // SAFETY: as above.
        let release = unsafe { std::mem::transmute::<*mut u8, Release>(entry(1)) };
        // SAFETY: as above.
        let wait = unsafe { std::mem::transmute::<*mut u8, Wait>(entry(2)) };
        let spin_cycles = image
            .unlisted()
            .find(|name| StandIn::of(protection::symbol(name)) == Some(StandIn::SpinCycles));
        Ok(Self {
            acquire,
            release,
            wait,
            faults,
            spin_cycles: spin_cycles.map(|name| offset(image.symbols[name])),
            origins: protection::origins(&listing, &image, &run),
            map,
        })
    }

    /// Sets `ExpSpinCycleCount` for this image. A build whose code does not have it ignores it.
    pub fn set_spin_cycles(&self, cycles: u32) {
        if let Some(offset) = self.spin_cycles {
            let variable = self.map.at(offset).as_ptr().cast();
            // SAFETY: four bytes in a data page of the map, aligned as NT has them, that only atomics access.
            unsafe { AtomicU32::from_ptr(variable) }.store(cycles, Relaxed);
        }
    }

    /// `ExpSpinCycleCount` of this image.
    #[must_use]
    pub fn spin_cycles(&self) -> u32 {
        let Some(offset) = self.spin_cycles else { return 0 };
        let variable = self.map.at(offset).as_ptr().cast();
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(variable) }.load(Relaxed)
    }

    /// Whose code each routine is, for the report.
    #[must_use]
    pub fn origins(&self) -> &[(String, Origin)] {
        &self.origins
    }

    /// The routines as the code is called by a C driver, for measurements.
    pub(crate) fn pair(&self) -> (Acquire, Release) {
        (self.acquire, self.release)
    }
}

impl Arm for Native {
    fn name(&self) -> &'static str {
        "NT"
    }

    fn acquire(&self, word: &Word) -> bool {
        // SAFETY: the word is an `EX_RUNDOWN_REF`.
        (unsafe { (self.acquire)(word.as_ptr()) }) != 0
    }

    unsafe fn release(&self, word: &Word) {
        // SAFETY: the caller's promise.
        unsafe { (self.release)(word.as_ptr()) };
    }

    /// NT does not say how a wait ended; what it asked the machine does. Only a hand-over between the end of a spin and
    /// the sleep cannot be told from one during the spin, and counts as that: callers who count by way out make the
    /// spin long, or know at which seam the hand-over came.
    fn wait(&self, word: &Word) -> WayOut {
        machine::take_asked();
        // SAFETY: the word is an `EX_RUNDOWN_REF`, and its faults are answered.
        let wait = || unsafe { (self.wait)(word.as_ptr()) };
        self.faults.with(|| far_down_the_stack(wait));
        let asked = machine::take_asked();
        match (asked.irql, asked.spin) {
            (None, _) => WayOut::Drained,
            (Some(irql), _) if irql >= DISPATCH_LEVEL => WayOut::Dispatch,
            _ if asked.slept => WayOut::Event,
            (_, None) => WayOut::Late,
            (_, Some(true)) => WayOut::Monitorx,
            (_, Some(false)) => WayOut::Pause,
        }
    }
}

/// A late, wrong release writes to the frame of a wait that has returned. This far down the stack nobody else has a frame, so it
/// corrupts only a later wait, which shows it, and does not crash.
#[inline(never)]
fn far_down_the_stack(body: impl FnOnce()) {
    let room = MaybeUninit::<[u8; 0x8000]>::uninit();
    black_box(&room);
    body();
}

/// What goes where.
struct Plan {
    code: BTreeSet<usize>,
    data: BTreeSet<usize>,
    /// Jumps to this process, at the addresses of what they stand in for.
    stubs: Vec<(usize, [u8; STUB])>,
}

/// `jmp qword ptr [rip]`, and the address.
const STUB: usize = 14;

impl Plan {
    fn new(image: &Image) -> Result<Self, LoadError> {
        let mut plan = Self {
            code: BTreeSet::new(),
            data: BTreeSet::new(),
            stubs: Vec::new(),
        };
        for segment in &image.segments {
            add_pages(
                &mut plan.code,
                offset(image, segment.address),
                segment.bytes.len(),
            );
        }
        for name in image.unlisted() {
            let address = image.symbols[name];
            let symbol = protection::symbol(name);
            match (exports::address(symbol), StandIn::of(symbol)) {
                (Some(function), _) => {
                    let overlaps = |segment: &rundown_uf::Segment| {
                        segment.address < address + STUB as u64 && address < segment.end()
                    };
                    if image.segments.iter().any(overlaps) {
                        return Err(LoadError(format!("{name} lies inside of listed code")));
                    }
                    let mut stub = [0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    stub[6..].copy_from_slice(&function.to_le_bytes());
                    add_pages(&mut plan.code, offset(image, address), STUB);
                    plan.stubs.push((offset(image, address), stub));
                }
                (None, Some(StandIn::SpinCycles)) => {
                    add_pages(&mut plan.data, offset(image, address), size_of::<u32>());
                }
                // `protection::entries` knows that nothing refers to it that is run here.
                (None, _) => (),
            }
        }
        if let Some(page) = plan.code.intersection(&plan.data).next() {
            return Err(LoadError(format!(
                "code and data share the page at {:#x}; these are not addresses of one kernel",
                image.base + *page as u64
            )));
        }
        Ok(plan)
    }

    fn build(self, image: &Image) -> Result<Map, LoadError> {
        let system = |error| LoadError(format!("this system refuses memory for the code: {error}"));
        let mut map = Map::reserve(offset(image, image.end)).map_err(system)?;
        map.make_writable(&self.code).map_err(system)?;
        map.make_writable(&self.data).map_err(system)?;
        for page in &self.code {
            // What is not listed is a breakpoint.
            map.write(*page, &[0xcc; PAGE]);
        }
        for segment in &image.segments {
            map.write(offset(image, segment.address), &segment.bytes);
        }
        for (at, stub) in &self.stubs {
            map.write(*at, stub);
        }
        map.make_executable(&self.code).map_err(system)?;
        Ok(map)
    }
}

/// An address's place in the map.
fn offset(image: &Image, address: u64) -> usize {
    // An image spans at most 2 GiB.
    usize::try_from(address - image.base).unwrap_or(usize::MAX)
}

fn add_pages(pages: &mut BTreeSet<usize>, offset: usize, size: usize) {
    pages.extend((offset / PAGE..=(offset + size - 1) / PAGE).map(|page| page * PAGE));
}
