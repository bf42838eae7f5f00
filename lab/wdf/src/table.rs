//! The function table: 458 slots, each a function with the IRQLs that its declaration allows, or a trap that says which it is.

use crate::slot::{LENGTH, Slot};
use crate::{device, driver, file, init, lock, memory, object, queue, registry, request, timed};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use rundown_lab_kernel::export::Export;
use rundown_lab_kernel::ldr::export;

/// Everything that is implemented.
fn families() -> [&'static [Slot]; 11] {
    [
        device::functions::FUNCTIONS,
        driver::functions::FUNCTIONS,
        file::FUNCTIONS,
        init::FUNCTIONS,
        lock::FUNCTIONS,
        memory::FUNCTIONS,
        object::functions::FUNCTIONS,
        queue::functions::FUNCTIONS,
        registry::FUNCTIONS,
        request::functions::FUNCTIONS,
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
        let implemented = families()
            .into_iter()
            .flatten()
            .find(|slot| slot.index() == index);
        let export = match implemented {
            Some(slot) => slot.export(),
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
