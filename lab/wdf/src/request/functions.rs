//! `wdfrequest.h`.

use super::{Cancel, Owner, Request, address, cancel_routine, complete, queue_of, require_owner};
use crate::layout::RequestParameters;
use crate::layout::{IO_DIRECT, IO_NEITHER};
use crate::memory;
use crate::object::{self, Holder, Kind, Object};
use crate::queue;
use crate::slot::Slot;
use crate::violation::{self, check_size, require, routine, violation};
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::major;
use rundown_lab_kernel::mm::mdl::Mdl;
use rundown_lab_kernel::status;

/// The low bits of a control code.
const METHOD_BUFFERED: u32 = 0;
const METHOD_NEITHER: u32 = 3;
/// `KernelMode`.
const KERNEL_MODE: i8 = 0;

/// The driver completes a request.
fn complete_for_driver(handle: u64, status: i32, information: Option<u64>) {
    let request = object::find(handle, Kind::Request);
    require_owner(&request, Owner::Driver);
    let body = request.request();
    if body.is_cancelable() {
        violation(
            violation::QUEUE,
            handle,
            0,
            format_args!(
                "{}: the request is still cancelable (WdfRequestUnmarkCancelable comes first)",
                routine()
            ),
        );
    }
    let written = information.unwrap_or_else(|| body.irp().io_status.information.get());
    if status::is_success(status)
        && let Some(most) = most_information(body)
        && written > most
    {
        violation(
            violation::REQUEST,
            violation::REQUEST_INFORMATION,
            address(body.irp()),
            format_args!(
                "{}: Information is {written}, and the client's buffer has {most} bytes (major function {}, control code {:#010x})",
                routine(),
                body.function(),
                body.code(),
            ),
        );
    }
    complete(&request, status, Some(written));
}

/// The most that `Information` may be on success, where the framework can tell (fxrequest.cpp:422-490): of a control request with no
/// output it may count input that was used, and what another driver sends need not say how long its buffers are.
fn most_information(body: &Request) -> Option<u64> {
    let from_user = body.irp().requestor_mode.get() != KERNEL_MODE;
    match body.function() {
        major::READ | major::WRITE => Some(body.output_length()),
        major::DEVICE_CONTROL if from_user => Some(body.output_length()).filter(|&length| length != 0),
        _ => None,
    }
}

/// Marks it cancelable; false if it is cancelled already, and the callback was not and will not be called.
fn mark_cancelable(request: &Arc<Object>, callback: u64) -> bool {
    require(callback as *const u8, "EvtRequestCancel");
    require_owner(request, Owner::Driver);
    let Some(queue) = queue_of(request) else {
        violation(
            violation::QUEUE,
            request.handle(),
            0,
            format_args!("{} was given a request that comes from no queue", routine()),
        );
    };
    queue::while_not_cancelling(&queue, |cancelling| {
        let body = request.request();
        let mut state = body.state.lock();
        if state.cancel != Cancel::No {
            drop(state);
            violation(
                violation::QUEUE,
                request.handle(),
                0,
                format_args!("{}: the request is cancelable already", routine()),
            );
        }
        if cancelling {
            return false;
        }
        state.cancel = Cancel::Marked(callback);
        irp::set_cancel_routine(body.irp(), cancel_routine as *const () as u64);
        // Whoever takes the routine away again acts: here, or the cancel routine, which waits for the lock.
        let cancelled = body.irp().cancel.get() != 0 && irp::set_cancel_routine(body.irp(), 0) != 0;
        if cancelled {
            state.cancel = Cancel::No;
        }
        !cancelled
    })
}

unsafe extern "win64" fn mark(_globals: u64, handle: u64, callback: u64) {
    let request = object::find(handle, Kind::Request);
    if !mark_cancelable(&request, callback) {
        request.request().state.lock().cancel = Cancel::Due(callback);
        if let Some(queue) = queue_of(&request) {
            queue.queue().canceled_at_driver(&queue, request);
        }
    }
}

unsafe extern "win64" fn mark_ex(_globals: u64, handle: u64, callback: u64) -> i32 {
    if mark_cancelable(&object::find(handle, Kind::Request), callback) {
        status::SUCCESS
    } else {
        status::CANCELLED
    }
}

unsafe extern "win64" fn unmark(_globals: u64, handle: u64) -> i32 {
    let request = object::find(handle, Kind::Request);
    let body = request.request();
    let mut state = body.state.lock();
    match state.cancel {
        Cancel::Marked(_) if irp::set_cancel_routine(body.irp(), 0) != 0 => {
            state.cancel = Cancel::No;
            status::SUCCESS
        }
        Cancel::Marked(_) | Cancel::Due(_) | Cancel::Called => status::CANCELLED,
        Cancel::No => status::INVALID_DEVICE_REQUEST,
    }
}

unsafe extern "win64" fn is_canceled(_globals: u64, handle: u64) -> u8 {
    let request = object::find(handle, Kind::Request);
    let body = request.request();
    let told = matches!(body.state.lock().cancel, Cancel::Due(_) | Cancel::Called);
    u8::from(told || body.irp().cancel.get() != 0)
}

unsafe extern "win64" fn complete_request(_globals: u64, handle: u64, status: i32) {
    complete_for_driver(handle, status, None);
}

unsafe extern "win64" fn complete_with_information(
    _globals: u64,
    handle: u64,
    status: i32,
    information: u64,
) {
    complete_for_driver(handle, status, Some(information));
}

unsafe extern "win64" fn set_information(_globals: u64, handle: u64, information: u64) {
    object::find(handle, Kind::Request)
        .request()
        .irp()
        .io_status
        .information
        .set(information);
}

unsafe extern "win64" fn get_information(_globals: u64, handle: u64) -> u64 {
    object::find(handle, Kind::Request)
        .request()
        .irp()
        .io_status
        .information
        .get()
}

unsafe extern "win64" fn get_status(_globals: u64, handle: u64) -> i32 {
    object::find(handle, Kind::Request)
        .request()
        .irp()
        .io_status
        .status
        .get()
}

unsafe extern "win64" fn get_requestor_mode(_globals: u64, handle: u64) -> i8 {
    object::find(handle, Kind::Request)
        .request()
        .irp()
        .requestor_mode
        .get()
}

unsafe extern "win64" fn get_parameters(_globals: u64, handle: u64, parameters: *mut RequestParameters) {
    let request = object::find(handle, Kind::Request);
    let body = request.request();
    require(parameters, "Parameters");
    // SAFETY: the declaration: a WDF_REQUEST_PARAMETERS, which begins with its size.
    let size = unsafe { parameters.cast::<u16>().read() };
    check_size(
        "WDF_REQUEST_PARAMETERS",
        u32::from(size),
        size_of::<RequestParameters>(),
    );
    // As the stack location has them: a length is its low half, and nobody promises what the other is.
    let filled = RequestParameters {
        size,
        minor: body.arrival().minor,
        kind: u32::from(body.function()),
        parameters: body.arrival().parameters,
    };
    // SAFETY: the declaration: a WDF_REQUEST_PARAMETERS.
    unsafe { parameters.write(filled) };
}

/// Where a buffer is, and how long.
pub(super) type Buffer = Result<(u64, u64), i32>;

/// fxrequest.cpp:1299: the order of the questions is the framework's, since it decides which status a driver gets.
fn input_buffer(body: &Request) -> Buffer {
    match body.function() {
        major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => {
            let length = not_empty(body.input_length())?;
            if body.code() & 3 == METHOD_NEITHER {
                // Parameters.DeviceIoControl.Type3InputBuffer.
                return raw(body, body.arrival().parameters[3], length);
            }
            Ok((body.irp().system_buffer.get() as u64, length))
        }
        major::WRITE => transfer_buffer(body),
        _ => Err(status::INVALID_DEVICE_REQUEST),
    }
}

/// fxrequest.cpp:1540 for control requests.
fn output_buffer(body: &Request) -> Buffer {
    match body.function() {
        major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => {
            let length = not_empty(body.output_length())?;
            match body.code() & 3 {
                METHOD_BUFFERED => Ok((body.irp().system_buffer.get() as u64, length)),
                METHOD_NEITHER => raw(body, body.irp().user_buffer.get(), length),
                _ => mapped(body, length),
            }
        }
        major::READ => transfer_buffer(body),
        _ => Err(status::INVALID_DEVICE_REQUEST),
    }
}

/// The buffer of a read or write, by what the driver said with `WdfDeviceInitSetIoType`.
fn transfer_buffer(body: &Request) -> Buffer {
    let length = not_empty(body.output_length())?;
    match body.device().device().init.io_type {
        IO_NEITHER => raw(body, body.irp().user_buffer.get(), length),
        IO_DIRECT => mapped(body, length),
        _ => Ok((body.irp().system_buffer.get() as u64, length)),
    }
}

fn not_empty(length: u64) -> Result<u64, i32> {
    if length == 0 {
        Err(status::BUFFER_TOO_SMALL)
    } else {
        Ok(length)
    }
}

/// An address as the sender gave it: only what another driver sends is taken at its word.
fn raw(body: &Request, address: u64, length: u64) -> Buffer {
    let internal = body.function() == major::INTERNAL_DEVICE_CONTROL;
    if internal || body.irp().requestor_mode.get() == KERNEL_MODE {
        Ok((address, length))
    } else {
        Err(status::INVALID_DEVICE_REQUEST)
    }
}

/// What the IRP's MDL describes.
fn mapped(body: &Request, length: u64) -> Buffer {
    if body.irp().mdl_address.get() == 0 {
        return Err(status::BUFFER_TOO_SMALL);
    }
    // SAFETY: the sender made the MDL, which stays until the request is completed.
    let mdl = unsafe { Mdl::at(body.irp().mdl_address.get()) };
    let address = mdl.system_address().ok_or(status::INSUFFICIENT_RESOURCES)?;
    Ok((address, length))
}

/// The end of every retrieval: a failed one leaves NULL and 0 behind.
///
/// # Safety
/// `buffer` has room for a pointer, `length` is null or has room for a length.
pub(super) unsafe fn retrieve(found: Buffer, least: u64, buffer: *mut u64, length: *mut u64) -> i32 {
    require(buffer, "Buffer");
    let found = found.and_then(|(address, bytes)| {
        if bytes < least {
            return Err(status::BUFFER_TOO_SMALL);
        }
        Ok((address, bytes))
    });
    let (address, bytes) = found.unwrap_or_default();
    // SAFETY: the caller promises it.
    unsafe { buffer.write(address) };
    // SAFETY: as above.
    if let Some(length) = unsafe { length.as_mut() } {
        *length = bytes;
    }
    found.err().unwrap_or(status::SUCCESS)
}

unsafe extern "win64" fn retrieve_input(
    _globals: u64,
    handle: u64,
    least: u64,
    buffer: *mut u64,
    length: *mut u64,
) -> i32 {
    let request = object::find(handle, Kind::Request);
    // SAFETY: the declaration.
    unsafe { retrieve(input_buffer(request.request()), least, buffer, length) }
}

unsafe extern "win64" fn retrieve_output(
    _globals: u64,
    handle: u64,
    least: u64,
    buffer: *mut u64,
    length: *mut u64,
) -> i32 {
    let request = object::find(handle, Kind::Request);
    // SAFETY: the declaration.
    unsafe { retrieve(output_buffer(request.request()), least, buffer, length) }
}

/// A memory object for a request's buffer, the same one each time it is asked for. A failed retrieval leaves NULL behind.
///
/// # Safety
/// `result` has room for a handle.
unsafe fn retrieve_memory(
    handle: u64,
    which: usize,
    buffer: fn(&Request) -> Buffer,
    result: *mut u64,
) -> i32 {
    let request = object::find(handle, Kind::Request);
    let body = request.request();
    require(result, "Memory");
    let found = buffer(body).and_then(|(address, length)| {
        let known = body.state.lock().memories[which];
        if known != 0 {
            return Ok(known);
        }
        let made = memory::of_request(&request, address, length)?.handle();
        body.state.lock().memories[which] = made;
        Ok(made)
    });
    // SAFETY: the caller promises it.
    unsafe { result.write(found.unwrap_or(0)) };
    found.err().unwrap_or(status::SUCCESS)
}

unsafe extern "win64" fn retrieve_input_memory(_globals: u64, handle: u64, result: *mut u64) -> i32 {
    // SAFETY: the declaration.
    unsafe { retrieve_memory(handle, 0, input_buffer, result) }
}

unsafe extern "win64" fn retrieve_output_memory(_globals: u64, handle: u64, result: *mut u64) -> i32 {
    // SAFETY: the declaration.
    unsafe { retrieve_memory(handle, 1, output_buffer, result) }
}

unsafe extern "win64" fn get_file_object(_globals: u64, handle: u64) -> u64 {
    let request = object::find(handle, Kind::Request);
    let body = request.request();
    let device = body.device().device();
    // fxfileobject.cpp:303. An exclusive device has one file object, which it is then.
    if body.file_object() == 0 && device.has_files() && !device.has_optional_files() && !device.init.exclusive
    {
        violation(
            violation::RULE,
            handle,
            0,
            format_args!(
                "WdfRequestGetFileObject was given a request that has no file object, and the driver did not say that it can do without (WdfFileObjectCanBeOptional)"
            ),
        );
    }
    body.file().map_or(0, |file| file.handle())
}

unsafe extern "win64" fn get_io_queue(_globals: u64, handle: u64) -> u64 {
    queue_of(&object::find(handle, Kind::Request)).map_or(0, |queue| queue.handle())
}

unsafe extern "win64" fn get_irp(_globals: u64, handle: u64) -> u64 {
    address(object::find(handle, Kind::Request).request().irp())
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(254, "WdfRequestGetStatus", 2, get_status as *const ()),
    Slot::new(255, "WdfRequestMarkCancelable", 2, mark as *const ()),
    Slot::new(256, "WdfRequestUnmarkCancelable", 2, unmark as *const ()),
    Slot::new(257, "WdfRequestIsCanceled", 2, is_canceled as *const ()),
    Slot::new(263, "WdfRequestComplete", 2, complete_request as *const ()),
    Slot::new(
        265,
        "WdfRequestCompleteWithInformation",
        2,
        complete_with_information as *const (),
    ),
    Slot::new(266, "WdfRequestGetParameters", 2, get_parameters as *const ()),
    Slot::new(
        267,
        "WdfRequestRetrieveInputMemory",
        2,
        retrieve_input_memory as *const (),
    ),
    Slot::new(
        268,
        "WdfRequestRetrieveOutputMemory",
        2,
        retrieve_output_memory as *const (),
    ),
    Slot::new(
        269,
        "WdfRequestRetrieveInputBuffer",
        2,
        retrieve_input as *const (),
    ),
    Slot::new(
        270,
        "WdfRequestRetrieveOutputBuffer",
        2,
        retrieve_output as *const (),
    ),
    Slot::new(275, "WdfRequestSetInformation", 2, set_information as *const ()),
    Slot::new(276, "WdfRequestGetInformation", 2, get_information as *const ()),
    Slot::new(277, "WdfRequestGetFileObject", 2, get_file_object as *const ()),
    Slot::new(
        280,
        "WdfRequestGetRequestorMode",
        2,
        get_requestor_mode as *const (),
    ),
    Slot::new(282, "WdfRequestGetIoQueue", 2, get_io_queue as *const ()),
    Slot::new(285, "WdfRequestWdmGetIrp", 2, get_irp as *const ()),
    Slot::new(393, "WdfRequestMarkCancelableEx", 2, mark_ex as *const ()),
];
