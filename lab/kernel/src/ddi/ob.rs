//! Objects and handles: a driver can have handles to threads, registry keys and files here, and refer to threads, devices, drivers, processes and
//! callback objects.

use super::process::{self, Pointer};
use crate::bug::{self, code};
use crate::config::{self, Rule};
use crate::ex::callback;
use crate::export::Export;
use crate::io::file::OpenFile;
use crate::io::{client, device, driver};
use crate::ke::thread::{self, Thread};
use crate::lock::IrqLock;
use crate::rtl::UnicodeString;
use crate::status;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Kernel handles have the sign bit set.
const FIRST_HANDLE: u64 = 0xFFFF_FFFF_8000_0004;
/// `NtCurrentProcess()` and `NtCurrentThread()`.
const CURRENT_PROCESS: u64 = u64::MAX;
const CURRENT_THREAD: u64 = u64::MAX - 1;

/// `OBJ_KERNEL_HANDLE`.
const KERNEL_HANDLE: u32 = 0x200;

/// `OBJECT_ATTRIBUTES` of x64.
#[repr(C)]
pub struct ObjectAttributes {
    length: u32,
    /// A handle that the name is relative to, or 0.
    pub root: u64,
    /// A `UNICODE_STRING`, or null.
    pub name: *const UnicodeString,
    attributes: u32,
    security: [u64; 2],
}

const _: () = assert!(size_of::<ObjectAttributes>() == 0x30);

/// Who makes a handle while it runs in a process that is not the system's "must set the `OBJ_KERNEL_HANDLE` attribute"
/// (`PsCreateSystemThread`'s page), or the process may use the handle. From Windows Vista on that routine's handle is a kernel
/// handle all the same; the rule stands, and other routines have it too.
pub fn check_attributes(attributes: *const ObjectAttributes) {
    // SAFETY: the DDI asks for an OBJECT_ATTRIBUTES there, or null.
    let attributes = unsafe { attributes.as_ref() }.map_or(0, |attributes| attributes.attributes);
    let is_users = client::current_caller().is_some() && attributes & KERNEL_HANDLE == 0;
    if is_users && !config::allows(Rule::UserHandle) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::USER_HANDLE, u64::from(attributes), 0, 0],
            format_args!(
                "the driver makes a handle in its client's process with attributes {attributes:#x}, without OBJ_KERNEL_HANDLE"
            ),
        );
    }
}

/// What a handle is to.
#[derive(Clone)]
pub enum Object {
    /// A thread.
    Thread(Arc<Thread>),
    /// A registry key, by its path.
    Key(Arc<str>),
    /// A file.
    File(Arc<OpenFile>),
}

struct Handles {
    open: BTreeMap<u64, (Object, u64)>,
    next: u64,
}

static HANDLES: IrqLock<Handles> = IrqLock::new(Handles {
    open: BTreeMap::new(),
    next: FIRST_HANDLE,
});
/// Addresses of objects to which the driver holds counted references, and how many.
static REFERENCES: IrqLock<BTreeMap<u64, (Arc<Thread>, usize)>> = IrqLock::new(BTreeMap::new());

/// Opens a handle; `caller` is who asked for it.
pub fn open_handle(object: Object, caller: u64) -> u64 {
    let mut handles = HANDLES.lock();
    let handle = handles.next;
    handles.next += 4;
    handles.open.insert(handle, (object, caller));
    handle
}

/// What an open handle is to.
pub fn object(handle: u64) -> Option<Object> {
    HANDLES.lock().open.get(&handle).map(|(object, _)| object.clone())
}

/// Handles that are open, with the callers that opened them.
pub fn open_handles() -> Vec<(u64, u64)> {
    HANDLES
        .lock()
        .open
        .iter()
        .map(|(&handle, &(_, caller))| (handle, caller))
        .collect()
}

/// Objects that the driver still holds references to.
pub fn references() -> Vec<u64> {
    let threads: Vec<u64> = REFERENCES.lock().keys().copied().collect();
    let others = device::held()
        .into_iter()
        .chain(process::referenced())
        .chain(callback::referenced())
        .chain(driver::referenced());
    threads.into_iter().chain(others).collect()
}

/// The thread at `address`: one that has not been reaped, or one that the driver still refers to, though it has ended.
pub fn thread(address: u64) -> Option<Arc<Thread>> {
    let referenced = REFERENCES.lock().get(&address).map(|(thread, _)| thread.clone());
    let opened = || {
        let handles = HANDLES.lock();
        let mut threads = handles.open.values().filter_map(|(object, _)| match object {
            Object::Thread(thread) => Some(thread),
            Object::Key(_) | Object::File(_) => None,
        });
        threads.find(|thread| thread.address() == address).cloned()
    };
    referenced.or_else(opened).or_else(|| thread::by_address(address))
}

fn reference(thread: Arc<Thread>) {
    REFERENCES.lock().entry(thread.address()).or_insert((thread, 0)).1 += 1;
}

/// The thread's object type: a driver only hands its address back.
static THREAD_TYPE: [u8; 16] = *b"Lab.Thread.Type.";
static THREAD_TYPE_POINTER: Pointer<[u8; 16]> = Pointer(&raw const THREAD_TYPE);
/// The exported variable: `extern POBJECT_TYPE *PsThreadType`, so the type is two steps away.
static PS_THREAD_TYPE: Pointer<Pointer<[u8; 16]>> = Pointer(&raw const THREAD_TYPE_POINTER);

/// The files': here it is only compared with.
static FILE_TYPE: [u8; 16] = *b"Lab.File.Type...";
static FILE_TYPE_POINTER: Pointer<[u8; 16]> = Pointer(&raw const FILE_TYPE);
static IO_FILE_OBJECT_TYPE: Pointer<Pointer<[u8; 16]>> = Pointer(&raw const FILE_TYPE_POINTER);

unsafe extern "win64" fn ob_reference_object_by_handle(
    handle: u64,
    _access: u32,
    object_type: *const u8,
    _mode: u8,
    object: *mut u64,
    _information: u64,
) -> i32 {
    if handle == CURRENT_PROCESS {
        if !object_type.is_null() && !process::is_type(object_type) {
            return status::OBJECT_TYPE_MISMATCH;
        }
        process::count(process::current(), true);
        // SAFETY: as below.
        unsafe { object.write(process::current()) };
        return status::SUCCESS;
    }
    let found = if handle == CURRENT_THREAD {
        thread::by_address(thread::current().address()).map(Object::Thread)
    } else {
        self::object(handle)
    };
    let thread = match found {
        None => return status::INVALID_HANDLE,
        // Nobody needs a key's object. A file's the lab does not have.
        Some(Object::Key(_) | Object::File(_)) => return status::OBJECT_TYPE_MISMATCH,
        Some(Object::Thread(thread)) => thread,
    };
    // Only an object that there is can be of another type.
    if !object_type.is_null() && object_type != THREAD_TYPE_POINTER.0.cast() {
        return status::OBJECT_TYPE_MISMATCH;
    }
    let address = thread.address();
    reference(thread);
    // SAFETY: the DDI asks for room for a pointer; if it is bad, the fault is the driver's.
    unsafe { object.write(address) };
    status::SUCCESS
}

unsafe extern "win64" fn obf_reference_object(object: u64) -> i64 {
    if let Some(count) = process::count(object, true) {
        return count as i64;
    }
    if let Some(count) = callback::count(object, true).or_else(|| driver::count(object, true)) {
        return count as i64;
    }
    if let Some(device) = device::find(object) {
        device::hold(device);
        return 1;
    }
    let Some(thread) = thread(object) else {
        bad_object(object)
    };
    reference(thread);
    1
}

unsafe extern "win64" fn obf_dereference_object(object: u64) -> i64 {
    if let Some(count) = process::count(object, false) {
        return count as i64;
    }
    if let Some(count) = callback::count(object, false).or_else(|| driver::count(object, false)) {
        return count as i64;
    }
    if device::find(object).is_some_and(device::let_go) {
        return 1;
    }
    let mut references = REFERENCES.lock();
    let Some(entry) = references.get_mut(&object) else {
        drop(references);
        bad_object(object)
    };
    entry.1 -= 1;
    let left = entry.1;
    let last = if left == 0 {
        references.remove(&object)
    } else {
        None
    };
    drop(references);
    // Without the lock: this may be the last reference, which frees the thread's stack.
    drop(last);
    left as i64
}

fn bad_object(object: u64) -> ! {
    bug::bugcheck(
        code::BAD_DISPATCHER_OBJECT,
        [object, 0, 0, 0],
        format_args!("the driver references or dereferences {object:#x}, to which it holds no reference"),
    )
}

unsafe extern "win64" fn zw_close(handle: u64) -> i32 {
    let closed = HANDLES.lock().open.remove(&handle);
    if closed.is_none() {
        bug::bugcheck(
            code::INVALID_KERNEL_HANDLE,
            [handle, 1, 0, 0],
            format_args!("the driver closes {handle:#x}, which is no open handle"),
        );
    }
    status::SUCCESS
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "ObReferenceObjectByHandle",
        0..=0,
        ob_reference_object_by_handle as *const (),
    ),
    Export::function("ObfReferenceObject", 0..=2, obf_reference_object as *const ()),
    Export::function("ObfDereferenceObject", 0..=2, obf_dereference_object as *const ()),
    Export::function("ZwClose", 0..=0, zw_close as *const ()),
    Export::data("IoFileObjectType", (&raw const IO_FILE_OBJECT_TYPE).cast()),
    Export::data("PsThreadType", (&raw const PS_THREAD_TYPE).cast()),
];
