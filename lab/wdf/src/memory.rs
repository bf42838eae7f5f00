//! Memory and string objects.

use crate::driver;
use crate::layout::ObjectAttributes;
use crate::object::{self, Allowed, Body, Kind, Object};
use crate::slot::Slot;
use crate::violation::require;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::mm::pool::{self, Placement, Tag};
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// A memory object's buffer.
pub struct Memory {
    buffer: u64,
    size: u64,
    /// It is pool of the object's own; otherwise a request's buffer.
    owned: bool,
}

/// A memory object for a request's buffer, which goes with the request.
///
/// # Errors
/// An NTSTATUS: memory is short.
pub fn of_request(request: &Arc<Object>, buffer: u64, size: u64) -> Result<Arc<Object>, i32> {
    let body = Memory {
        buffer,
        size,
        owned: false,
    };
    object::create(Kind::Memory, None, Some(request), body)
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
        owned: true,
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

/// Where a copy of `count` bytes begins in a memory object: fxmemorybufferapi.cpp's questions, in its order.
fn place(memory: u64, offset: u64, buffer: *const u8, count: u64) -> Result<u64, i32> {
    let object = object::find(memory, Kind::Memory);
    require(buffer, "Buffer");
    if count == 0 {
        return Err(status::INVALID_PARAMETER);
    }
    let end = offset.checked_add(count).ok_or(status::INTEGER_OVERFLOW)?;
    let body = object.memory();
    if end > body.size {
        return Err(status::BUFFER_TOO_SMALL);
    }
    Ok(body.buffer + offset)
}

unsafe extern "win64" fn copy_to_buffer(
    _globals: u64,
    memory: u64,
    offset: u64,
    buffer: *mut u8,
    count: u64,
) -> i32 {
    let source = match place(memory, offset, buffer, count) {
        Ok(source) => source as *const u8,
        Err(status) => return status,
    };
    // SAFETY: the source lies in the object's buffer; the declaration: room for as many bytes at the other.
    unsafe { source.copy_to(buffer, count as usize) };
    status::SUCCESS
}

unsafe extern "win64" fn copy_from_buffer(
    _globals: u64,
    memory: u64,
    offset: u64,
    buffer: *const u8,
    count: u64,
) -> i32 {
    let target = match place(memory, offset, buffer, count) {
        Ok(target) => target as *mut u8,
        Err(status) => return status,
    };
    // SAFETY: as above, the other way round.
    unsafe { target.copy_from(buffer, count as usize) };
    status::SUCCESS
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
    Slot::new(196, "WdfMemoryCopyToBuffer", 2, copy_to_buffer as *const ()),
    Slot::new(197, "WdfMemoryCopyFromBuffer", 2, copy_from_buffer as *const ()),
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
        if self.owned {
            object::free(self.buffer, "buffer of a WDFMEMORY");
        }
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
