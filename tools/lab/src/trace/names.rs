//! What addresses and texts of a timeline are called.

use crate::symbols::{DriverSymbols, KernelSymbols};
use lab_wire::trace::Name;
use object::{Object as _, ObjectSegment as _};

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

    /// The function at `address`, without its path.
    pub(super) fn function(&self, address: u64) -> String {
        let (base, size) = self.driver;
        let offset = address.checked_sub(base).filter(|&offset| offset < size);
        let located = match offset.and_then(|offset| u32::try_from(offset).ok()) {
            Some(offset) => self
                .driver_symbols
                .and_then(|symbols| symbols.locate(&[offset]).pop()),
            None => self.kernel_symbols.map(|symbols| symbols.locate(address)),
        };
        let function = located.and_then(|mut frames| frames.pop()?.function);
        function.unwrap_or_else(|| format!("{address:#x}"))
    }
}
