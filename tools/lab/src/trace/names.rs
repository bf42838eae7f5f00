//! What addresses and texts of a timeline are called.

use crate::symbols::{DriverSymbols, KernelSymbols, Location};
use lab_wire::trace::Name;
use object::{Object as _, ObjectSegment as _};
use std::collections::{BTreeSet, HashMap};

/// Where names come from.
pub struct Names<'a> {
    /// The lab's kernel, an ELF: it has the texts of [`Name`]s.
    pub kernel: &'a [u8],
    /// Its symbols.
    pub kernel_symbols: Option<&'a KernelSymbols>,
    /// The driver's.
    pub driver_symbols: Option<&'a DriverSymbols>,
    /// Where the driver lies, and its size.
    pub driver: (u64, u64),
}

impl Names<'_> {
    /// The text that a word names.
    pub(super) fn text(&self, word: u64) -> String {
        let (address, length) = Name(word).place();
        let read = || {
            let file = object::File::parse(self.kernel).ok()?;
            let bytes = file
                .segments()
                .find_map(|segment| segment.data_range(address, length as u64).ok().flatten())?;
            String::from_utf8(bytes.to_vec()).ok()
        };
        read().unwrap_or_else(|| format!("{address:#x}"))
    }

    /// The functions at these addresses. All at once: each question to the PDB begins with reading it.
    pub(super) fn functions(&self, addresses: &BTreeSet<u64>) -> HashMap<u64, String> {
        let (base, size) = self.driver;
        let offset = |&address: &u64| {
            let offset = address.checked_sub(base).filter(|&offset| offset < size)?;
            Some((address, u32::try_from(offset).ok()?))
        };
        let (ours, offsets): (Vec<u64>, Vec<u32>) = addresses.iter().filter_map(offset).unzip();
        let located = self.driver_symbols.map(|symbols| symbols.locate(&offsets));
        let mut found: HashMap<u64, Vec<Location>> =
            ours.iter().copied().zip(located.unwrap_or_default()).collect();
        let named = |address: u64| {
            let frames = found.remove(&address);
            let frames = frames.or_else(|| {
                let kernels = self.kernel_symbols.filter(|_| offset(&address).is_none());
                kernels.map(|symbols| symbols.locate(address))
            });
            let function = frames.and_then(|mut frames| frames.pop()?.function);
            (address, function.unwrap_or_else(|| format!("{address:#x}")))
        };
        addresses.iter().copied().map(named).collect()
    }
}
