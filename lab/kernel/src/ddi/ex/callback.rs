//! Callback objects.

use crate::ddi::irql_ranges::{APC, DISPATCH};
use crate::ddi::ob::ObjectAttributes;
use crate::ex::callback;
use crate::export::Export;
use crate::{callout, ldr, status};
use alloc::string::String;

unsafe extern "win64" fn ex_create_callback(
    result: *mut u64,
    attributes: *const ObjectAttributes,
    create: u8,
    multiple: u8,
) -> i32 {
    // SAFETY: the DDI: an OBJECT_ATTRIBUTES.
    let attributes = unsafe { &*attributes };
    // SAFETY: the DDI: its name is a string's address, or null.
    let name = unsafe { attributes.name.as_ref() };
    let name = name.map_or_else(String::new, |name| {
        // SAFETY: the DDI: its name is a valid string.
        unsafe { name.to_text() }
    });
    match callback::open(name, create != 0, multiple != 0) {
        Ok(object) => {
            // SAFETY: the DDI: room for a pointer.
            unsafe { result.write(object) };
            status::SUCCESS
        }
        Err(status) => status,
    }
}

unsafe extern "win64" fn ex_register_callback(object: u64, routine: u64, context: u64) -> u64 {
    callback::register(object, routine, context).unwrap_or(0)
}

unsafe extern "win64" fn ex_unregister_callback(handle: u64) {
    callback::unregister(handle);
}

unsafe extern "win64" fn ex_notify_callback(object: u64, first: u64, second: u64) {
    for (routine, context) in callback::routines(object) {
        callout::call_driver("callback", || {
            // SAFETY: it was registered as a CALLBACK_FUNCTION, which takes its context and two arguments.
            unsafe { ldr::call(routine, [context, first, second, 0]) };
        });
    }
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("ExCreateCallback", APC, ex_create_callback as *const ()),
    Export::function("ExRegisterCallback", APC, ex_register_callback as *const ()),
    Export::function("ExUnregisterCallback", APC, ex_unregister_callback as *const ()),
    Export::function("ExNotifyCallback", DISPATCH, ex_notify_callback as *const ()),
];
