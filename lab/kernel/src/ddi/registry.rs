//! The registry by handles, and by the run-time library's paths.
//!
//! What is asked for comes as one of several structures, whose layouts are wdm.h's: a fixed part, then what fits of the rest. A handle's access
//! is not looked at, for a driver's `Zw` routines run in kernel mode.

use super::irql_ranges::PASSIVE;
use super::ob::{self, Object, ObjectAttributes};
use crate::bug::{self, code};
use crate::export::Export;
use crate::io::registry::{self, Data};
use crate::ke::thread;
use crate::rtl::UnicodeString;
use crate::status;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// `REG_CREATED_NEW_KEY` and `REG_OPENED_EXISTING_KEY`.
const CREATED: u32 = 1;
const OPENED: u32 = 2;

/// The path that a handle is to; what is no key's handle is none.
fn path_of(handle: u64) -> Result<Arc<str>, i32> {
    match ob::object(handle) {
        Some(Object::Key(path)) if registry::exists(&path) => Ok(path),
        Some(Object::Key(_)) => Err(status::KEY_DELETED),
        Some(Object::Thread(_) | Object::File(_)) => Err(status::OBJECT_TYPE_MISMATCH),
        None => Err(status::INVALID_HANDLE),
    }
}

/// A string parameter's text.
fn text(string: *const UnicodeString) -> String {
    // SAFETY: the DDI asks for a valid UNICODE_STRING, here and below.
    let string = unsafe { string.read() };
    // SAFETY: its buffer holds its length.
    unsafe { string.to_text() }
}

/// The path that attributes name, absolute or below another key.
fn named(attributes: *const ObjectAttributes) -> Result<String, i32> {
    // SAFETY: the DDI asks for an OBJECT_ATTRIBUTES there.
    let attributes = unsafe { &*attributes };
    // SAFETY: the DDI: its name is a valid string.
    let name = unsafe { attributes.name.as_ref() }
        .map(|name| {
            // SAFETY: as above.
            unsafe { name.to_text() }
        })
        .unwrap_or_default();
    match attributes.root {
        0 if name.starts_with('\\') => Ok(name),
        0 => Err(status::OBJECT_PATH_SYNTAX_BAD),
        root if name.is_empty() => Ok(path_of(root)?.as_ref().into()),
        root => Ok(alloc::format!("{}\\{name}", path_of(root)?)),
    }
}

/// Opens the key of that path.
///
/// # Safety
/// `handle` has room for a handle.
pub unsafe fn open_key(handle: *mut u64, path: &str) {
    let opened = ob::open_handle(Object::Key(path.into()), thread::current().caller());
    // SAFETY: the caller promises it.
    unsafe { handle.write(opened) };
}

/// An NTSTATUS of what may fail.
fn status_of(result: Result<i32, i32>) -> i32 {
    result.unwrap_or_else(|status| status)
}

unsafe extern "win64" fn zw_open_key(
    handle: *mut u64,
    _access: u32,
    attributes: *const ObjectAttributes,
) -> i32 {
    ob::check_attributes(attributes);
    status_of(named(attributes).and_then(|path| {
        if !registry::exists(&path) {
            return Err(status::OBJECT_NAME_NOT_FOUND);
        }
        // SAFETY: the DDI asks for room for a handle.
        unsafe { open_key(handle, &path) };
        Ok(status::SUCCESS)
    }))
}

unsafe extern "win64" fn zw_create_key(
    handle: *mut u64,
    _access: u32,
    attributes: *const ObjectAttributes,
    _title_index: u32,
    _class: *const UnicodeString,
    _options: u32,
    disposition: *mut u32,
) -> i32 {
    ob::check_attributes(attributes);
    status_of(named(attributes).and_then(|path| {
        let created = registry::create(&path)?;
        // SAFETY: the DDI asks for room for a handle.
        unsafe { open_key(handle, &path) };
        // SAFETY: the DDI: room for a ULONG, or null.
        if let Some(disposition) = unsafe { disposition.as_mut() } {
            *disposition = if created { CREATED } else { OPENED };
        }
        Ok(status::SUCCESS)
    }))
}

/// Where a routine writes what it was asked for.
struct Answer {
    buffer: *mut u8,
    room: u32,
    length: *mut u32,
}

impl Answer {
    /// Writes `whole`, of which the first `fixed` bytes must fit, and the rest may be cut off.
    fn write(self, whole: &[u8], fixed: usize) -> Result<i32, i32> {
        // SAFETY: the DDI: room for a ULONG.
        unsafe { self.length.write(whole.len() as u32) };
        let room = self.room as usize;
        if room < fixed {
            return Err(status::BUFFER_TOO_SMALL);
        }
        let count = whole.len().min(room);
        // SAFETY: the DDI: room for as many bytes as the driver says.
        unsafe { self.buffer.copy_from(whole.as_ptr(), count) };
        if count < whole.len() {
            return Err(status::BUFFER_OVERFLOW);
        }
        Ok(status::SUCCESS)
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Numbers, one after the other.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A value as `KEY_VALUE_BASIC_INFORMATION`, `..._FULL_...` or `..._PARTIAL_...`.
fn write_value(name: &str, data: &Data, class: u32, answer: Answer) -> Result<i32, i32> {
    let (name, bytes) = (utf16(name), data.bytes());
    match class {
        0 => {
            let fixed = words(&[0, data.kind(), name.len() as u32]);
            answer.write(&[fixed, name].concat(), 12)
        }
        1 => {
            let offset = (20 + name.len()).next_multiple_of(4);
            let fixed = words(&[
                0,
                data.kind(),
                offset as u32,
                bytes.len() as u32,
                name.len() as u32,
            ]);
            let mut whole = [fixed, name].concat();
            whole.resize(offset, 0);
            answer.write(&[whole, bytes].concat(), 20)
        }
        2 => {
            let fixed = words(&[0, data.kind(), bytes.len() as u32]);
            answer.write(&[fixed, bytes].concat(), 12)
        }
        _ => Err(status::INVALID_PARAMETER),
    }
}

unsafe extern "win64" fn zw_query_value_key(
    handle: u64,
    name: *const UnicodeString,
    class: u32,
    buffer: *mut u8,
    room: u32,
    length: *mut u32,
) -> i32 {
    let name = text(name);
    status_of(path_of(handle).and_then(|path| {
        let data = registry::query(&path, &name).ok_or(status::OBJECT_NAME_NOT_FOUND)?;
        let answer = Answer { buffer, room, length };
        write_value(&name, &data, class, answer)
    }))
}

unsafe extern "win64" fn zw_enumerate_value_key(
    handle: u64,
    index: u32,
    class: u32,
    buffer: *mut u8,
    room: u32,
    length: *mut u32,
) -> i32 {
    status_of(path_of(handle).and_then(|path| {
        let values = registry::values(&path);
        let (name, data) = values.get(index as usize).ok_or(status::NO_MORE_ENTRIES)?;
        let answer = Answer { buffer, room, length };
        write_value(name, data, class, answer)
    }))
}

/// The longest of some texts, in bytes of UTF-16.
fn longest<'a>(texts: impl Iterator<Item = &'a str>) -> u32 {
    texts.map(|text| utf16(text).len() as u32).max().unwrap_or(0)
}

/// A key as `KEY_BASIC_INFORMATION`, `KEY_NODE_INFORMATION` or `KEY_FULL_INFORMATION`; nothing was ever written at any time, and there are no classes.
fn write_key(path: &str, class: u32, answer: Answer) -> Result<i32, i32> {
    let name = utf16(path.rsplit('\\').next().unwrap_or_default());
    match class {
        0 => {
            let fixed = words(&[0, 0, 0, name.len() as u32]);
            answer.write(&[fixed, name].concat(), 16)
        }
        1 => {
            let fixed = words(&[0, 0, 0, u32::MAX, 0, name.len() as u32]);
            answer.write(&[fixed, name].concat(), 24)
        }
        2 => {
            let (keys, values) = (registry::keys_below(path), registry::values(path));
            let data = values.iter().map(|value| value.1.bytes().len() as u32).max();
            let whole = words(&[
                0,
                0,
                0,
                u32::MAX,
                0,
                keys.len() as u32,
                longest(keys.iter().map(String::as_str)),
                0,
                values.len() as u32,
                longest(values.iter().map(|value| value.0.as_str())),
                data.unwrap_or(0),
            ]);
            answer.write(&whole, 44)
        }
        _ => Err(status::INVALID_PARAMETER),
    }
}

unsafe extern "win64" fn zw_query_key(
    handle: u64,
    class: u32,
    buffer: *mut u8,
    room: u32,
    length: *mut u32,
) -> i32 {
    let answer = Answer { buffer, room, length };
    status_of(path_of(handle).and_then(|path| write_key(&path, class, answer)))
}

unsafe extern "win64" fn zw_enumerate_key(
    handle: u64,
    index: u32,
    class: u32,
    buffer: *mut u8,
    room: u32,
    length: *mut u32,
) -> i32 {
    status_of(path_of(handle).and_then(|path| {
        let keys = registry::keys_below(&path);
        let name = keys.get(index as usize).ok_or(status::NO_MORE_ENTRIES)?;
        let answer = Answer { buffer, room, length };
        write_key(&alloc::format!("{path}\\{name}"), class, answer)
    }))
}

unsafe extern "win64" fn zw_set_value_key(
    handle: u64,
    name: *const UnicodeString,
    _title_index: u32,
    kind: u32,
    data: *const u8,
    size: u32,
) -> i32 {
    let name = text(name);
    status_of(path_of(handle).map(|path| {
        // SAFETY: the DDI: so many bytes.
        registry::set(&path, &name, unsafe { stored(kind, data, size) });
        status::SUCCESS
    }))
}

/// # Safety
/// `size` bytes can be read.
unsafe fn stored(kind: u32, data: *const u8, size: u32) -> Data {
    if size == 0 {
        return Data::of(kind, &[]);
    }
    // SAFETY: the caller promises it.
    Data::of(kind, unsafe { core::slice::from_raw_parts(data, size as usize) })
}

unsafe extern "win64" fn zw_delete_value_key(handle: u64, name: *const UnicodeString) -> i32 {
    let name = text(name);
    status_of(path_of(handle).and_then(|path| {
        let removed = registry::remove(&path, &name);
        removed
            .then_some(status::SUCCESS)
            .ok_or(status::OBJECT_NAME_NOT_FOUND)
    }))
}

unsafe extern "win64" fn zw_delete_key(handle: u64) -> i32 {
    status_of(path_of(handle).and_then(|path| registry::delete(&path).map(|()| status::SUCCESS)))
}

unsafe extern "win64" fn zw_flush_key(handle: u64) -> i32 {
    status_of(path_of(handle).map(|_| status::SUCCESS))
}

/// What `RelativeTo` names, without `RTL_REGISTRY_OPTIONAL` (ntddk.h).
const RELATIVE: [&str; 5] = [
    "",
    "\\Registry\\Machine\\System\\CurrentControlSet\\Services",
    "\\Registry\\Machine\\System\\CurrentControlSet\\Control",
    "\\Registry\\Machine\\Software\\Microsoft\\Windows NT\\CurrentVersion",
    "\\Registry\\Machine\\Hardware\\DeviceMap",
];
/// `RTL_REGISTRY_HANDLE`: the path is a handle.
const HANDLE: u32 = 0x4000_0000;
const OPTIONAL: u32 = 0x8000_0000;

/// The path that the run-time library's routines are told.
///
/// # Safety
/// `path` is a handle or a terminated text, as `relative_to` says.
unsafe fn library_path(relative_to: u32, path: u64) -> Result<String, i32> {
    if relative_to & HANDLE != 0 {
        return Ok(path_of(path)?.as_ref().into());
    }
    let base = RELATIVE
        .get((relative_to & !OPTIONAL) as usize)
        .ok_or(status::INVALID_PARAMETER)?;
    // SAFETY: the caller promises it.
    let rest = unsafe { terminated(path as *const u16) };
    Ok(match (base.is_empty(), rest.is_empty()) {
        (true, _) => rest,
        (_, true) => (*base).into(),
        _ => alloc::format!("{base}\\{rest}"),
    })
}

/// # Safety
/// `text` is terminated, or null.
unsafe fn terminated(text: *const u16) -> String {
    let mut units = Vec::new();
    if !text.is_null() {
        // SAFETY: the caller promises it.
        while let unit @ 1.. = unsafe { text.wrapping_add(units.len()).read_unaligned() } {
            units.push(unit);
        }
    }
    String::from_utf16_lossy(&units)
}

unsafe extern "win64" fn rtl_write_registry_value(
    relative_to: u32,
    path: u64,
    name: *const u16,
    kind: u32,
    data: *const u8,
    size: u32,
) -> i32 {
    // SAFETY: the DDI: terminated texts, here and below.
    let path = unsafe { library_path(relative_to, path) };
    // SAFETY: as above.
    let name = unsafe { terminated(name) };
    status_of(path.and_then(|path| {
        registry::create(&path)?;
        // SAFETY: the DDI: so many bytes.
        registry::set(&path, &name, unsafe { stored(kind, data, size) });
        Ok(status::SUCCESS)
    }))
}

unsafe extern "win64" fn rtl_delete_registry_value(relative_to: u32, path: u64, name: *const u16) -> i32 {
    // SAFETY: as above.
    let path = unsafe { library_path(relative_to, path) };
    // SAFETY: as above.
    let name = unsafe { terminated(name) };
    status_of(path.and_then(|path| {
        let removed = registry::remove(&path, &name);
        removed
            .then_some(status::SUCCESS)
            .ok_or(status::OBJECT_NAME_NOT_FOUND)
    }))
}

unsafe extern "win64" fn rtl_check_registry_key(relative_to: u32, path: u64) -> i32 {
    // SAFETY: as above.
    status_of(unsafe { library_path(relative_to, path) }.and_then(|path| {
        let there = registry::exists(&path);
        there
            .then_some(status::SUCCESS)
            .ok_or(status::OBJECT_NAME_NOT_FOUND)
    }))
}

unsafe extern "win64" fn rtl_create_registry_key(relative_to: u32, path: u64) -> i32 {
    // SAFETY: as above.
    status_of(
        unsafe { library_path(relative_to, path) }
            .and_then(|path| registry::create(&path).map(|_| status::SUCCESS)),
    )
}

/// `RTL_QUERY_REGISTRY_TABLE`, 0x38 bytes.
#[repr(C)]
struct Query {
    routine: u64,
    flags: u32,
    name: *const u16,
    context: u64,
    default_type: u32,
    default_data: *const u8,
    default_length: u32,
}

const _: () = assert!(size_of::<Query>() == 0x38);

/// `RTL_QUERY_REGISTRY_...` (wdm.h).
mod query_flag {
    pub(super) const REQUIRED: u32 = 0x04;
    pub(super) const DIRECT: u32 = 0x20;
    pub(super) const TYPECHECK: u32 = 0x100;
    /// `SUBKEY`, `TOPKEY`, `NOVALUE` and `DELETE`, which the lab does not follow.
    pub(super) const OTHERS: u32 = 0x01 | 0x02 | 0x08 | 0x40;
}

/// `REG_EXPAND_SZ`.
const REG_EXPAND_SZ: u32 = 2;

/// One entry: where the value goes by itself. "If the specified value does not match" what `TYPECHECK` says, it is an error.
///
/// # Safety
/// The entry is one that the DDI allows.
unsafe fn query_directly(path: &str, query: &Query) -> Result<i32, i32> {
    // SAFETY: the caller promises a terminated name.
    let name = unsafe { terminated(query.name) };
    let found = registry::query(path, &name);
    let data = match found {
        Some(data) => data,
        // REG_NONE is no default ("RTL_QUERY_REGISTRY_TABLE"); above it is the type that TYPECHECK asks for.
        None if query.default_type & 0xFF != 0 && !query.default_data.is_null() => {
            // SAFETY: the caller promises so many bytes.
            unsafe {
                stored(
                    query.default_type & 0xFF,
                    query.default_data,
                    query.default_length,
                )
            }
        }
        None if query.flags & query_flag::REQUIRED != 0 => return Err(status::OBJECT_NAME_NOT_FOUND),
        None => return Ok(status::SUCCESS),
    };
    let expected = query.default_type >> 24;
    if query.flags & query_flag::TYPECHECK != 0 && expected != data.kind() {
        return Err(status::OBJECT_TYPE_MISMATCH);
    }
    let bytes = data.bytes();
    if matches!(data.kind(), registry::REG_SZ | REG_EXPAND_SZ) {
        // SAFETY: the DDI: a UNICODE_STRING for a text.
        let string = unsafe { &mut *(query.context as *mut UnicodeString) };
        if string.buffer.is_null() {
            use crate::mm::pool::{self, Placement, Tag};
            let caller = thread::current().caller();
            let tag = Tag(u32::from_le_bytes(*b"RqrV"));
            let block = pool::allocate(bytes.len().max(2) as u64, tag, true, Placement::Block, caller);
            string.buffer = block.ok_or(status::NO_MEMORY)?.cast();
            string.maximum_length = bytes.len() as u16;
        } else if usize::from(string.maximum_length) < bytes.len() {
            return Err(status::BUFFER_TOO_SMALL);
        }
        // SAFETY: the buffer has as many bytes, by its maximum length.
        unsafe { string.buffer.cast::<u8>().copy_from(bytes.as_ptr(), bytes.len()) };
        string.length = (bytes.len() as u16).saturating_sub(2);
        return Ok(status::SUCCESS);
    }
    if bytes.len() <= 4 {
        // SAFETY: the DDI: room for the data of a number.
        unsafe { (query.context as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) };
        return Ok(status::SUCCESS);
    }
    // Larger data says by a negative first LONG how much room there is; otherwise its length and type come before it.
    // SAFETY: the DDI.
    let room = unsafe { (query.context as *const i32).read_unaligned() };
    if room < 0 {
        if (room.unsigned_abs() as usize) < bytes.len() {
            return Err(status::BUFFER_TOO_SMALL);
        }
        // SAFETY: as above.
        unsafe { (query.context as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) };
        return Ok(status::SUCCESS);
    }
    if (room as usize) < bytes.len() + 8 {
        return Err(status::BUFFER_TOO_SMALL);
    }
    let whole = [words(&[bytes.len() as u32, data.kind()]), bytes].concat();
    // SAFETY: as above.
    unsafe { (query.context as *mut u8).copy_from(whole.as_ptr(), whole.len()) };
    Ok(status::SUCCESS)
}

unsafe extern "win64" fn rtl_query_registry_values(
    relative_to: u32,
    path: u64,
    table: *const Query,
    _context: u64,
    _environment: u64,
) -> i32 {
    // SAFETY: as above.
    let path = match unsafe { library_path(relative_to, path) } {
        Ok(path) if registry::exists(&path) => path,
        Ok(_) => return status::OBJECT_NAME_NOT_FOUND,
        Err(status) => return status,
    };
    let mut entry = table;
    loop {
        // SAFETY: the DDI: a table that ends with an entry of zeros.
        let query = unsafe { &*entry };
        if query.routine == 0 && query.name.is_null() {
            return status::SUCCESS;
        }
        if query.routine != 0
            || query.flags & query_flag::OTHERS != 0
            || query.flags & query_flag::DIRECT == 0
        {
            bug::bugcheck(
                code::LAB_MISSING_EXPORT,
                [thread::current().caller(), query.flags.into(), 0, 0],
                format_args!(
                    "RtlQueryRegistryValues with flags {:#x}: of these the lab has RTL_QUERY_REGISTRY_DIRECT, REQUIRED, NOEXPAND and TYPECHECK",
                    query.flags
                ),
            );
        }
        // SAFETY: as above.
        if let Err(status) = unsafe { query_directly(&path, query) } {
            return status;
        }
        entry = entry.wrapping_add(1);
    }
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("ZwOpenKey", PASSIVE, zw_open_key as *const ()),
    Export::function("ZwCreateKey", PASSIVE, zw_create_key as *const ()),
    Export::function("ZwQueryValueKey", PASSIVE, zw_query_value_key as *const ()),
    Export::function(
        "ZwEnumerateValueKey",
        PASSIVE,
        zw_enumerate_value_key as *const (),
    ),
    Export::function("ZwQueryKey", PASSIVE, zw_query_key as *const ()),
    Export::function("ZwEnumerateKey", PASSIVE, zw_enumerate_key as *const ()),
    Export::function("ZwSetValueKey", PASSIVE, zw_set_value_key as *const ()),
    Export::function("ZwDeleteValueKey", PASSIVE, zw_delete_value_key as *const ()),
    Export::function("ZwDeleteKey", PASSIVE, zw_delete_key as *const ()),
    Export::function("ZwFlushKey", PASSIVE, zw_flush_key as *const ()),
    Export::function(
        "RtlWriteRegistryValue",
        PASSIVE,
        rtl_write_registry_value as *const (),
    ),
    Export::function(
        "RtlDeleteRegistryValue",
        PASSIVE,
        rtl_delete_registry_value as *const (),
    ),
    Export::function(
        "RtlCheckRegistryKey",
        PASSIVE,
        rtl_check_registry_key as *const (),
    ),
    Export::function(
        "RtlCreateRegistryKey",
        PASSIVE,
        rtl_create_registry_key as *const (),
    ),
    Export::function(
        "RtlQueryRegistryValues",
        PASSIVE,
        rtl_query_registry_values as *const (),
    ),
    Export::function(
        "RtlQueryRegistryValuesEx",
        PASSIVE,
        rtl_query_registry_values as *const (),
    ),
];
