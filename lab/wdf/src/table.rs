//! The function table: 458 slots, each a function with the IRQLs that its declaration allows, or a trap that says which it is.

use crate::{device, driver, file, init, lock, memory, object, queue, registry, request, timed};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use rundown_lab_kernel::export::Export;
use rundown_lab_kernel::ldr::export;

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
}

/// Everything that is implemented.
fn families() -> [&'static [Slot]; 11] {
    [
        device::FUNCTIONS,
        driver::FUNCTIONS,
        file::FUNCTIONS,
        init::FUNCTIONS,
        lock::FUNCTIONS,
        memory::FUNCTIONS,
        object::FUNCTIONS,
        queue::FUNCTIONS,
        registry::FUNCTIONS,
        request::FUNCTIONS,
        timed::FUNCTIONS,
    ]
}

/// Functions that the lab does not have, but knows by name; the others are named by their index.
const KNOWN: &[(usize, &str)] = &[
    (25, "WdfControlDeviceInitAllocate"),
    (26, "WdfControlDeviceInitSetShutdownNotification"),
    (27, "WdfControlFinishInitializing"),
    (446, "WdfFileObjectGetInitiatorProcessId"),
    (447, "WdfRequestGetRequestorProcessId"),
    (451, "WdfDriverOpenPersistentStateRegistryKey"),
    (452, "WdfDriverErrorReportApiMissing"),
    (457, "WdfDeviceSetDeviceInterfaceStateEx"),
];

/// The table as the driver gets it: the address of a thunk per slot. `None` when memory is short. It stays for ever.
pub fn build() -> Option<&'static [u64]> {
    let mut table: Vec<u64> = Vec::with_capacity(LENGTH);
    for index in 0..LENGTH {
        let implemented = families().into_iter().flatten().find(|slot| slot.index == index);
        let export = match implemented {
            Some(slot) => &slot.export,
            None => Box::leak(Box::new(Export::trap(trap_name(index)))),
        };
        table.push(export::bind(export)?);
    }
    Some(table.leak())
}

fn trap_name(index: usize) -> &'static str {
    let known = KNOWN
        .iter()
        .find(|(known, _)| *known == index)
        .map(|(_, name)| *name);
    let name = match known {
        Some(name) => format!("{name} (slot {index} of KMDF 1.31)"),
        None => format!("slot {index} of KMDF 1.31 (see wdffuncenum.h)"),
    };
    name.leak()
}
