//! The lab's own share of memory, which a driver that takes all there is cannot have.
//!
//! A driver may exhaust memory, and has to bear it; the lab has to go on meanwhile. What the driver allocates and creates fails
//! once only this reserve is left, and a client's requests once half of it is: the rest is for requests that must arrive,
//! such as `IRP_MJ_CLEANUP` and `IRP_MN_REMOVE_DEVICE`.

use super::{PAGE, frames, heap};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Pages: 4 MiB.
const PAGES: u64 = 1024;

/// What the driver asked for and did not get, since memory was exhausted.
pub static REFUSED: AtomicU64 = AtomicU64::new(0);

fn leaves(pages: u64, reserve: u64) -> bool {
    frames::free_pages() >= pages + reserve && heap::free_bytes() >= reserve * PAGE
}

/// Whether the driver can have so many pages. Counts what it cannot have; [`pool::has_for_driver`](super::pool::has_for_driver)
/// says so as well.
pub(super) fn has_for_driver(pages: u64) -> bool {
    let left = leaves(pages, PAGES);
    REFUSED.fetch_add(u64::from(!left), Relaxed);
    left
}

/// Whether a client's request can have what it takes.
pub fn has_for_client(pages: u64) -> bool {
    leaves(pages, PAGES / 2)
}
