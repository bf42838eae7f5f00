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

/// What is known of a range.
struct Known {
    range: Range,
    /// Whether it is there now.
    there: bool,
    /// How often it is locked: as long as it is, it stays.
    locks: u32,
}

/// By where they lie.
static RANGES: IrqLock<BTreeMap<u64, Known>> = IrqLock::new(BTreeMap::new());
/// Whether there is anything to page out: false without pageable memory, and while it is out. Only saves work: who reads
/// it late pages out or in what is so already.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// Takes over memory that is mapped.
pub fn add(range: Range) {
    let mut ranges = RANGES.lock();
    let known = Known {
        range,
        there: true,
        locks: 0,
    };
    ranges.insert(known.range.start, known);
    PRESENT.store(true, Relaxed);
}

/// Brings back, for good, what begins at `start`: it is about to be unmapped.
pub fn remove(start: u64) {
    let removed = RANGES.lock().remove(&start);
    if let Some(mut entry) = removed {
        set_present(&mut entry, true);
    }
}

fn set_present(known: &mut Known, present: bool) {
    if known.there != present && (present || known.locks == 0) {
        let range = &known.range;
        paging::set_present(range.start, range.pages, range.protection, present);
        known.there = present;
    }
}

/// The range that `address` lies in.
fn find(ranges: &mut BTreeMap<u64, Known>, address: u64) -> Option<&mut Known> {
    let (_, known) = ranges.range_mut(..=address).next_back()?;
    known.range.contains(address).then_some(known)
}

/// Brings back what `address` lies in and keeps it there; where that begins. `None` if nothing pageable is there.
pub fn lock(address: u64) -> Option<u64> {
    let mut ranges = RANGES.lock();
    let known = find(&mut ranges, address)?;
    known.locks += 1;
    set_present(known, true);
    Some(known.range.start)
}

/// Takes one [`lock`] back.
pub fn unlock(address: u64) {
    if let Some(known) = find(&mut RANGES.lock(), address) {
        known.locks = known.locks.saturating_sub(1);
        PRESENT.store(true, Relaxed);
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
        below.is_some_and(|(_, known)| known.range.contains(address))
    })
}

/// A fault on a page that is not present: whether it was paged out, and is back.
pub fn page_in(address: u64) -> bool {
    if irql::current() >= DISPATCH_LEVEL {
        return false;
    }
    let mut ranges = RANGES.lock();
    let Some(entry) = find(&mut ranges, address) else {
        return false;
    };
    set_present(entry, true);
    PRESENT.store(true, Relaxed);
    true
}
