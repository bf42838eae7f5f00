//! `wdfrequest.h`.

use super::{Cancel, Owner, Request, address, cancel_routine, complete, queue_of, require_owner};
use crate::call::invoke;
use crate::layout::RequestParameters;
use crate::object::{self, Kind, Object};
use crate::table::Slot;
use crate::violation::{self, require, routine, violation};
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::major;
use rundown_lab_kernel::status;

/// `MDL.MappedSystemVa`, as offset.
const MDL_MAPPED_ADDRESS: u64 = 0x18;
/// The low bits of a control code.
const METHOD_BUFFERED: u32 = 0;
const METHOD_NEITHER: u32 = 3;

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
    let information = information.or(Some(body.irp.io_status.information.get()));
    if let Some(written) = information
        && body.is_control()
        && !status::is_error(status)
        && written > body.output_length()
    {
        violation(
            violation::REQUEST,
            violation::REQUEST_INFORMATION,
            address(body.irp),
            format_args!(
                "{}: Information is {written}, and the output buffer of control code {:#010x} has {} bytes",
                routine(),
                body.code(),
                body.output_length()
            ),
        );
    }
    complete(&request, status, information);
}

/// Marks it cancelable; `Err` if it is cancelled already, and the callback was not and will not be called.
fn mark_cancelable(handle: u64, callback: u64) -> Result<(), Arc<Object>> {
    let request = object::find(handle, Kind::Request);
    require(callback as *const u8, "EvtRequestCancel");
    require_owner(&request, Owner::Driver);
    let body = request.request();
    let mut state = body.state.lock();
    if state.cancel != Cancel::No {
        drop(state);
        violation(
            violation::QUEUE,
            handle,
            0,
            format_args!("{}: the request is cancelable already", routine()),
        );
    }
    state.cancel = Cancel::Marked(callback);
    irp::set_cancel_routine(body.irp, cancel_routine as *const () as u64);
    // Whoever takes the routine away again acts: here, or the cancel routine, which waits for the lock.
    if body.irp.cancel.get() != 0 && irp::set_cancel_routine(body.irp, 0) != 0 {
        state.cancel = Cancel::No;
        drop(state);
        return Err(request);
    }
    Ok(())
}

unsafe extern "win64" fn mark(_globals: u64, handle: u64, callback: u64) {
    if let Err(request) = mark_cancelable(handle, callback) {
        request.request().state.lock().cancel = Cancel::Called;
        invoke("EvtRequestCancel", callback, [handle, 0, 0, 0, 0]);
    }
}

unsafe extern "win64" fn mark_ex(_globals: u64, handle: u64, callback: u64) -> i32 {
    mark_cancelable(handle, callback).map_or(status::CANCELLED, |()| status::SUCCESS)
}

unsafe extern "win64" fn unmark(_globals: u64, handle: u64) -> i32 {
    let request = object::find(handle, Kind::Request);
    let body = request.request();
    let mut state = body.state.lock();
    match state.cancel {
        Cancel::Marked(_) if irp::set_cancel_routine(body.irp, 0) != 0 => {
            state.cancel = Cancel::No;
            status::SUCCESS
        }
        Cancel::Marked(_) | Cancel::Called => status::CANCELLED,
        Cancel::No => status::INVALID_DEVICE_REQUEST,
    }
}

unsafe extern "win64" fn is_canceled(_globals: u64, handle: u64) -> u8 {
    object::find(handle, Kind::Request).request().irp.cancel.get()
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
        .irp
        .io_status
        .information
        .set(information);
}

unsafe extern "win64" fn get_information(_globals: u64, handle: u64) -> u64 {
    object::find(handle, Kind::Request)
        .request()
        .irp
        .io_status
        .information
        .get()
}

unsafe extern "win64" fn get_status(_globals: u64, handle: u64) -> i32 {
    object::find(handle, Kind::Request)
        .request()
        .irp
        .io_status
        .status
        .get()
}

unsafe extern "win64" fn get_requestor_mode(_globals: u64, handle: u64) -> i8 {
    object::find(handle, Kind::Request)
        .request()
        .irp
        .requestor_mode
        .get()
}

unsafe extern "win64" fn get_parameters(_globals: u64, handle: u64, parameters: *mut RequestParameters) {
    let request = object::find(handle, Kind::Request);
    let body = request.request();
    require(parameters, "Parameters");
    let mut values = body.parameters;
    if body.is_control() {
        values[0] = body.output_length();
        values[1] = body.input_length();
    }
    let filled = RequestParameters {
        size: size_of::<RequestParameters>() as u16,
        minor: body.minor,
        kind: u32::from(body.function),
        parameters: values,
    };
    // SAFETY: the declaration: a WDF_REQUEST_PARAMETERS.
    unsafe { parameters.write(filled) };
}

/// Where a buffer is, and how long.
fn input_buffer(body: &Request) -> Result<(u64, u64), i32> {
    match body.function {
        major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL if body.code() & 3 != METHOD_NEITHER => {
            Ok((body.irp.system_buffer.get() as u64, body.input_length()))
        }
        _ => Err(status::INVALID_DEVICE_REQUEST),
    }
}

fn output_buffer(body: &Request) -> Result<(u64, u64), i32> {
    match body.function {
        major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => match body.code() & 3 {
            METHOD_BUFFERED => Ok((body.irp.system_buffer.get() as u64, body.output_length())),
            METHOD_NEITHER => Err(status::INVALID_DEVICE_REQUEST),
            _ if body.irp.mdl_address.get() == 0 => Ok((0, 0)),
            _ => {
                let field = (body.irp.mdl_address.get() + MDL_MAPPED_ADDRESS) as *const u64;
                // SAFETY: the I/O manager made the MDL, mapped.
                Ok((unsafe { field.read() }, body.output_length()))
            }
        },
        _ => Err(status::INVALID_DEVICE_REQUEST),
    }
}

/// The end of both retrievals.
///
/// # Safety
/// `buffer` has room for a pointer, `length` is null or has room for a length.
unsafe fn retrieve(found: Result<(u64, u64), i32>, least: u64, buffer: *mut u64, length: *mut u64) -> i32 {
    require(buffer, "Buffer");
    let (address, bytes) = match found {
        Ok((address, bytes)) if bytes != 0 && bytes >= least => (address, bytes),
        Ok(_) => return status::BUFFER_TOO_SMALL,
        Err(status) => return status,
    };
    // SAFETY: the caller promises it.
    unsafe { buffer.write(address) };
    // SAFETY: as above.
    if let Some(length) = unsafe { length.as_mut() } {
        *length = bytes;
    }
    status::SUCCESS
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

unsafe extern "win64" fn get_file_object(_globals: u64, handle: u64) -> u64 {
    object::find(handle, Kind::Request)
        .request()
        .file
        .as_ref()
        .map_or(0, |file| file.handle())
}

unsafe extern "win64" fn get_io_queue(_globals: u64, handle: u64) -> u64 {
    queue_of(&object::find(handle, Kind::Request)).map_or(0, |queue| queue.handle())
}

unsafe extern "win64" fn get_irp(_globals: u64, handle: u64) -> u64 {
    address(object::find(handle, Kind::Request).request().irp)
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
