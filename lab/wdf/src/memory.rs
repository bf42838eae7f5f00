//! Memory and string objects.

use crate::driver;
use crate::layout::ObjectAttributes;
use crate::object::{self, Allowed, Body, Kind, Object};
use crate::slot::Slot;
use crate::violation::require;
use alloc::vec::Vec;
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::mm::pool::{self, Placement, Tag};
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// A memory object's buffer, in pool.
pub struct Memory {
    buffer: u64,
    size: u64,
}

/// A string object's text, zero-terminated.
pub struct Text {
    units: Vec<u16>,
}

unsafe extern "win64" fn create_memory(
    _globals: u64,
    attributes: *const ObjectAttributes,
    _pool_type: u32,
    tag: u32,
    size: u64,
    result: *mut u64,
    buffer: *mut u64,
) -> i32 {
    // SAFETY: the declaration: attributes or none.
    let attributes = match unsafe { object::attributes(attributes, Allowed::PLAIN) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    if size == 0 {
        return status::INVALID_PARAMETER;
    }
    let tag = if tag == 0 { object::tag() } else { Tag(tag) };
    let Some(memory) = pool::allocate(size, tag, false, Placement::Block, thread::current().caller()) else {
        return status::INSUFFICIENT_RESOURCES;
    };
    let body = Memory {
        buffer: memory as u64,
        size,
    };
    let created = object::create(Kind::Memory, attributes.as_ref(), driver::object().as_ref(), body)
        .inspect_err(|_| object::free(memory as u64, "buffer of a WDFMEMORY"));
    // SAFETY: the declaration: room for a pointer, or null.
    if let Some(buffer) = unsafe { buffer.as_mut() } {
        *buffer = if created.is_ok() { memory as u64 } else { 0 };
    }
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn get_buffer(_globals: u64, memory: u64, size: *mut u64) -> u64 {
    let object = object::find(memory, Kind::Memory);
    // SAFETY: the declaration: room for a size, or null.
    if let Some(size) = unsafe { size.as_mut() } {
        *size = object.memory().size;
    }
    object.memory().buffer
}

unsafe extern "win64" fn create_string(
    _globals: u64,
    source: *const UnicodeString,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: a valid UNICODE_STRING or null.
    let source = unsafe { source.as_ref() };
    // SAFETY: as above.
    let text = source
        .map(|source| unsafe { source.to_text() })
        .unwrap_or_default();
    let units = text.encode_utf16().chain([0]).collect();
    // SAFETY: the declaration: attributes or none.
    let created = unsafe { object::attributes(attributes, Allowed::PLAIN) }.and_then(|attributes| {
        object::create(
            Kind::String,
            attributes.as_ref(),
            driver::object().as_ref(),
            Text { units },
        )
    });
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn get_unicode_string(_globals: u64, string: u64, result: *mut UnicodeString) {
    let object = object::find(string, Kind::String);
    let units = &object.text().units;
    let length = (units.len() as u16 - 1) * 2;
    require(result, "UnicodeString");
    let value = UnicodeString {
        length,
        maximum_length: length + 2,
        buffer: units.as_ptr().cast_mut(),
    };
    // SAFETY: the declaration: room for a UNICODE_STRING.
    unsafe { result.write(value) };
}

/// `wdfmemory.h`, `wdfstring.h`.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(192, "WdfMemoryCreate", 2, create_memory as *const ()),
    Slot::new(194, "WdfMemoryGetBuffer", 2, get_buffer as *const ()),
    Slot::new(308, "WdfStringCreate", 0, create_string as *const ()),
    Slot::new(
        309,
        "WdfStringGetUnicodeString",
        0,
        get_unicode_string as *const (),
    ),
];

impl Body for Memory {
    fn destroy(&self) {
        object::free(self.buffer, "buffer of a WDFMEMORY");
    }
}

impl Body for Text {}

impl Object {
    /// Its body as a memory object.
    pub fn memory(&self) -> &Memory {
        self.body()
    }

    /// Its body as a string.
    pub fn text(&self) -> &Text {
        self.body()
    }
}
