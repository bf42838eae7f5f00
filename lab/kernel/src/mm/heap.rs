//! The kernel's own heap, apart from the driver's pool.

use super::{PAGE, frames};
use crate::hal::direct_map::physical;
use crate::lock::IrqLock;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use talc::{ErrOnOom, Span, Talc};

const MAX_HEAP: u64 = 64 << 20;

/// Bytes that are in use, without what the allocator needs for itself.
static USED: AtomicU64 = AtomicU64::new(0);

struct Heap(IrqLock<Talc<ErrOnOom>>);

#[global_allocator]
static HEAP: Heap = Heap(IrqLock::new(Talc::new(ErrOnOom)));

// SAFETY: Talc hands out memory that is free, aligned and large enough, and the lock serialises it.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises a layout that is not empty.
        unsafe { self.0.lock().malloc(layout) }.map_or(core::ptr::null_mut(), |block| {
            USED.fetch_add(layout.size() as u64, Relaxed);
            block.as_ptr()
        })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that `pointer` is an allocation, so it is not null.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        USED.fetch_sub(layout.size() as u64, Relaxed);
        // SAFETY: the caller promises that it is one of ours with this layout.
        unsafe { self.0.lock().free(pointer, layout) };
    }
}

/// Gives the heap a quarter of memory, 64 MiB at most.
pub(crate) fn initialize() {
    let bytes = (frames::free_pages() * PAGE / 4).min(MAX_HEAP) & !(PAGE - 1);
    let start = frames::allocate_contiguous(bytes).expect("a quarter of memory is contiguous at boot");
    // SAFETY: the range was taken from the page allocator for good.
    let claimed = unsafe {
        HEAP.0
            .lock()
            .claim(Span::from_base_size(physical(start), bytes as usize))
    };
    claimed.expect("the heap's first range is far larger than its bookkeeping");
    START.store(physical(start) as u64, Relaxed);
    LENGTH.store(bytes, Relaxed);
}

/// Written once, at boot; no lock, since a report asks for it on a machine whose other processors stand still wherever they were.
static START: AtomicU64 = AtomicU64::new(0);
static LENGTH: AtomicU64 = AtomicU64::new(0);

/// Start and length of the heap.
pub fn range() -> (u64, u64) {
    (START.load(Relaxed), LENGTH.load(Relaxed))
}

/// Bytes that are not in use.
pub fn free_bytes() -> u64 {
    range().1.saturating_sub(USED.load(Relaxed))
}
