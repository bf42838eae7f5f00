//! Memory and string objects.

use crate::driver;
use crate::layout::ObjectAttributes;
use crate::object::{self, Allowed, Body, Kind, Object};
use crate::slot::Slot;
use crate::violation::{self, require, violation};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rundown_lab_kernel::io::mdl as mdls;
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::mm::mdl::{Mdl, flag};
use rundown_lab_kernel::mm::pool::{self, Placement, Tag};
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// A memory object's buffer.
pub struct Memory {
    buffer: AtomicU64,
    size: AtomicU64,
    /// Whose it is.
    whose: Whose,
}

/// Whose the buffer of a memory object is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Pool of the object's own.
    Own,
    /// A request's, or the framework's.
    Lent,
    /// The driver's, which may change it.
    Driver,
    /// What an MDL describes, which is the object's own.
    Mdl(u64),
}

impl Memory {
    /// Where its buffer is, and how long.
    pub fn buffer(&self) -> (u64, u64) {
        (self.buffer.load(Relaxed), self.size.load(Relaxed))
    }

    /// The MDL that describes it, if it has one.
    pub fn mdl(&self) -> Option<u64> {
        match self.whose {
            Whose::Mdl(mdl) => Some(mdl),
            _ => None,
        }
    }
}

/// A memory object for a request's buffer, which goes with the request.
///
/// # Errors
/// An NTSTATUS: memory is short.
pub fn of_request(request: &Arc<Object>, buffer: u64, size: u64) -> Result<Arc<Object>, i32> {
    let body = Memory {
        buffer: AtomicU64::new(buffer),
        size: AtomicU64::new(size),
        whose: Whose::Lent,
    };
    object::create(Kind::Memory, None, Some(request), body)
}

/// A memory object for what an MDL describes, which is mapped at `buffer`; both go with the request.
///
/// # Errors
/// An NTSTATUS: memory is short, and the MDL is gone.
pub fn of_mdl(request: &Arc<Object>, mdl: &'static Mdl, buffer: u64, size: u64) -> Result<Arc<Object>, i32> {
    let body = Memory {
        buffer: AtomicU64::new(buffer),
        size: AtomicU64::new(size),
        whose: Whose::Mdl(mdl.address()),
    };
    object::create(Kind::Memory, None, Some(request), body).inspect_err(|_| release(mdl))
}

/// An MDL that the framework made is no more needed.
pub fn release(mdl: &'static Mdl) {
    if mdl.flags() & flag::LOCKED != 0 {
        mdl.unlock();
    }
    mdls::free(mdl, 0);
}

/// A string object's text, zero-terminated.
pub struct Text {
    units: IrqLock<Vec<u16>>,
}

impl Text {
    /// Gives it another text. What a driver was given of the one before is gone.
    pub fn assign(&self, text: &str) {
        let units = text.encode_utf16().chain([0]).collect();
        let before = core::mem::replace(&mut *self.units.lock(), units);
        drop(before);
    }
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
        buffer: AtomicU64::new(memory as u64),
        size: AtomicU64::new(size),
        whose: Whose::Own,
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
        *size = object.memory().size.load(Relaxed);
    }
    object.memory().buffer.load(Relaxed)
}

unsafe extern "win64" fn create_preallocated(
    _globals: u64,
    attributes: *const ObjectAttributes,
    buffer: *const u8,
    size: u64,
    result: *mut u64,
) -> i32 {
    require(buffer, "Buffer");
    require(result, "Memory");
    if size == 0 {
        return status::INVALID_PARAMETER;
    }
    // SAFETY: the declaration: attributes or none.
    let attributes = match unsafe { object::attributes(attributes, Allowed::PLAIN) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    let body = Memory {
        buffer: AtomicU64::new(buffer as u64),
        size: AtomicU64::new(size),
        whose: Whose::Driver,
    };
    let created = object::create(Kind::Memory, attributes.as_ref(), driver::object().as_ref(), body);
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn assign_buffer(_globals: u64, memory: u64, buffer: *const u8, size: u64) -> i32 {
    let object = object::find(memory, Kind::Memory);
    require(buffer, "Buffer");
    if size == 0 {
        return status::INVALID_PARAMETER;
    }
    let body = object.memory();
    if body.whose != Whose::Driver {
        violation(
            violation::BAD_HANDLE,
            memory,
            0,
            format_args!(
                "WdfMemoryAssignBuffer was given a WDFMEMORY that WdfMemoryCreatePreallocated did not make"
            ),
        );
    }
    // Relaxed: the driver uses the object in one place at a time, or by locks of its own.
    body.buffer.store(buffer as u64, Relaxed);
    body.size.store(size, Relaxed);
    status::SUCCESS
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
    if end > body.size.load(Relaxed) {
        return Err(status::BUFFER_TOO_SMALL);
    }
    Ok(body.buffer.load(Relaxed) + offset)
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
            Text {
                units: IrqLock::new(units),
            },
        )
    });
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn get_unicode_string(_globals: u64, string: u64, result: *mut UnicodeString) {
    let object = object::find(string, Kind::String);
    let units = object.text().units.lock();
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
    Slot::new(
        193,
        "WdfMemoryCreatePreallocated",
        2,
        create_preallocated as *const (),
    ),
    Slot::new(194, "WdfMemoryGetBuffer", 2, get_buffer as *const ()),
    Slot::new(195, "WdfMemoryAssignBuffer", 2, assign_buffer as *const ()),
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
        match self.whose {
            Whose::Own => object::free(self.buffer.load(Relaxed), "buffer of a WDFMEMORY"),
            // SAFETY: `of_mdl` was given it, and this is its end.
            Whose::Mdl(mdl) => release(unsafe { Mdl::at(mdl) }),
            Whose::Lent | Whose::Driver => {}
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
