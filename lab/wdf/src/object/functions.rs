//! `wdfobject.h`.

use super::attributes::unique;
use super::attributes::{Allowed, attributes};
use super::core::Plain;
use super::handle::any;
use super::kind::Kind;
use super::tree::{CONTEXTS, answer, create};
use crate::driver;
use crate::layout::{ContextType, ObjectAttributes};
use crate::slot::Slot;
use crate::violation::{self, violation};
use rundown_lab_kernel::status;

unsafe extern "win64" fn get_typed_context(
    _globals: u64,
    handle: u64,
    context_type: *const ContextType,
) -> u64 {
    any(handle).context(unique(context_type)).unwrap_or(0)
}

unsafe extern "win64" fn allocate_context(
    _globals: u64,
    handle: u64,
    context_attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    violation::require(context_attributes, "ContextAttributes");
    // SAFETY: the declaration: attributes.
    let added = unsafe { attributes(context_attributes, Allowed::NO_PARENT) }.and_then(|attributes| {
        let attributes = attributes.filter(|attributes| attributes.context_type != 0);
        any(handle).add_context(&attributes.ok_or(status::OBJECT_NAME_INVALID)?)
    });
    match added {
        Ok((memory, new)) => {
            // SAFETY: the declaration: room for a pointer, or null.
            if let Some(result) = unsafe { result.as_mut() } {
                *result = memory;
            }
            if new {
                status::SUCCESS
            } else {
                status::OBJECT_NAME_EXISTS
            }
        }
        Err(status) => status,
    }
}

unsafe extern "win64" fn context_get_object(_globals: u64, context: u64) -> u64 {
    let handle = CONTEXTS.lock().get(&context).copied();
    handle.unwrap_or_else(|| {
        violation(
            violation::BAD_HANDLE,
            context,
            0,
            format_args!("WdfObjectContextGetObject was given {context:#x}, which is no context"),
        )
    })
}

unsafe extern "win64" fn reference(_globals: u64, handle: u64, _tag: u64, _line: i32, _file: u64) {
    any(handle).reference();
}

unsafe extern "win64" fn dereference(_globals: u64, handle: u64, _tag: u64, _line: i32, _file: u64) {
    any(handle).dereference();
}

unsafe extern "win64" fn object_create(
    _globals: u64,
    given: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: attributes or none.
    let object = unsafe { attributes(given, Allowed::PLAIN.and_level()) }
        .and_then(|given| create(Kind::General, given.as_ref(), driver::object().as_ref(), Plain));
    // SAFETY: the declaration: room for a handle.
    unsafe { answer(object, result) }
}

unsafe extern "win64" fn delete(_globals: u64, handle: u64) {
    let object = any(handle);
    if object.kind == Kind::Device && object.device().stack.is_none() {
        return crate::device::control::delete(&object);
    }
    let deletable = match object.kind {
        Kind::Queue => !crate::queue::is_default(&object),
        Kind::Request => !object.request().has_arrived(),
        Kind::IoTarget => !crate::target::is_local(&object),
        kind => kind.deletable(),
    };
    if !deletable {
        violation(
            violation::RULE,
            handle,
            0,
            format_args!(
                "WdfObjectDelete was given a {}, which only the framework deletes",
                object.kind.name()
            ),
        );
    }
    object.delete();
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(
        202,
        "WdfObjectGetTypedContextWorker",
        3,
        get_typed_context as *const (),
    )
    .quiet(),
    Slot::new(203, "WdfObjectAllocateContext", 2, allocate_context as *const ()),
    Slot::new(
        204,
        "WdfObjectContextGetObject",
        3,
        context_get_object as *const (),
    )
    .quiet(),
    Slot::new(205, "WdfObjectReferenceActual", 2, reference as *const ()),
    Slot::new(206, "WdfObjectDereferenceActual", 2, dereference as *const ()),
    Slot::new(207, "WdfObjectCreate", 2, object_create as *const ()),
    Slot::new(208, "WdfObjectDelete", 2, delete as *const ()),
];
