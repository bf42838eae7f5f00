//! The driver's pool: tagged, tracked, and each allocation ending where an unmapped page begins.
//!
//! The 16-byte alignment that pool promises may leave up to 15 bytes between the end of a block and the guard page;
//! they hold a pattern that freeing checks. Freed memory is unmapped and its addresses rest for a while.

use super::paging::{self, Protection};
use super::{PAGE, POOL, frames, pageable, region::Region, reserve};
use crate::creations;
use crate::hal::clock;
use crate::lock::IrqLock;
use crate::log;
use crate::trace;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// The alignment of every block, bytes.
const BLOCK_ALIGNMENT: u64 = 16;
const SLACK: u8 = 0xFD;
/// The fill pattern of allocations that are not zeroed.
const FRESH: u8 = 0xCD;
const CACHE_LINE: u64 = 64;
/// How many freed blocks are remembered, to tell a second free from a wild one.
const REMEMBERED: usize = 1024;

/// Where in its pages a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// 16-byte aligned, ending at the guard page.
    Block,
    /// Cache-line aligned, ending at the guard page as nearly as that allows.
    CacheAligned,
}

/// A four-character pool tag, lowest byte first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tag(pub u32);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_le_bytes().iter().try_for_each(|&byte| {
            write!(
                f,
                "{}",
                if byte.is_ascii_graphic() {
                    byte as char
                } else {
                    '.'
                }
            )
        })
    }
}

/// One live block.
#[derive(Clone, Copy)]
pub struct Block {
    /// Its address.
    pub address: u64,
    /// Its size as asked for, bytes.
    pub size: u64,
    /// Its tag.
    pub tag: Tag,
    /// The return address of the call that allocated it.
    pub caller: u64,
    /// When, units of 100 ns since boot.
    pub time: u64,
    /// Whether it may be paged out.
    pub paged: bool,
    base: u64,
    pages: u64,
}

impl Block {
    fn note(&self, kind: trace::Kind) {
        let tag = u64::from(self.tag.0) | u64::from(self.paged) << 32;
        trace::note(kind, [self.address, self.size, tag]);
    }
}

/// Why a block cannot be freed.
pub enum FreeError {
    /// No block begins there; whether one did, until it was freed.
    NotAllocated {
        /// The block's former tag and the caller that freed it.
        freed_before: Option<(Tag, u64)>,
    },
    /// The block has another tag.
    WrongTag(Block),
    /// Bytes behind its end were written; the address of the first.
    Overrun(Block, u64),
}

struct Pool {
    blocks: BTreeMap<u64, Block>,
    freed: [(u64, Tag, u64); REMEMBERED],
    next: usize,
}

static REGION: Region = Region::new(POOL);
static BLOCKS: IrqLock<Pool> = IrqLock::new(Pool {
    blocks: BTreeMap::new(),
    freed: [(0, Tag(0), 0); REMEMBERED],
    next: 0,
});
/// Allocations so far.
pub static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Whether the driver can have so many pages. If not, it is said, the first time with who has them.
pub fn has_for_driver(pages: u64) -> bool {
    let before = reserve::REFUSED.load(Ordering::Relaxed);
    let left = reserve::has_for_driver(pages);
    if !left && before == 0 {
        let (mut blocks, mut bytes) = (0_u64, 0_u64);
        for_each_block(|block| {
            blocks += 1;
            bytes += block.size;
        });
        log!(
            "log: memory is exhausted: pool has {blocks} blocks of {bytes} bytes, each of which takes whole pages; what the driver asks for fails"
        );
    }
    left
}

/// Allocates `size` bytes of pool that is never paged out, zeroed or filled with 0xCD. `None` when memory is short.
///
/// What is allocated on the driver's behalf (`caller` is not 0) can be made to fail.
pub fn allocate(size: u64, tag: Tag, zero: bool, placement: Placement, caller: u64) -> Option<*mut u8> {
    allocate_of(Kind::NonPagedNx, size, tag, zero, placement, caller)
}

/// What a block of pool may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Never paged out.
    NonPagedNx,
    /// Never paged out, and code may run in it.
    NonPagedExecute,
    /// Gone while the driver is at `DISPATCH_LEVEL`.
    Paged,
}

/// As [`allocate`], of any kind of pool.
pub fn allocate_of(
    kind: Kind,
    size: u64,
    tag: Tag,
    zero: bool,
    placement: Placement,
    caller: u64,
) -> Option<*mut u8> {
    if caller != 0 && creations::fails() {
        return None;
    }
    let alignment = match placement {
        _ if size >= PAGE => PAGE,
        Placement::CacheAligned => CACHE_LINE,
        Placement::Block => BLOCK_ALIGNMENT,
    };
    let pages = size.max(1).div_ceil(PAGE);
    let there = match caller {
        0 => pages <= frames::free_pages(),
        _ => has_for_driver(pages),
    };
    if !there {
        return None;
    }
    let base = REGION.take(pages);
    let protection = match kind {
        Kind::NonPagedExecute => Protection::ReadWriteExecute,
        Kind::NonPagedNx | Kind::Paged => Protection::ReadWrite,
    };
    if !paging::map(base, pages, protection) {
        REGION.put(base, pages);
        return None;
    }
    let end = base + pages * PAGE;
    let address = (end - size.max(1)) & !(alignment - 1);
    if !zero {
        // SAFETY: the pages were just mapped, for this block alone.
        unsafe { (address as *mut u8).write_bytes(FRESH, size as usize) };
    }
    // SAFETY: as above; `address + size` is at most `end`.
    unsafe { ((address + size) as *mut u8).write_bytes(SLACK, (end - address - size) as usize) };
    let block = Block {
        address,
        size,
        tag,
        caller,
        time: clock::interrupt_time(),
        paged: kind == Kind::Paged,
        base,
        pages,
    };
    if block.paged {
        pageable::add(pageable::Range {
            start: base,
            pages,
            protection,
        });
    }
    block.note(trace::Kind::Allocates);
    BLOCKS.lock().blocks.insert(address, block);
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    Some(address as *mut u8)
}

/// Frees the block at `address`; with a tag, only if it is the block's.
///
/// # Errors
/// Says what is wrong with the block; it stays allocated then.
pub fn free(address: u64, tag: Option<Tag>, caller: u64) -> Result<(), FreeError> {
    let block = {
        let mut pool = BLOCKS.lock();
        let Some(&block) = pool.blocks.get(&address) else {
            let freed_before = pool.freed.iter().find(|freed| freed.0 == address && address != 0);
            return Err(FreeError::NotAllocated {
                freed_before: freed_before.map(|freed| (freed.1, freed.2)),
            });
        };
        if tag.is_some_and(|tag| tag != block.tag) {
            return Err(FreeError::WrongTag(block));
        }
        if block.paged {
            pageable::remove(block.base);
        }
        let end = block.base + block.pages * PAGE;
        for byte in block.address + block.size..end {
            // SAFETY: the block's pages stay mapped while it is in the table, whose lock is held.
            if unsafe { (byte as *const u8).read_volatile() } != SLACK {
                return Err(FreeError::Overrun(block, byte));
            }
        }
        pool.blocks.remove(&address);
        let next = pool.next;
        pool.freed[next] = (address, block.tag, caller);
        pool.next = (next + 1) % REMEMBERED;
        block
    };
    block.note(trace::Kind::Frees);
    paging::unmap(block.base, block.pages);
    REGION.put(block.base, block.pages);
    Ok(())
}

/// The live blocks, in order of their address.
pub fn live_blocks() -> Vec<Block> {
    BLOCKS.lock().blocks.values().copied().collect()
}

/// How many live blocks there are.
pub fn count() -> usize {
    BLOCKS.lock().blocks.len()
}

/// The live block that `address` lies in, or just behind.
pub fn block_near(address: u64) -> Option<Block> {
    let pool = BLOCKS.try_lock()?;
    let (_, &block) = pool.blocks.range(..=address).next_back()?;
    (address < block.base + (block.pages + 1) * PAGE).then_some(block)
}

/// Calls `f` with each live block, which stays live meanwhile.
pub fn for_each_block(f: impl FnMut(&Block)) {
    BLOCKS.lock().blocks.values().for_each(f);
}
