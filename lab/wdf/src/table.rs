//! The function table: 458 slots, each a function with the IRQLs that its declaration allows, or a trap with its name.

use crate::names::NAMES;
use crate::slot::{LENGTH, Slot};
use crate::{
    collection, device, driver, file, init, lock, memory, object, queue, registry, request, target, timed,
    verifier,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use rundown_lab_kernel::export::Export;
use rundown_lab_kernel::ldr::export;

/// Everything that is implemented.
fn families() -> [&'static [Slot]; 18] {
    [
        collection::FUNCTIONS,
        device::control::FUNCTIONS,
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
        request::made::FUNCTIONS,
        request::user::FUNCTIONS,
        target::format::FUNCTIONS,
        target::functions::FUNCTIONS,
        timed::FUNCTIONS,
        verifier::FUNCTIONS,
    ]
}

/// Calls `f` with the name of each slot, and whether the lab has that function.
pub fn for_each(mut f: impl FnMut(&'static str, bool)) {
    for (index, name) in NAMES.into_iter().enumerate() {
        f(name, find(index).is_some());
    }
}

fn find(index: usize) -> Option<&'static Slot> {
    families()
        .into_iter()
        .flatten()
        .find(|slot| slot.index() == index)
}

/// The table as the driver gets it: the address of a thunk per slot. `None` when memory is short. It stays for ever.
pub fn build() -> Option<&'static [u64]> {
    let mut table: Vec<u64> = Vec::with_capacity(LENGTH);
    for (index, name) in NAMES.into_iter().enumerate() {
        let export = match find(index) {
            Some(slot) => slot.export(),
            None => Box::leak(Box::new(Export::trap(name).of("KMDF"))),
        };
        table.push(export::bind(export)?);
    }
    Some(table.leak())
}
