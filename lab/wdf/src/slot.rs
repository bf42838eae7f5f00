//! A slot of the function table.

use crate::names::NAMES;
use rundown_lab_kernel::export::Export;

/// `WdfFunctionTableNumEntries` of KMDF 1.31, and of 1.33.
pub const LENGTH: usize = NAMES.len();

/// Whether two texts are the same, in a constant.
const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut index = 0;
    while index < left.len() && index < right.len() && left[index] == right[index] {
        index += 1;
    }
    index == left.len() && index == right.len()
}

/// A function of the framework and its place in the table (wdffuncenum.h).
pub struct Slot {
    index: usize,
    export: Export,
}

impl Slot {
    /// A function that may be called up to the IRQL `most`; its name is the one that [`NAMES`] has for its slot.
    pub const fn new(index: usize, name: &'static str, most: u8, function: *const ()) -> Self {
        assert!(same(name, NAMES[index]), "the slot has another function");
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
