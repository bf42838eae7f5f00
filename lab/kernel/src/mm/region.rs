//! Ranges of addresses, each followed by a page that is never mapped. Freed ranges rest before they are used again,
//! so that a stale pointer faults instead of finding somebody else's memory.

use super::PAGE;
use crate::lock::IrqLock;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// How many freed ranges rest.
const RESTING: usize = 4096;

struct Ranges {
    next: u64,
    resting: VecDeque<(u64, u64)>,
    free: BTreeMap<u64, Vec<u64>>,
}

/// An address region from which page ranges are taken.
pub struct Region(IrqLock<Ranges>);

impl Region {
    /// A region that begins at `start`, with an unmapped page before its first range.
    pub const fn new(start: u64) -> Self {
        Self(IrqLock::new(Ranges {
            next: start + PAGE,
            resting: VecDeque::new(),
            free: BTreeMap::new(),
        }))
    }

    /// The start of a range of `pages`, unmapped, with unmapped pages around it.
    pub fn take(&self, pages: u64) -> u64 {
        let mut ranges = self.0.lock();
        if let Some(address) = ranges.free.get_mut(&pages).and_then(Vec::pop) {
            return address;
        }
        let address = ranges.next;
        ranges.next += (pages + 1) * PAGE;
        address
    }

    /// Gives a range back whose pages have been unmapped.
    pub fn put(&self, address: u64, pages: u64) {
        let mut ranges = self.0.lock();
        ranges.resting.push_back((address, pages));
        if ranges.resting.len() > RESTING
            && let Some((address, pages)) = ranges.resting.pop_front()
        {
            ranges.free.entry(pages).or_default().push(address);
        }
    }
}
