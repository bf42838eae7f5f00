//! The driver's pageable sections: in memory only while nobody needs them not to be.
//!
//! A section whose name begins with PAGE may be paged out (Microsoft Learn, "Making Drivers Pageable"), so at
//! `DISPATCH_LEVEL` and above, where no page can be read in, it must not be touched. What Driver Verifier does about it is
//! done here too ("Force IRQL Checking"): when the IRQL comes to `DISPATCH_LEVEL`, the sections go; the next fault
//! below it brings them back; one at or above it is the bug check that Windows has for it.

use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::lock::IrqLock;
use crate::mm::{PAGE, paging, paging::Protection};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A pageable section.
pub(super) struct Range {
    /// Where it lies.
    pub(super) start: u64,
    /// How long it is.
    pub(super) pages: u64,
    /// What it allows while it is there.
    pub(super) protection: Protection,
}

impl Range {
    fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.start) < self.pages * PAGE
    }
}

static RANGES: IrqLock<Vec<Range>> = IrqLock::new(Vec::new());
/// Whether there is anything to page out: false without pageable sections, and while they are out. Only saves work: who reads
/// it late pages out or in what is so already.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// Takes over the pageable sections of a driver that was loaded.
pub(super) fn set(ranges: Vec<Range>) {
    PRESENT.store(!ranges.is_empty(), Relaxed);
    *RANGES.lock() = ranges;
}

/// Brings everything back, for good: the driver goes.
pub(super) fn clear() {
    let mut ranges = RANGES.lock();
    PRESENT.store(false, Relaxed);
    set_present(&ranges, true);
    ranges.clear();
}

fn set_present(ranges: &[Range], present: bool) {
    for range in ranges {
        paging::set_present(range.start, range.pages, range.protection, present);
    }
}

/// Where the driver may have come to `DISPATCH_LEVEL`, or is about to be called there.
pub fn page_out() {
    if irql::current() < DISPATCH_LEVEL || !PRESENT.load(Relaxed) {
        return;
    }
    let ranges = RANGES.lock();
    if PRESENT.swap(false, Relaxed) {
        set_present(&ranges, false);
    }
}

/// Whether `address` is pageable.
pub fn contains(address: u64) -> bool {
    // Whoever holds the lock touches no driver's memory, and the machine's end comes here with the processors frozen.
    RANGES
        .try_lock()
        .is_some_and(|ranges| ranges.iter().any(|range| range.contains(address)))
}

/// A fault on a page that is not present: whether it was paged out, and is back.
pub fn page_in(address: u64) -> bool {
    if irql::current() >= DISPATCH_LEVEL {
        return false;
    }
    let ranges = RANGES.lock();
    let pageable = ranges.iter().any(|range| range.contains(address));
    if pageable {
        set_present(&ranges, true);
        PRESENT.store(true, Relaxed);
    }
    pageable
}
