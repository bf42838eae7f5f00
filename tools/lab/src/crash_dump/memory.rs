//! The machine's memory once it is off: pages by their physical address, and what its page tables map.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Size of a page, bytes.
pub(super) const PAGE: u64 = 4096;
/// The same, as a length.
pub(super) const PAGE_LENGTH: usize = 4096;
/// A page's bytes.
pub(super) type Page = [u8; PAGE_LENGTH];

/// Bits of a page table's entry (AMD64 Architecture Programmer's Manual, volume 2, section 5.3), and the one by which NT marks a page
/// that is not present and still in memory.
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const TRANSITION: u64 = 1 << 11;
const FRAME: u64 = 0x000F_FFFF_FFFF_F000;

/// QEMU's machine `pc` has that much of a large RAM below 4 GiB, and the rest above (`hw/i386/pc_piix.c` of QEMU 7.2).
const LOW_OF_LARGE: u64 = 0xC000_0000;
const LARGE_FROM: u64 = 0xE000_0000;
const HIGH: u64 = 1 << 32;

/// RAM as QEMU keeps it in a file.
#[derive(Debug)]
pub struct Memory<'a> {
    file: &'a File,
    ram: u64,
}

/// What page tables say.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// The tables themselves, physical.
    pub(super) tables: BTreeSet<u64>,
    /// What entries of 4 KiB map, or have in transition: virtual and physical. Larger ones are the kernel's direct map.
    pub(super) pages: Vec<(u64, u64)>,
}

impl<'a> Memory<'a> {
    /// `ram` bytes of RAM in `file`.
    #[must_use]
    pub fn new(file: &'a File, ram: u64) -> Self {
        Self { file, ram }
    }

    /// Where RAM lies in the physical address space: start and length, bytes.
    pub(super) fn runs(&self) -> Vec<(u64, u64)> {
        if self.ram < LARGE_FROM {
            vec![(0, self.ram)]
        } else {
            vec![(0, LOW_OF_LARGE), (HIGH, self.ram - LOW_OF_LARGE)]
        }
    }

    /// The page at a physical address; `None` where there is no RAM.
    pub(super) fn page(&self, physical: u64) -> Option<Page> {
        let physical = physical & !(PAGE - 1);
        let mut before = 0;
        for (start, length) in self.runs() {
            if (start..start + length).contains(&physical) {
                let mut page = [0; PAGE_LENGTH];
                let read = self.file.read_exact_at(&mut page, before + (physical - start));
                return read.is_ok().then_some(page);
            }
            before += length;
        }
        None
    }

    fn entry(&self, table: u64, index: usize) -> Option<u64> {
        let page = self.page(table)?;
        let bytes = page[index * 8..].first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    /// Where a virtual address lies, by the tables at `root`.
    pub(super) fn translate(&self, root: u64, address: u64) -> Option<u64> {
        let mut table = root & FRAME;
        for shift in [39, 30, 21, 12] {
            let index = usize::try_from(address >> shift & 511).ok()?;
            let entry = self.entry(table, index)?;
            let there = entry & PRESENT != 0 || (shift == 12 && entry & TRANSITION != 0);
            if !there {
                return None;
            }
            if shift == 12 || entry & LARGE != 0 {
                let within = (1_u64 << shift) - 1;
                return Some((entry & FRAME & !within) | (address & within));
            }
            table = entry & FRAME;
        }
        None
    }

    /// Bytes at a virtual address; `None` if any of them is not there.
    pub(super) fn read(&self, root: u64, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = address.checked_add(bytes.len() as u64)?;
            let page = self.page(self.translate(root, at)?)?;
            let within = usize::try_from(at & (PAGE - 1)).ok()?;
            let rest = &page[within..];
            bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
        }
        Some(bytes)
    }

    /// All that the tables at `root` map.
    pub(super) fn mapped(&self, root: u64) -> Mapped {
        let mut mapped = Mapped::default();
        self.follow(root & FRAME, 39, 0, &mut mapped);
        mapped
    }

    fn follow(&self, table: u64, shift: u32, base: u64, mapped: &mut Mapped) {
        let Some(page) = self.page(table) else { return };
        mapped.tables.insert(table);
        let entries = page
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word));
        for (index, entry) in (0_u64..).zip(entries) {
            let mut address = base | index << shift;
            if shift == 39 && index >= 256 {
                // Canonical: bit 47 goes on to the top.
                address |= 0xFFFF << 48;
            }
            if shift == 12 {
                if entry & (PRESENT | TRANSITION) != 0 {
                    mapped.pages.push((address, entry & FRAME));
                }
            } else if entry & PRESENT != 0 && entry & LARGE == 0 {
                self.follow(entry & FRAME, shift - 9, address, mapped);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// RAM with page tables, to be filled.
    pub(crate) struct Ram {
        pub(crate) file: File,
        next: u64,
    }

    pub(crate) const RAM: u64 = 2 << 20;
    pub(crate) const ROOT: u64 = PAGE;

    impl Ram {
        pub(crate) fn new() -> Self {
            let file = tempfile::tempfile().unwrap();
            file.set_len(RAM).unwrap();
            Self {
                file,
                next: ROOT + PAGE,
            }
        }

        pub(crate) fn memory(&self) -> Memory<'_> {
            Memory::new(&self.file, RAM)
        }

        pub(crate) fn set(&self, physical: u64, bytes: &[u8]) {
            self.file.write_all_at(bytes, physical).unwrap();
        }

        /// A page that nothing has.
        pub(crate) fn take(&mut self) -> u64 {
            self.next += PAGE;
            self.next - PAGE
        }

        /// Maps a fresh page with these bits, and gives its physical address.
        pub(crate) fn map(&mut self, address: u64, bits: u64) -> u64 {
            let mut table = ROOT;
            for shift in [39, 30, 21] {
                let slot = table + (address >> shift & 511) * 8;
                let entry = self
                    .memory()
                    .entry(table, usize::try_from(address >> shift & 511).unwrap())
                    .unwrap();
                table = if entry == 0 {
                    let fresh = self.take();
                    self.set(slot, &(fresh | PRESENT).to_le_bytes());
                    fresh
                } else {
                    entry & FRAME
                };
            }
            let page = self.take();
            self.set(table + (address >> 12 & 511) * 8, &(page | bits).to_le_bytes());
            page
        }
    }

    #[test]
    fn what_is_mapped_is_found_from_both_sides() {
        let mut ram = Ram::new();
        let one = ram.map(0xFFFF_A000_0000_1000, PRESENT);
        let two = ram.map(0xFFFF_A000_0000_2000, TRANSITION);
        ram.map(0xFFFF_A000_0000_3000, 0);
        ram.set(one + 0xFFC, b"abcd");
        ram.set(two, b"efgh");
        let memory = ram.memory();
        assert_eq!(memory.read(ROOT, 0xFFFF_A000_0000_1FFC, 8).unwrap(), b"abcdefgh");
        assert_eq!(memory.read(ROOT, 0xFFFF_A000_0000_2FFC, 8), None);
        let mapped = memory.mapped(ROOT);
        assert_eq!(
            mapped.pages,
            [(0xFFFF_A000_0000_1000, one), (0xFFFF_A000_0000_2000, two)]
        );
        assert_eq!(mapped.tables.len(), 4);
    }

    #[test]
    fn large_pages_translate_and_are_not_listed() {
        let mut ram = Ram::new();
        let (third, second) = (ram.take(), ram.take());
        ram.set(ROOT + 256 * 8, &(third | PRESENT).to_le_bytes());
        ram.set(third, &(second | PRESENT).to_le_bytes());
        ram.set(second, &(PRESENT | LARGE).to_le_bytes());
        ram.set(0x1_2345, b"x");
        let memory = ram.memory();
        assert_eq!(memory.translate(ROOT, 0xFFFF_8000_0001_2345), Some(0x1_2345));
        assert_eq!(memory.read(ROOT, 0xFFFF_8000_0001_2345, 1).unwrap(), b"x");
        assert!(memory.mapped(ROOT).pages.is_empty());
    }

    #[test]
    fn a_large_ram_has_a_hole_below_4_gib() {
        let file = tempfile::tempfile().unwrap();
        let memory = Memory::new(&file, LARGE_FROM);
        assert_eq!(
            memory.runs(),
            [(0, LOW_OF_LARGE), (HIGH, LARGE_FROM - LOW_OF_LARGE)]
        );
        file.set_len(LARGE_FROM).unwrap();
        file.write_all_at(b"high", LOW_OF_LARGE).unwrap();
        assert_eq!(memory.page(HIGH).unwrap()[..4], *b"high");
        assert_eq!(memory.page(LOW_OF_LARGE), None);
    }
}
