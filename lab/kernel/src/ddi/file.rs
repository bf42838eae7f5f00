//! Files by handles, on the [volume in memory](crate::io::file). A handle's access is not looked at, for a driver's `Zw` routines run in kernel mode;
//! what others may do at the same time is. All is done when a routine returns, also of a handle that is not for synchronous I/O.

use super::irql_ranges::PASSIVE;
use super::ob::{self, Object, ObjectAttributes};
use crate::export::Export;
use crate::io::file::{self, Offset, OpenFile, Opening, disposition};
use crate::ke::thread;
use crate::status;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// `IO_STATUS_BLOCK` of x64.
#[repr(C)]
struct IoStatus {
    status: i32,
    information: u64,
}

/// Access rights, by what they let a handle do; the bits of a mask are those of the file's data, then the generic ones.
const READS: u32 = 0x1 | 0x20 | 0x8000_0000 | 0x1000_0000;
const WRITES: u32 = 0x2 | 0x4 | 0x4000_0000 | 0x1000_0000;
const DELETES: u32 = 0x1_0000 | 0x1000_0000;
const SYNCHRONIZE: u32 = 0x10_0000;
/// Any generic right has `SYNCHRONIZE` in it.
const GENERIC: u32 = 0xF000_0000;

/// `CreateOptions`.
mod options {
    pub(super) const DIRECTORY_FILE: u32 = 0x1;
    pub(super) const SYNCHRONOUS_IO_ALERT: u32 = 0x10;
    pub(super) const SYNCHRONOUS_IO_NONALERT: u32 = 0x20;
    pub(super) const NON_DIRECTORY_FILE: u32 = 0x40;
    pub(super) const DELETE_ON_CLOSE: u32 = 0x1000;
}

/// `FILE_USE_FILE_POINTER_POSITION` and `FILE_WRITE_TO_END_OF_FILE`, with a high part of -1.
const POSITION: i64 = -2;
const END: i64 = -1;

fn opened(handle: u64) -> Result<Arc<OpenFile>, i32> {
    match ob::object(handle) {
        Some(Object::File(file)) => Ok(file),
        Some(_) => Err(status::OBJECT_TYPE_MISMATCH),
        None => Err(status::INVALID_HANDLE),
    }
}

/// Tells a routine's result twice: in the status block, unless it never came to be a request, and to the caller.
fn told(iosb: *mut IoStatus, result: Result<u64, i32>) -> i32 {
    let (status, information) = match result {
        Ok(information) => (status::SUCCESS, information),
        Err(status) => (status, 0),
    };
    // SAFETY: the DDI: room for an IO_STATUS_BLOCK.
    unsafe { iosb.write(IoStatus { status, information }) };
    status
}

/// The name that attributes give, absolute or below a directory that is open.
fn named(attributes: *const ObjectAttributes) -> Result<String, i32> {
    // SAFETY: the DDI asks for an OBJECT_ATTRIBUTES there.
    let attributes = unsafe { &*attributes };
    // SAFETY: the DDI: its name is a valid string, or null.
    let name = unsafe { attributes.name.as_ref() }.map_or_else(String::new, |name| {
        // SAFETY: as above.
        unsafe { name.to_text() }
    });
    match attributes.root {
        0 => file::path(&name),
        root => {
            let root = opened(root)?;
            if name.starts_with('\\') {
                return Err(status::OBJECT_NAME_INVALID);
            }
            file::path(&alloc::format!(r"\??\C:{}\{name}", root.path()))
        }
    }
}

/// What access and options come to.
///
/// # Errors
/// `STATUS_INVALID_PARAMETER` for those that go with no other (`ZwCreateFile`'s page, of access and options).
fn opening(access: u32, share: u32, disposition: u32, options: u32) -> Result<Opening, i32> {
    use options::{
        DELETE_ON_CLOSE, DIRECTORY_FILE, NON_DIRECTORY_FILE, SYNCHRONOUS_IO_ALERT, SYNCHRONOUS_IO_NONALERT,
    };
    let has = |option: u32| options & option != 0;
    let is_synchronous = has(SYNCHRONOUS_IO_ALERT) || has(SYNCHRONOUS_IO_NONALERT);
    let directory = has(DIRECTORY_FILE);
    let makes = matches!(
        disposition,
        disposition::CREATE | disposition::OPEN | disposition::OPEN_IF
    );
    if disposition > disposition::OVERWRITE_IF
        || (is_synchronous && access & (SYNCHRONIZE | GENERIC) == 0)
        || (has(SYNCHRONOUS_IO_ALERT) && has(SYNCHRONOUS_IO_NONALERT))
        || (directory && (has(NON_DIRECTORY_FILE) || !makes))
        || (has(DELETE_ON_CLOSE) && access & DELETES == 0)
    {
        return Err(status::INVALID_PARAMETER);
    }
    let uses = [READS, WRITES, DELETES]
        .iter()
        .enumerate()
        .map(|(bit, rights)| u32::from(access & rights != 0) << bit)
        .sum();
    Ok(Opening {
        disposition,
        uses,
        share: share & 7,
        directory: if directory {
            Some(true)
        } else {
            has(NON_DIRECTORY_FILE).then_some(false)
        },
        delete_on_close: has(DELETE_ON_CLOSE),
        is_synchronous,
    })
}

#[allow(clippy::too_many_arguments, reason = "NT's signature")]
unsafe extern "win64" fn zw_create_file(
    handle: *mut u64,
    access: u32,
    attributes: *const ObjectAttributes,
    iosb: *mut IoStatus,
    _allocation_size: *const i64,
    _file_attributes: u32,
    share: u32,
    disposition: u32,
    options: u32,
    _ea_buffer: u64,
    _ea_length: u32,
) -> i32 {
    ob::check_attributes(attributes);
    let opened = opening(access, share, disposition, options)
        .and_then(|how| Ok((named(attributes)?, how)))
        .and_then(|(path, how)| file::open(path, how));
    told(
        iosb,
        opened.map(|(file, information)| {
            let opened = ob::open_handle(Object::File(file), thread::current().caller());
            // SAFETY: the DDI: room for a handle.
            unsafe { handle.write(opened) };
            information
        }),
    )
}

unsafe extern "win64" fn zw_open_file(
    handle: *mut u64,
    access: u32,
    attributes: *const ObjectAttributes,
    iosb: *mut IoStatus,
    share: u32,
    options: u32,
) -> i32 {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        zw_create_file(
            handle,
            access,
            attributes,
            iosb,
            core::ptr::null(),
            0,
            share,
            disposition::OPEN,
            options,
            0,
            0,
        )
    }
}

/// Where a transfer begins.
fn offset(given: *const i64, end: bool) -> Result<Offset, i32> {
    // SAFETY: the DDI: a LARGE_INTEGER or null.
    match unsafe { given.as_ref() } {
        None | Some(&POSITION) => Ok(Offset::Position),
        Some(&END) if end => Ok(Offset::End),
        Some(&byte) => u64::try_from(byte)
            .map(Offset::At)
            .map_err(|_| status::INVALID_PARAMETER),
    }
}

/// A driver's event is signalled by handle, and the lab has no handles to events.
fn without_event(event: u64) -> Result<(), i32> {
    if event == 0 {
        return Ok(());
    }
    crate::log!("log: a file request with an event handle is refused: the lab has none");
    Err(status::INVALID_HANDLE)
}

#[allow(clippy::too_many_arguments, reason = "NT's signature")]
unsafe extern "win64" fn zw_read_file(
    handle: u64,
    event: u64,
    _apc_routine: u64,
    _apc_context: u64,
    iosb: *mut IoStatus,
    buffer: *mut u8,
    length: u32,
    byte_offset: *const i64,
    _key: *const u32,
) -> i32 {
    let read = without_event(event)
        .and_then(|()| opened(handle))
        .and_then(|file| file.read(offset(byte_offset, false)?, length));
    told(
        iosb,
        read.map(|bytes| {
            // SAFETY: the DDI: room for `length` bytes, and there are no more.
            unsafe { buffer.copy_from(bytes.as_ptr(), bytes.len()) };
            bytes.len() as u64
        }),
    )
}

#[allow(clippy::too_many_arguments, reason = "NT's signature")]
unsafe extern "win64" fn zw_write_file(
    handle: u64,
    event: u64,
    _apc_routine: u64,
    _apc_context: u64,
    iosb: *mut IoStatus,
    buffer: *const u8,
    length: u32,
    byte_offset: *const i64,
    _key: *const u32,
) -> i32 {
    if u64::from(length) > file::LONGEST {
        return told(iosb, Err(status::DISK_FULL));
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(length as usize);
    // SAFETY: the DDI: `length` bytes.
    unsafe { bytes.as_mut_ptr().copy_from(buffer, length as usize) };
    // SAFETY: as many were just written.
    unsafe { bytes.set_len(length as usize) };
    let written = without_event(event)
        .and_then(|()| opened(handle))
        .and_then(|file| file.write(offset(byte_offset, true)?, &bytes));
    told(iosb, written.map(|()| u64::from(length)))
}

/// `FILE_INFORMATION_CLASS`.
mod class {
    pub(super) const STANDARD: u32 = 5;
    pub(super) const DISPOSITION: u32 = 13;
    pub(super) const POSITION: u32 = 14;
    pub(super) const END_OF_FILE: u32 = 20;
}

unsafe extern "win64" fn zw_query_information_file(
    handle: u64,
    iosb: *mut IoStatus,
    buffer: *mut u8,
    length: u32,
    class: u32,
) -> i32 {
    let answer = opened(handle).and_then(|file| match class {
        class::STANDARD => {
            let (bytes, deleted, directory) = file.standard();
            // AllocationSize, EndOfFile, NumberOfLinks, DeletePending, Directory.
            let mut answer = [bytes.to_le_bytes(), bytes.to_le_bytes()].concat();
            answer.extend([1, 0, 0, 0, u8::from(deleted), u8::from(directory), 0, 0]);
            Ok(answer)
        }
        class::POSITION => Ok(file.position().to_le_bytes().to_vec()),
        _ => Err(unknown(class)),
    });
    told(
        iosb,
        answer.and_then(|answer| {
            if (length as usize) < answer.len() {
                return Err(status::INFO_LENGTH_MISMATCH);
            }
            // SAFETY: the DDI: room for `length` bytes.
            unsafe { buffer.copy_from(answer.as_ptr(), answer.len()) };
            Ok(answer.len() as u64)
        }),
    )
}

fn unknown(class: u32) -> i32 {
    crate::log!("log: FILE_INFORMATION_CLASS {class} is not known to the lab");
    status::INVALID_INFO_CLASS
}

unsafe extern "win64" fn zw_set_information_file(
    handle: u64,
    iosb: *mut IoStatus,
    buffer: *const u8,
    length: u32,
    class: u32,
) -> i32 {
    let number = || {
        if (length as usize) < size_of::<i64>() {
            return Err(status::INFO_LENGTH_MISMATCH);
        }
        // SAFETY: the DDI: `length` bytes, so a LARGE_INTEGER.
        Ok(unsafe { buffer.cast::<i64>().read_unaligned() })
    };
    let set = opened(handle).and_then(|file| match class {
        class::POSITION => file.set_position(number()?),
        class::END_OF_FILE => file.set_length(number()?),
        class::DISPOSITION if length == 0 => Err(status::INFO_LENGTH_MISMATCH),
        // SAFETY: the DDI: a BOOLEAN.
        class::DISPOSITION => file.set_deleted(unsafe { buffer.read() } != 0),
        _ => Err(unknown(class)),
    });
    told(iosb, set.map(|()| 0))
}

unsafe extern "win64" fn zw_flush_buffers_file(handle: u64, iosb: *mut IoStatus) -> i32 {
    told(iosb, opened(handle).map(|_| 0))
}

unsafe extern "win64" fn zw_delete_file(attributes: *const ObjectAttributes) -> i32 {
    let how = Opening {
        disposition: disposition::OPEN,
        uses: 4,
        share: 7,
        directory: None,
        delete_on_close: true,
        is_synchronous: false,
    };
    let opened = named(attributes).and_then(|path| file::open(path, how));
    opened.err().unwrap_or(status::SUCCESS)
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function("ZwCreateFile", PASSIVE, zw_create_file as *const ()),
    Export::function("ZwOpenFile", PASSIVE, zw_open_file as *const ()),
    Export::function("ZwReadFile", PASSIVE, zw_read_file as *const ()),
    Export::function("ZwWriteFile", PASSIVE, zw_write_file as *const ()),
    Export::function(
        "ZwQueryInformationFile",
        PASSIVE,
        zw_query_information_file as *const (),
    ),
    Export::function(
        "ZwSetInformationFile",
        PASSIVE,
        zw_set_information_file as *const (),
    ),
    Export::function("ZwFlushBuffersFile", PASSIVE, zw_flush_buffers_file as *const ()),
    Export::function("ZwDeleteFile", PASSIVE, zw_delete_file as *const ()),
];
