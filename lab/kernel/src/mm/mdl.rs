//! Memory descriptor lists, as they lie in memory: a range of addresses, and the pages behind it. Nobody is judged here.

use super::{MAPPINGS, PAGE, USER, frames, pageable, paging, paging::Protection, region::Region, user};
use crate::lock::IrqLock;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ops::Range;

/// `MDL.MdlFlags` (wdm.h).
pub mod flag {
    /// It is mapped, at `MappedSystemVa`.
    pub const MAPPED: u16 = 0x0001;
    /// Its pages are locked.
    pub const LOCKED: u16 = 0x0002;
    /// It describes nonpaged pool, which is mapped for good.
    pub const NONPAGED_POOL: u16 = 0x0004;
    /// The I/O manager made it.
    pub const ALLOCATED_FIXED_SIZE: u16 = 0x0008;
    /// It is a part of another.
    pub const PARTIAL: u16 = 0x0010;
    /// A part that has a mapping of its own.
    pub const PARTIAL_MAPPED: u16 = 0x0020;
    /// The pages are locked for writing.
    pub const WRITE: u16 = 0x0080;
}

/// `MDL`, 0x30 bytes; the numbers of its pages follow it.
#[repr(C)]
struct Raw {
    next: u64,
    size: u16,
    flags: u16,
    processor: u32,
    process: u64,
    mapped: u64,
    start: u64,
    count: u32,
    offset: u32,
}

/// `sizeof(MDL)`.
pub const HEADER: u64 = 0x30;
const _: () = assert!(size_of::<Raw>() as u64 == HEADER);

/// An MDL that is shared with the driver by NT's rules.
#[repr(transparent)]
pub struct Mdl(UnsafeCell<Raw>);

/// The MDLs whose pages are locked, and the addresses that they describe.
static LOCKED: IrqLock<BTreeMap<u64, Range<u64>>> = IrqLock::new(BTreeMap::new());
/// Where MDLs are mapped, by address, and how many pages.
static MAPPED: IrqLock<BTreeMap<u64, u64>> = IrqLock::new(BTreeMap::new());
static SYSTEM: Region = Region::new(MAPPINGS);
static CLIENTS: Region = Region::new(USER << 1);

/// How many pages a range of addresses touches.
pub fn spanned(address: u64, length: u64) -> u64 {
    ((address & (PAGE - 1)) + length).div_ceil(PAGE)
}

/// How many bytes an MDL for that range takes.
pub fn size_for(address: u64, length: u64) -> u64 {
    HEADER + 8 * spanned(address, length)
}

impl Mdl {
    /// The MDL at `address`.
    ///
    /// # Safety
    /// One lies there, and stays until the call is over.
    pub unsafe fn at(address: u64) -> &'static Self {
        // SAFETY: the caller promises it.
        unsafe { &*(address as *const Self) }
    }

    /// Makes one of fresh memory, as `MmInitializeMdl` does.
    ///
    /// # Safety
    /// [`size_for`] the range, aligned to 8, at `place`.
    pub unsafe fn initialize(place: u64, address: u64, length: u32, flags: u16) {
        let value = Raw {
            next: 0,
            size: size_for(address, length.into()) as u16,
            flags,
            processor: 0,
            process: 0,
            mapped: 0,
            start: address & !(PAGE - 1),
            count: length,
            offset: (address & (PAGE - 1)) as u32,
        };
        // SAFETY: the caller promises the room.
        unsafe { (place as *mut Raw).write(value) };
    }

    /// Its own address.
    pub fn address(&self) -> u64 {
        self.0.get() as u64
    }

    fn read<T>(&self, field: impl FnOnce(&Raw) -> T) -> T {
        // SAFETY: plain words; by NT's rules whoever has the MDL is alone with it.
        field(unsafe { &*self.0.get() })
    }

    fn write(&self, change: impl FnOnce(&mut Raw)) {
        // SAFETY: as above.
        change(unsafe { &mut *self.0.get() });
    }

    /// `MdlFlags`.
    pub fn flags(&self) -> u16 {
        self.read(|raw| raw.flags)
    }

    fn set_flags(&self, set: u16, clear: u16) {
        self.write(|raw| raw.flags = raw.flags & !clear | set);
    }

    /// The addresses that it describes.
    pub fn range(&self) -> Range<u64> {
        self.read(|raw| {
            let first = raw.start + u64::from(raw.offset);
            first..first + u64::from(raw.count)
        })
    }

    /// How many pages it describes.
    pub fn pages(&self) -> u64 {
        let range = self.range();
        spanned(range.start, range.end - range.start)
    }

    /// For how many pages it has room.
    pub fn room(&self) -> u64 {
        self.read(|raw| u64::from(raw.size).saturating_sub(HEADER) / 8)
    }

    /// `MappedSystemVa`.
    pub fn mapped_at(&self) -> u64 {
        self.read(|raw| raw.mapped)
    }

    /// `Next`.
    pub fn next(&self) -> u64 {
        self.read(|raw| raw.next)
    }

    /// Puts another behind it.
    pub fn set_next(&self, next: u64) {
        self.write(|raw| raw.next = next);
    }

    fn frame(&self, index: u64) -> u64 {
        // SAFETY: callers stay below `pages`, whose numbers follow the structure.
        PAGE * unsafe {
            ((self.address() + HEADER) as *const u64)
                .wrapping_add(index as usize)
                .read()
        }
    }

    fn set_frame(&self, index: u64, frame: u64) {
        // SAFETY: as above.
        unsafe {
            ((self.address() + HEADER) as *mut u64)
                .wrapping_add(index as usize)
                .write(frame / PAGE);
        };
    }

    /// Enters the pages behind its addresses; false if one of them is nowhere.
    fn find_frames(&self) -> bool {
        let start = self.range().start & !(PAGE - 1);
        (0..self.pages()).all(|index| {
            let address = start + index * PAGE;
            let frame = if address >> 47 == 0 {
                user::frame_of(address)
            } else {
                pageable::page_in(address);
                paging::physical_address(address)
            };
            frame.is_some_and(|frame| {
                self.set_frame(index, frame);
                true
            })
        })
    }

    /// Describes nonpaged pool, which is mapped where it is; false if it is not there.
    pub fn build_for_nonpaged_pool(&self) -> bool {
        let found = self.find_frames();
        if found {
            let start = self.range().start;
            self.write(|raw| raw.mapped = start);
            self.set_flags(flag::NONPAGED_POOL, flag::MAPPED);
        }
        found
    }

    /// Locks the pages; false if they are not there.
    pub fn lock(&self, write: bool) -> bool {
        if !self.find_frames() {
            return false;
        }
        (0..self.pages()).for_each(|index| frames::pin(self.frame(index)));
        LOCKED.lock().insert(self.address(), self.range());
        self.set_flags(flag::LOCKED | if write { flag::WRITE } else { 0 }, 0);
        true
    }

    /// Unlocks the pages, and takes a mapping off before.
    pub fn unlock(&self) {
        if self.flags() & flag::MAPPED != 0 {
            self.unmap();
        }
        LOCKED.lock().remove(&self.address());
        (0..self.pages()).for_each(|index| frames::unpin(self.frame(index)));
        self.set_flags(0, flag::LOCKED | flag::WRITE);
    }

    /// Maps the pages into the system's addresses or a client's; where its first byte is then. `None` when memory is short.
    pub fn map(&self, into_client: bool, protection: Protection) -> Option<u64> {
        let pages = self.pages();
        let region = if into_client { &CLIENTS } else { &SYSTEM };
        let base = region.take(pages);
        for index in 0..pages {
            if !paging::map_frame(base + index * PAGE, self.frame(index), protection) {
                paging::unmap_shared(base, index);
                region.put(base, pages);
                return None;
            }
        }
        MAPPED.lock().insert(base, pages);
        let address = base + (self.range().start & (PAGE - 1));
        if !into_client {
            self.write(|raw| raw.mapped = address);
            let partial = self.flags() & flag::PARTIAL != 0;
            self.set_flags(flag::MAPPED | if partial { flag::PARTIAL_MAPPED } else { 0 }, 0);
        }
        Some(address)
    }

    /// Takes the mapping into the system's addresses off.
    pub fn unmap(&self) {
        if unmap_at(self.mapped_at()) {
            self.write(|raw| raw.mapped = 0);
        }
        self.set_flags(0, flag::MAPPED | flag::PARTIAL_MAPPED);
    }

    /// Makes `part` describe some of what this describes.
    pub fn build_partial(&self, part: &Self, address: u64, length: u32) {
        let first = (address - (self.range().start & !(PAGE - 1))) / PAGE;
        let mapped = match self.flags() & (flag::MAPPED | flag::NONPAGED_POOL) {
            0 => 0,
            _ => self.mapped_at() + (address - self.range().start),
        };
        let inherited = self.flags() & (flag::MAPPED | flag::NONPAGED_POOL | flag::WRITE);
        part.write(|raw| {
            raw.start = address & !(PAGE - 1);
            raw.offset = (address & (PAGE - 1)) as u32;
            raw.count = length;
            raw.mapped = mapped;
        });
        // What the whole has mapped is no mapping of the part's own.
        part.set_flags(flag::PARTIAL | inherited, flag::LOCKED | flag::PARTIAL_MAPPED);
        (0..part.pages()).for_each(|index| part.set_frame(index, self.frame(first + index)));
    }

    /// `MmGetSystemAddressForMdlSafe`: where it is mapped, or then is. `None` when memory is short.
    pub fn system_address(&self) -> Option<u64> {
        match self.flags() & (flag::MAPPED | flag::NONPAGED_POOL) {
            0 => self.map(false, Protection::ReadWrite),
            _ => Some(self.mapped_at()),
        }
    }
}

/// Takes the mapping of an MDL at `address` off; false if there is none.
pub fn unmap_at(address: u64) -> bool {
    let base = address & !(PAGE - 1);
    let Some(pages) = MAPPED.lock().remove(&base) else {
        return false;
    };
    paging::unmap_shared(base, pages);
    let region = if base >> 47 == 0 { &CLIENTS } else { &SYSTEM };
    region.put(base, pages);
    true
}

/// Whether an MDL is mapped at that address.
pub fn is_mapped_at(address: u64) -> bool {
    MAPPED.lock().contains_key(&(address & !(PAGE - 1)))
}

/// An MDL that lies in this memory, or describes some of it, and whose pages are locked.
pub fn locked_within(memory: &Range<u64>) -> Option<u64> {
    let locked = LOCKED.lock();
    let mut concerned = locked.iter().filter(|(mdl, range)| {
        memory.contains(mdl) || (range.start < memory.end && memory.start < range.end)
    });
    concerned.next().map(|entry| *entry.0)
}

/// The MDLs whose pages are locked.
pub fn locked() -> Vec<(u64, Range<u64>)> {
    LOCKED
        .lock()
        .iter()
        .map(|(&mdl, range)| (mdl, range.clone()))
        .collect()
}
