//! Physical pages.

use super::PAGE;
use crate::hal::direct_map::physical;
use crate::hal::memory_map::MemoryRange;
use crate::lock::IrqLock;
use alloc::collections::BTreeMap;
use x86_64::PhysAddr;
use x86_64::structures::paging::{FrameAllocator, PhysFrame, Size4KiB};

const MAX_RANGES: usize = 32;
/// The direct map's end.
const LIMIT: u64 = 4 << 30;
const FIRST: u64 = 1 << 20;

/// Free pages: ranges that were never used, and a list through the pages that came back.
struct Frames {
    ranges: [(u64, u64); MAX_RANGES],
    freed: Option<u64>,
    free_pages: u64,
}

static FRAMES: IrqLock<Frames> = IrqLock::new(Frames {
    ranges: [(0, 0); MAX_RANGES],
    freed: None,
    free_pages: 0,
});

unsafe extern "C" {
    static kernel_end: u8;
}

/// Takes the RAM of the map, without the first MiB, the kernel's image and the module.
pub(crate) fn initialize(map: &[MemoryRange], module: (u64, u64)) {
    let kernel = (FIRST, (&raw const kernel_end) as u64);
    let mut frames = FRAMES.lock();
    let mut count = 0;
    for range in map.iter().filter(|range| range.kind == 1) {
        let mut pieces = [
            (range.address.max(FIRST), (range.address + range.size).min(LIMIT)),
            (0, 0),
            (0, 0),
        ];
        for hole in [kernel, module] {
            for index in 0..pieces.len() {
                let (start, end) = pieces[index];
                if hole.0 < end && start < hole.1 {
                    pieces[index] = (start, hole.0.max(start));
                    let free = pieces
                        .iter()
                        .position(|piece| piece.0 >= piece.1)
                        .unwrap_or(index);
                    pieces[free] = (hole.1.min(end), end);
                    break;
                }
            }
        }
        for (start, end) in pieces {
            let (start, end) = (start.next_multiple_of(PAGE), end & !(PAGE - 1));
            if start < end && count < MAX_RANGES {
                frames.ranges[count] = (start, end);
                frames.free_pages += (end - start) / PAGE;
                count += 1;
            }
        }
    }
}

/// A free page's physical address; its contents are arbitrary.
pub fn allocate() -> Option<u64> {
    let mut frames = FRAMES.lock();
    let page = if let Some(page) = frames.freed {
        // SAFETY: a freed page holds the list's next link in its first two words, and nobody else uses it.
        frames.freed = unsafe { physical(page).cast::<Option<u64>>().read() };
        page
    } else {
        let range = frames.ranges.iter_mut().find(|range| range.0 < range.1)?;
        range.0 += PAGE;
        range.0 - PAGE
    };
    frames.free_pages -= 1;
    Some(page)
}

/// Takes `bytes` of contiguous memory for good: the kernel's heap, and the timeline.
pub(crate) fn allocate_contiguous(bytes: u64) -> Option<u64> {
    let mut frames = FRAMES.lock();
    let range = frames
        .ranges
        .iter_mut()
        .find(|range| range.1 - range.0 >= bytes)?;
    range.0 += bytes;
    let start = range.0 - bytes;
    frames.free_pages -= bytes / PAGE;
    Some(start)
}

/// Pages that are locked: how often, and whether their owner has given them back meanwhile.
static PINNED: IrqLock<BTreeMap<u64, (u32, bool)>> = IrqLock::new(BTreeMap::new());

/// Keeps a page from being used again, until it is unpinned as often.
pub fn pin(page: u64) {
    PINNED.lock().entry(page & !(PAGE - 1)).or_default().0 += 1;
}

/// Takes a pin off.
pub fn unpin(page: u64) {
    let page = page & !(PAGE - 1);
    let given_back = {
        let mut pinned = PINNED.lock();
        let Some(entry) = pinned.get_mut(&page) else {
            return;
        };
        entry.0 -= 1;
        let (left, given_back) = *entry;
        if left == 0 {
            pinned.remove(&page);
        }
        left == 0 && given_back
    };
    if given_back {
        free(page);
    }
}

/// Gives a page back that no mapping names any more.
pub fn free(page: u64) {
    if let Some(entry) = PINNED.lock().get_mut(&page) {
        entry.1 = true;
        return;
    }
    let mut frames = FRAMES.lock();
    // SAFETY: the page came from `allocate`, and its last user is gone.
    unsafe { physical(page).cast::<Option<u64>>().write(frames.freed) };
    frames.freed = Some(page);
    frames.free_pages += 1;
}

/// How many pages are free.
pub fn free_pages() -> u64 {
    FRAMES.lock().free_pages
}

/// The same pages for page tables.
pub(super) struct TableFrames;

// SAFETY: each frame is handed out once, until it is freed, which page tables never are.
unsafe impl FrameAllocator<Size4KiB> for TableFrames {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size4KiB>> {
        allocate().map(|page| PhysFrame::containing_address(PhysAddr::new(page)))
    }
}
