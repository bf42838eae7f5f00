//! Registry keys.

use crate::driver;
use crate::layout::ObjectAttributes;
use crate::object::{self, Allowed, Body, Kind, Object};
use crate::slot::Slot;
use crate::violation::require;
use alloc::string::String;
use rundown_lab_kernel::io::registry::{self, Data};
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// `KEY_QUERY_VALUE`, and the rights that it is a part of or that may stand for it: `GENERIC_READ`, `GENERIC_ALL`, `MAXIMUM_ALLOWED`.
const QUERY_VALUE: u32 = 0x1 | 0x8000_0000 | 0x1000_0000 | 0x0200_0000;

/// An open key.
pub struct Key {
    /// The whole path.
    path: String,
    /// What it was opened for.
    access: u32,
}

/// The text of a required string parameter.
///
/// # Safety
/// `string` is null or a valid `UNICODE_STRING`.
unsafe fn text(string: *const UnicodeString, name: &str) -> String {
    // SAFETY: the caller promises it.
    let string = unsafe { &*require(string, name) };
    // SAFETY: as above.
    unsafe { string.to_text() }
}

fn open(
    path: String,
    access: u32,
    attributes: Result<Option<ObjectAttributes>, i32>,
) -> Result<alloc::sync::Arc<object::Object>, i32> {
    let attributes = attributes?;
    if !registry::exists(&path) {
        return Err(status::OBJECT_NAME_NOT_FOUND);
    }
    object::create(
        Kind::Key,
        attributes.as_ref(),
        driver::object().as_ref(),
        Key { path, access },
    )
}

unsafe extern "win64" fn open_parameters(
    _globals: u64,
    handle: u64,
    access: u32,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    object::find(handle, Kind::Driver);
    // SAFETY: the declaration: attributes or none.
    let attributes = unsafe { object::attributes(attributes, Allowed::PLAIN) };
    let key = open(driver::parameters_key(), access, attributes);
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(key, result) }
}

unsafe extern "win64" fn open_key(
    _globals: u64,
    parent: u64,
    name: *const UnicodeString,
    access: u32,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: a valid UNICODE_STRING.
    let name = unsafe { text(name, "KeyName") };
    let path = match parent {
        0 => name,
        parent => object::find(parent, Kind::Key).key().path.clone() + "\\" + &name,
    };
    // SAFETY: the declaration: attributes or none.
    let attributes = unsafe { object::attributes(attributes, Allowed::PLAIN) };
    let key = open(path, access, attributes);
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(key, result) }
}

unsafe extern "win64" fn close(_globals: u64, key: u64) {
    object::find(key, Kind::Key).delete();
}

/// A value of an open key.
fn query(key: u64, name: &str) -> Result<Data, i32> {
    let object = object::find(key, Kind::Key);
    let key = object.key();
    if key.access & QUERY_VALUE == 0 {
        return Err(status::ACCESS_DENIED);
    }
    registry::query(&key.path, name).ok_or(status::OBJECT_NAME_NOT_FOUND)
}

unsafe extern "win64" fn query_ulong(
    _globals: u64,
    key: u64,
    name: *const UnicodeString,
    value: *mut u32,
) -> i32 {
    // SAFETY: the declaration: a valid UNICODE_STRING.
    let name = unsafe { text(name, "ValueName") };
    require(value, "Value");
    match query(key, &name) {
        Ok(Data::Dword(found)) => {
            // SAFETY: the declaration: room for a ULONG.
            unsafe { value.write(found) };
            status::SUCCESS
        }
        Ok(_) => status::OBJECT_TYPE_MISMATCH,
        Err(status) => status,
    }
}

unsafe extern "win64" fn query_unicode_string(
    _globals: u64,
    key: u64,
    name: *const UnicodeString,
    length: *mut u16,
    value: *mut UnicodeString,
) -> i32 {
    // SAFETY: the declaration: a valid UNICODE_STRING.
    let name = unsafe { text(name, "ValueName") };
    // SAFETY: the declaration: a UNICODE_STRING with a buffer, or null.
    let value = unsafe { value.as_mut() };
    if value
        .as_ref()
        .is_some_and(|value| !is_sound(value) || value.maximum_length == 0)
    {
        return status::INVALID_PARAMETER;
    }
    let data = match query(key, &name) {
        Ok(data @ Data::Text(_)) => data.bytes(),
        Ok(_) => return status::OBJECT_TYPE_MISMATCH,
        Err(status) => return status,
    };
    // SAFETY: the declaration: room for a USHORT, or null.
    if let Some(length) = unsafe { length.as_mut() } {
        *length = data.len() as u16;
    }
    let Some(value) = value else {
        return status::BUFFER_OVERFLOW;
    };
    if usize::from(value.maximum_length) < data.len() {
        return status::BUFFER_OVERFLOW;
    }
    // SAFETY: the buffer has at least `maximum_length` bytes.
    unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), value.buffer.cast(), data.len()) };
    value.length = data.len() as u16 - 2;
    status::SUCCESS
}

/// What `FxValidateUnicodeString` asks of a string that a driver passes (fxvalidatefunctions.hpp).
fn is_sound(string: &UnicodeString) -> bool {
    let (length, maximum) = (string.length, string.maximum_length);
    let even = length.is_multiple_of(2) && maximum.is_multiple_of(2);
    even && length <= maximum && (maximum == 0 || !string.buffer.is_null())
}

unsafe extern "win64" fn query_value(
    _globals: u64,
    key: u64,
    name: *const UnicodeString,
    capacity: u32,
    value: *mut u8,
    length: *mut u32,
    kind: *mut u32,
) -> i32 {
    // SAFETY: the declaration: a valid UNICODE_STRING.
    let name = unsafe { text(name, "ValueName") };
    let data = match query(key, &name) {
        Ok(data) => data,
        Err(status) => return status,
    };
    let bytes = data.bytes();
    // SAFETY: the declaration: room for a ULONG, or null.
    if let Some(length) = unsafe { length.as_mut() } {
        *length = bytes.len() as u32;
    }
    // SAFETY: as above.
    if let Some(kind) = unsafe { kind.as_mut() } {
        *kind = data.kind();
    }
    if value.is_null() || (capacity as usize) < bytes.len() {
        return status::BUFFER_OVERFLOW;
    }
    // SAFETY: the declaration: room for `capacity` bytes.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), value, bytes.len()) };
    status::SUCCESS
}

/// `wdfregistry.h`, and the parameters key of `wdfdriver.h`.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(
        119,
        "WdfDriverOpenParametersRegistryKey",
        0,
        open_parameters as *const (),
    ),
    Slot::new(229, "WdfRegistryOpenKey", 0, open_key as *const ()),
    Slot::new(231, "WdfRegistryClose", 0, close as *const ()),
    Slot::new(235, "WdfRegistryQueryValue", 0, query_value as *const ()),
    Slot::new(
        238,
        "WdfRegistryQueryUnicodeString",
        0,
        query_unicode_string as *const (),
    ),
    Slot::new(240, "WdfRegistryQueryULong", 0, query_ulong as *const ()),
];

impl Body for Key {}

impl Object {
    /// Its body as a key.
    pub fn key(&self) -> &Key {
        self.body()
    }
}
