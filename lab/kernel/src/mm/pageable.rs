//! The driver's pageable memory: there only while nobody needs it not to be.
//!
//! A section whose name begins with PAGE may be paged out (Microsoft Learn, "Making Drivers Pageable"), and so may paged pool. So at
//! `DISPATCH_LEVEL` and above, where no page can be read in, neither may be touched. What Driver Verifier does about it is
//! done here too ("Force IRQL Checking"): when the IRQL comes to `DISPATCH_LEVEL`, all of it goes; the next fault
//! below it brings them back; one at or above it is the bug check that Windows has for it.

use crate::config::{self, Rule};
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::lock::IrqLock;
use crate::mm::{PAGE, paging, paging::Protection};
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A pageable section, or block of pool.
pub struct Range {
    /// Where it lies.
    pub start: u64,
    /// How long it is.
    pub pages: u64,
    /// What it allows while it is there.
    pub protection: Protection,
}

impl Range {
    fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.start) < self.pages * PAGE
    }
}

/// By where they lie, and whether they are there now.
static RANGES: IrqLock<BTreeMap<u64, (Range, bool)>> = IrqLock::new(BTreeMap::new());
/// Whether there is anything to page out: false without pageable memory, and while it is out. Only saves work: who reads
/// it late pages out or in what is so already.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// Takes over memory that is mapped.
pub fn add(range: Range) {
    let mut ranges = RANGES.lock();
    ranges.insert(range.start, (range, true));
    PRESENT.store(true, Relaxed);
}

/// Brings back, for good, what begins at `start`: it is about to be unmapped.
pub fn remove(start: u64) {
    let removed = RANGES.lock().remove(&start);
    if let Some(mut entry) = removed {
        set_present(&mut entry, true);
    }
}

fn set_present((range, there): &mut (Range, bool), present: bool) {
    if *there != present {
        paging::set_present(range.start, range.pages, range.protection, present);
        *there = present;
    }
}

/// Where the driver may have come to `DISPATCH_LEVEL`, or is about to be called there.
pub fn page_out() {
    if irql::current() < DISPATCH_LEVEL || !PRESENT.load(Relaxed) || config::allows(Rule::Paging) {
        return;
    }
    let mut ranges = RANGES.lock();
    if PRESENT.swap(false, Relaxed) {
        ranges.values_mut().for_each(|entry| set_present(entry, false));
    }
}

/// Whether `address` is pageable.
pub fn contains(address: u64) -> bool {
    // Whoever holds the lock touches no driver's memory, and the machine's end comes here with the processors frozen.
    RANGES.try_lock().is_some_and(|ranges| {
        let below = ranges.range(..=address).next_back();
        below.is_some_and(|(_, (range, _))| range.contains(address))
    })
}

/// A fault on a page that is not present: whether it was paged out, and is back.
pub fn page_in(address: u64) -> bool {
    if irql::current() >= DISPATCH_LEVEL {
        return false;
    }
    let mut ranges = RANGES.lock();
    let below = ranges.range_mut(..=address).next_back();
    let Some((_, entry)) = below.filter(|(_, (range, _))| range.contains(address)) else {
        return false;
    };
    set_present(entry, true);
    PRESENT.store(true, Relaxed);
    true
}
