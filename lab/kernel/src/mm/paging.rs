//! Page tables: one address space, for all processors.

use super::PAGE;
use super::frames::{self, TableFrames};
use crate::hal::direct_map::{DIRECT_MAP, physical};
use crate::hal::nmi;
use crate::lock::IrqLock;
use x86_64::structures::paging::mapper::TranslateResult;
use x86_64::structures::paging::{
    Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame, Size4KiB, Translate,
};
use x86_64::{PhysAddr, VirtAddr};

/// What a mapping allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Read, write and execute.
    ReadWriteExecute,
}

impl Protection {
    fn flags(self) -> PageTableFlags {
        let base = PageTableFlags::PRESENT;
        match self {
            Self::ReadOnly => base | PageTableFlags::NO_EXECUTE,
            Self::ReadWrite => base | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE,
            Self::ReadExecute => base,
            Self::ReadWriteExecute => base | PageTableFlags::WRITABLE,
        }
    }
}

static TABLES: IrqLock<Option<OffsetPageTable<'static>>> = IrqLock::new(None);

/// The physical address of the top table.
pub fn root() -> u64 {
    x86_64::registers::control::Cr3::read().0.start_address().as_u64()
}

/// Takes over the tables that `boot.s` made.
pub(crate) fn initialize() {
    // SAFETY: the tables are boot's, covered by the direct map, and from now on only used through `TABLES`.
    let top = unsafe { &mut *physical(root()).cast::<PageTable>() };
    // SAFETY: the direct map covers all memory that tables are allocated from.
    *TABLES.lock() = Some(unsafe { OffsetPageTable::new(top, VirtAddr::new(DIRECT_MAP)) });
}

/// Empties the lower half; the processors that were started through it are up.
pub fn drop_identity_map() {
    if let Some(tables) = TABLES.lock().as_mut() {
        tables.level_4_table_mut()[0].set_unused();
    }
    nmi::flush_all_tlbs();
}

fn page(address: u64) -> Page<Size4KiB> {
    Page::containing_address(VirtAddr::new_truncate(address))
}

/// Maps fresh zeroed pages at `address`. False, with nothing mapped, when memory is short.
pub fn map(address: u64, pages: u64, protection: Protection) -> bool {
    for index in 0..pages {
        let mapped = frames::allocate().is_some_and(|frame| {
            // SAFETY: the page was just allocated, so nobody else has it; it is 4 KiB long.
            unsafe { physical(frame).write_bytes(0, PAGE as usize) };
            map_frame(address + index * PAGE, frame, protection)
        });
        if !mapped {
            unmap(address, index);
            return false;
        }
    }
    true
}

/// Maps one given page.
pub fn map_frame(address: u64, frame: u64, protection: Protection) -> bool {
    let mut tables = TABLES.lock();
    let tables = tables.as_mut().expect("mm::initialize ran");
    let frame = PhysFrame::containing_address(PhysAddr::new(frame));
    // SAFETY: callers map only their own region's addresses, to pages that they own.
    let mapped = unsafe { tables.map_to(page(address), frame, protection.flags(), &mut TableFrames) };
    // A page that was not present is never cached, so no flush is due.
    mapped
        .map(x86_64::structures::paging::mapper::MapperFlush::ignore)
        .is_ok()
}

/// Unmaps pages and frees them, after every processor has forgotten them.
pub fn unmap(address: u64, pages: u64) {
    unmap_and(address, pages, frames::free);
}

/// Unmaps pages that are somebody else's, after every processor has forgotten them here.
pub fn unmap_shared(address: u64, pages: u64) {
    unmap_and(address, pages, |_| ());
}

fn unmap_and(address: u64, pages: u64, then: impl Fn(u64)) {
    const BATCH: usize = 32;
    let mut address = address;
    let end = address + pages * PAGE;
    while address < end {
        let mut batch = [0; BATCH];
        let mut count = 0;
        {
            let mut tables = TABLES.lock();
            let tables = tables.as_mut().expect("mm::initialize ran");
            while address < end && count < BATCH {
                if let Ok((frame, flush)) = tables.unmap(page(address)) {
                    flush.ignore();
                    batch[count] = frame.start_address().as_u64();
                    count += 1;
                }
                address += PAGE;
            }
        }
        if count != 0 {
            nmi::flush_all_tlbs();
        }
        batch[..count].iter().for_each(|&frame| then(frame));
    }
}

/// Changes what mapped pages allow.
pub fn protect(address: u64, pages: u64, protection: Protection) {
    set_flags(address, pages, protection.flags());
}

/// How NT marks a page that is not present and still in memory, as a debugger shows it (`!pte`: in transition).
const TRANSITION: PageTableFlags = PageTableFlags::BIT_11;

/// Lets accesses to mapped pages fault, or no longer; the pages keep what is in them.
pub fn set_present(address: u64, pages: u64, protection: Protection, present: bool) {
    let mut flags = protection.flags();
    flags.set(PageTableFlags::PRESENT, present);
    flags.set(TRANSITION, !present);
    set_flags(address, pages, flags);
}

fn set_flags(address: u64, pages: u64, flags: PageTableFlags) {
    {
        let mut tables = TABLES.lock();
        let tables = tables.as_mut().expect("mm::initialize ran");
        for index in 0..pages {
            // SAFETY: callers change only their own region's pages.
            let changed = unsafe { tables.update_flags(page(address + index * PAGE), flags) };
            changed.expect("only mapped pages are changed").ignore();
        }
    }
    nmi::flush_all_tlbs();
}

/// Whether `address` is mapped.
pub fn is_mapped(address: u64) -> bool {
    let Ok(virtual_address) = VirtAddr::try_new(address) else {
        return false;
    };
    // The tables' lock may be held by whoever faulted; a frozen machine reads them without.
    match TABLES.try_lock() {
        Some(tables) => tables.as_ref().is_some_and(|tables| {
            matches!(tables.translate(virtual_address), TranslateResult::Mapped { .. })
        }),
        None => walk(address),
    }
}

/// Where `address` lies, if it is mapped.
pub fn physical_address(address: u64) -> Option<u64> {
    let address = VirtAddr::try_new(address).ok()?;
    let physical = TABLES.lock().as_ref()?.translate_addr(address)?;
    Some(physical.as_u64())
}

/// Whether `address` is mapped, by reading the tables without their lock.
fn walk(address: u64) -> bool {
    let mut table = root();
    for shift in [39, 30, 21, 12] {
        let index = address >> shift & 511;
        // SAFETY: every present entry names a table or page below 4 GiB, which the direct map covers.
        let entry = unsafe { physical(table + index * 8).cast::<u64>().read_volatile() };
        if entry & 1 == 0 {
            return false;
        }
        if shift == 12 || entry & 0x80 != 0 {
            return true;
        }
        table = entry & 0x000F_FFFF_FFFF_F000;
    }
    true
}

/// Reads a word if its page is mapped; for reports about memory that may be gone.
pub fn peek(address: u64) -> Option<u64> {
    if address & 7 != 0 || !walk(address) {
        return None;
    }
    // SAFETY: mapped a moment ago, and the machine is frozen or the caller holds what keeps it mapped.
    Some(unsafe { (address as *const u64).read_volatile() })
}
