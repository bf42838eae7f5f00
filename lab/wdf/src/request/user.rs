//! `wdfrequest.h`: a client's own memory, and requests' buffers as MDLs. The order of the questions is fxrequestapi.cpp's and fxrequestkm.cpp's.

use super::functions::{Buffer, retrieve};
use super::{Owner, Request, require_owner};
use crate::layout::{IO_BUFFERED, IO_DIRECT, IO_NEITHER};
use crate::memory;
use crate::object::{self, Kind, Object};
use crate::slot::Slot;
use crate::violation::{self, require, routine, violation};
use alloc::sync::Arc;
use rundown_lab_kernel::io::mdl as mdls;
use rundown_lab_kernel::io::object::major;
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::mm::user;
use rundown_lab_kernel::status;

/// The low bits of a control code.
const METHOD_BUFFERED: u32 = 0;
const METHOD_NEITHER: u32 = 3;

/// What a client says its input or output is, which is the client's own address.
fn unsafe_buffer(body: &Request, input: bool) -> Buffer {
    let transfer = if input { major::WRITE } else { major::READ };
    match body.function() {
        major::DEVICE_CONTROL if body.code() & 3 == METHOD_NEITHER && input => {
            Ok((body.arrival().parameters[3], body.input_length()))
        }
        major::DEVICE_CONTROL if body.code() & 3 == METHOD_NEITHER => {
            Ok((body.irp().user_buffer.get(), body.output_length()))
        }
        function if function == transfer && body.device().device().init.io_type == IO_NEITHER => {
            Ok((body.irp().user_buffer.get(), body.output_length()))
        }
        _ => Err(status::INVALID_DEVICE_REQUEST),
    }
}

/// "Can be called only in the context of EvtIoInCallerContext": elsewhere the addresses may be another process's.
///
/// # Safety
/// `buffer` has room for a pointer, `length` is null or has room for a length.
unsafe fn retrieve_unsafe(handle: u64, input: bool, least: u64, buffer: *mut u64, length: *mut u64) -> i32 {
    let request = object::find(handle, Kind::Request);
    let body = request.request();
    require(buffer, "Buffer");
    if !body.state.lock().in_caller_context {
        violation(
            violation::QUEUE,
            handle,
            0,
            format_args!(
                "{} was given a request outside of EvtIoInCallerContext: its addresses are its client's, and another process may run",
                routine()
            ),
        );
    }
    // SAFETY: the caller promises it.
    unsafe { retrieve(unsafe_buffer(body, input), least, buffer, length) }
}

unsafe extern "win64" fn retrieve_unsafe_input(
    _globals: u64,
    handle: u64,
    least: u64,
    buffer: *mut u64,
    length: *mut u64,
) -> i32 {
    // SAFETY: the declaration.
    unsafe { retrieve_unsafe(handle, true, least, buffer, length) }
}

unsafe extern "win64" fn retrieve_unsafe_output(
    _globals: u64,
    handle: u64,
    least: u64,
    buffer: *mut u64,
    length: *mut u64,
) -> i32 {
    // SAFETY: the declaration.
    unsafe { retrieve_unsafe(handle, false, least, buffer, length) }
}

/// Locks a client's memory and maps it, as a memory object that goes with the request. What NT raises is a status here, as the framework has it.
fn lock(request: &Arc<Object>, address: u64, length: u64, write: bool) -> Result<u64, i32> {
    if length == 0 {
        return Err(status::INVALID_USER_BUFFER);
    }
    if !user::probe(address, length) {
        return Err(status::ACCESS_VIOLATION);
    }
    let mdl = mdls::allocate(address, length as u32, thread::current().caller())
        .ok_or(status::INSUFFICIENT_RESOURCES)?;
    let mapped = if mdl.lock(write) {
        mdl.system_address()
    } else {
        None
    };
    let Some(mapped) = mapped else {
        memory::release(mdl);
        return Err(status::INSUFFICIENT_RESOURCES);
    };
    memory::of_mdl(request, mdl, mapped, length).map(|memory| memory.handle())
}

/// # Safety
/// `result` has room for a handle.
unsafe fn probe_and_lock(handle: u64, address: u64, length: u64, write: bool, result: *mut u64) -> i32 {
    let request = object::find(handle, Kind::Request);
    require(address as *const u8, "Buffer");
    require(result, "MemoryObject");
    require_owner(&request, Owner::Driver);
    let locked = lock(&request, address, length, write);
    // SAFETY: the declaration: room for a handle.
    unsafe { result.write(locked.unwrap_or(0)) };
    locked.err().unwrap_or(status::SUCCESS)
}

unsafe extern "win64" fn probe_and_lock_for_read(
    _globals: u64,
    handle: u64,
    address: u64,
    length: u64,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration.
    unsafe { probe_and_lock(handle, address, length, false, result) }
}

unsafe extern "win64" fn probe_and_lock_for_write(
    _globals: u64,
    handle: u64,
    address: u64,
    length: u64,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration.
    unsafe { probe_and_lock(handle, address, length, true, result) }
}

/// What an MDL is to describe: a buffer of the system's, or what the I/O manager has described already.
enum Described {
    Buffer(u64, u64),
    Mdl(u64),
}

fn described(body: &Request, input: bool) -> Result<Described, i32> {
    let system = body.irp().system_buffer.get() as u64;
    let transfer = if input { major::WRITE } else { major::READ };
    match body.function() {
        major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => match body.code() & 3 {
            METHOD_NEITHER => Err(status::INVALID_DEVICE_REQUEST),
            _ if input => Ok(Described::Buffer(system, body.input_length())),
            METHOD_BUFFERED => Ok(Described::Buffer(system, body.output_length())),
            _ => Ok(Described::Mdl(body.irp().mdl_address.get())),
        },
        function if function == transfer => match body.device().device().init.io_type {
            IO_BUFFERED => Ok(Described::Buffer(system, body.output_length())),
            IO_DIRECT => Ok(Described::Mdl(body.irp().mdl_address.get())),
            _ => Err(status::INVALID_DEVICE_REQUEST),
        },
        _ => Err(status::INVALID_DEVICE_REQUEST),
    }
}

/// The MDL of a request's input or output, the same one each time it is asked for; it goes with the request.
fn mdl_of(request: &Arc<Object>, input: bool) -> Result<u64, i32> {
    let body = request.request();
    let (address, length) = match described(body, input)? {
        Described::Mdl(0) | Described::Buffer(0, _) | Described::Buffer(_, 0) => {
            return Err(status::BUFFER_TOO_SMALL);
        }
        Described::Mdl(mdl) => return Ok(mdl),
        Described::Buffer(address, length) => (address, length),
    };
    let known = body.state.lock().mdls[usize::from(!input)];
    if known != 0 {
        return Ok(known);
    }
    let mdl = mdls::allocate(address, length as u32, thread::current().caller())
        .ok_or(status::INSUFFICIENT_RESOURCES)?;
    mdl.build_for_nonpaged_pool();
    memory::of_mdl(request, mdl, address, length)?;
    body.state.lock().mdls[usize::from(!input)] = mdl.address();
    Ok(mdl.address())
}

/// # Safety
/// `result` has room for a pointer.
unsafe fn retrieve_mdl(handle: u64, input: bool, result: *mut u64) -> i32 {
    let request = object::find(handle, Kind::Request);
    require(result, "Mdl");
    let found = mdl_of(&request, input);
    // SAFETY: the declaration: room for a pointer.
    unsafe { result.write(found.unwrap_or(0)) };
    found.err().unwrap_or(status::SUCCESS)
}

unsafe extern "win64" fn retrieve_input_mdl(_globals: u64, handle: u64, result: *mut u64) -> i32 {
    // SAFETY: the declaration.
    unsafe { retrieve_mdl(handle, true, result) }
}

unsafe extern "win64" fn retrieve_output_mdl(_globals: u64, handle: u64, result: *mut u64) -> i32 {
    // SAFETY: the declaration.
    unsafe { retrieve_mdl(handle, false, result) }
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(
        271,
        "WdfRequestRetrieveInputWdmMdl",
        2,
        retrieve_input_mdl as *const (),
    ),
    Slot::new(
        272,
        "WdfRequestRetrieveOutputWdmMdl",
        2,
        retrieve_output_mdl as *const (),
    ),
    Slot::new(
        273,
        "WdfRequestRetrieveUnsafeUserInputBuffer",
        0,
        retrieve_unsafe_input as *const (),
    ),
    Slot::new(
        274,
        "WdfRequestRetrieveUnsafeUserOutputBuffer",
        0,
        retrieve_unsafe_output as *const (),
    ),
    Slot::new(
        278,
        "WdfRequestProbeAndLockUserBufferForRead",
        0,
        probe_and_lock_for_read as *const (),
    ),
    Slot::new(
        279,
        "WdfRequestProbeAndLockUserBufferForWrite",
        0,
        probe_and_lock_for_write as *const (),
    ),
];
