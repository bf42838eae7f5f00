//! Collections of objects: `wdfcollection.h`. The rules are fxcollection.cpp's and fxcollectionapi.cpp's.

use crate::driver;
use crate::layout::ObjectAttributes;
use crate::object::{self, Allowed, Body, Kind, Object};
use crate::slot::Slot;
use crate::violation::{self, require, routine, violation};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::status;

/// A collection, which references what is in it.
pub struct Collection {
    items: IrqLock<Vec<Arc<Object>>>,
}

unsafe extern "win64" fn create(_globals: u64, attributes: *const ObjectAttributes, result: *mut u64) -> i32 {
    require(result, "Collection");
    // SAFETY: the declaration: room for a handle.
    unsafe { result.write(0) };
    // SAFETY: the declaration: attributes or none.
    let created = unsafe { object::attributes(attributes, Allowed::PLAIN) }.and_then(|attributes| {
        let body = Collection {
            items: IrqLock::new(Vec::new()),
        };
        object::create(
            Kind::Collection,
            attributes.as_ref(),
            driver::object().as_ref(),
            body,
        )
    });
    // SAFETY: as above.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn get_count(_globals: u64, collection: u64) -> u32 {
    with(collection, |items| items.len() as u32)
}

unsafe extern "win64" fn add(_globals: u64, collection: u64, item: u64) -> i32 {
    let item = object::any(item);
    item.reference();
    with(collection, |items| items.push(item));
    status::SUCCESS
}

/// Takes an item out. One that is not there breaks into the debugger on Windows, under the verifier.
fn take(collection: u64, index: impl FnOnce(&[Arc<Object>]) -> Option<usize>) {
    let taken = with(collection, |items| index(items).map(|index| items.remove(index)));
    match taken {
        Some(item) => item.dereference(),
        None => violation(
            violation::RULE,
            collection,
            0,
            format_args!("{} was given an item that is not in the WDFCOLLECTION", routine()),
        ),
    }
}

unsafe extern "win64" fn remove(_globals: u64, collection: u64, item: u64) {
    let item = object::any(item);
    take(collection, |items| {
        items.iter().position(|own| own.handle() == item.handle())
    });
}

unsafe extern "win64" fn remove_item(_globals: u64, collection: u64, index: u32) {
    let index = index as usize;
    take(collection, |items| {
        Some(index).filter(|&index| index < items.len())
    });
}

unsafe extern "win64" fn get_item(_globals: u64, collection: u64, index: u32) -> u64 {
    handle_of(collection, |items| items.get(index as usize))
}

unsafe extern "win64" fn get_first_item(_globals: u64, collection: u64) -> u64 {
    handle_of(collection, <[_]>::first)
}

unsafe extern "win64" fn get_last_item(_globals: u64, collection: u64) -> u64 {
    handle_of(collection, <[_]>::last)
}

fn handle_of(collection: u64, find: impl FnOnce(&[Arc<Object>]) -> Option<&Arc<Object>>) -> u64 {
    with(collection, |items| find(items).map_or(0, |item| item.handle()))
}

fn with<R>(collection: u64, change: impl FnOnce(&mut Vec<Arc<Object>>) -> R) -> R {
    let object = object::find(collection, Kind::Collection);
    let mut items = object.body::<Collection>().items.lock();
    change(&mut items)
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(13, "WdfCollectionCreate", 2, create as *const ()),
    Slot::new(14, "WdfCollectionGetCount", 2, get_count as *const ()),
    Slot::new(15, "WdfCollectionAdd", 2, add as *const ()),
    Slot::new(16, "WdfCollectionRemove", 2, remove as *const ()),
    Slot::new(17, "WdfCollectionRemoveItem", 2, remove_item as *const ()),
    Slot::new(18, "WdfCollectionGetItem", 2, get_item as *const ()),
    Slot::new(19, "WdfCollectionGetFirstItem", 2, get_first_item as *const ()),
    Slot::new(20, "WdfCollectionGetLastItem", 2, get_last_item as *const ()),
];

impl Body for Collection {
    /// What is in it is referenced until the collection itself is gone (fxcollection.cpp, the destructor).
    fn destroy(&self) {
        let items = core::mem::take(&mut *self.items.lock());
        for item in items {
            item.dereference();
        }
    }
}
