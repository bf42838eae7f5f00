//! A slot of the function table.

use rundown_lab_kernel::export::Export;

/// `WdfFunctionTableNumEntries` of KMDF 1.31.
pub const LENGTH: usize = 458;

/// A function of the framework and its place in the table (wdffuncenum.h).
pub struct Slot {
    index: usize,
    export: Export,
}

impl Slot {
    /// A function that may be called up to the IRQL `most`.
    pub const fn new(index: usize, name: &'static str, most: u8, function: *const ()) -> Self {
        assert!(index < LENGTH);
        Self {
            index,
            export: Export::function(name, 0..=most, function),
        }
    }

    /// A function that needs at least the IRQL `least` as well.
    #[must_use]
    pub const fn at_least(mut self, least: u8) -> Self {
        self.export.irql = least..=*self.export.irql.end();
        self
    }

    /// A function that is called too often for chaos to delay it.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.export.chaos = false;
        self
    }

    /// Its place.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The function, as the driver's calls reach it.
    pub fn export(&'static self) -> &'static Export {
        &self.export
    }
}
