//! Requests: an IRP on its way through the framework.
//!
//! # State
//! ```text
//! Framework --into a queue--> Queue --presented, retrieved--> Driver --completed--> Completed
//!                               ^------------forwarded----------'
//! ```
//! While a queue has it, its IRP's cancel routine is the framework's. While the driver has it, that is so only between
//! `WdfRequestMarkCancelable` and `WdfRequestUnmarkCancelable`.

use crate::call::invoke;
use crate::layout::RequestParameters;
use crate::object::{self, Body, Kind, Object};
use crate::table::Slot;
use crate::violation::{self, require, routine, violation};
use crate::{file, queue};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use rundown_lab_kernel::io::object::{Irp, major};
use rundown_lab_kernel::io::{irp, status};
use rundown_lab_kernel::lock::IrqLock;

/// A request of a device.
pub struct Request {
    irp: &'static Irp,
    device: Arc<Object>,
    file: Option<Arc<Object>>,
    function: u8,
    minor: u8,
    parameters: [u64; 4],
    state: IrqLock<State>,
}

struct State {
    owner: Owner,
    /// The queue that it is in, or was presented from.
    queue: Option<Arc<Object>>,
    cancel: Cancel,
}

/// Who has a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The framework, on the way to a queue.
    Framework,
    /// A queue; it waits.
    Queue,
    /// The driver, which has to complete or forward it.
    Driver,
    /// Nobody any more.
    Completed,
}

/// Whether the driver's cancel callback may be called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cancel {
    No,
    /// Marked with this callback.
    Marked(u64),
    /// The callback was called.
    Called,
}

/// Requests by the address of their IRP, for the cancel routine.
static BY_IRP: IrqLock<BTreeMap<u64, Arc<Object>>> = IrqLock::new(BTreeMap::new());

/// `MDL.MappedSystemVa`, as offset.
const MDL_MAPPED_ADDRESS: u64 = 0x18;
/// The low bits of a control code.
const METHOD_BUFFERED: u32 = 0;
const METHOD_NEITHER: u32 = 3;

impl Request {
    /// The IRP's major function.
    pub fn function(&self) -> u8 {
        self.function
    }

    /// The device that it came to.
    pub fn device(&self) -> &Arc<Object> {
        &self.device
    }

    /// The file object that it came through, if the driver wants those.
    pub fn file(&self) -> Option<&Arc<Object>> {
        self.file.as_ref()
    }

    /// Bytes of output that the client has room for; of a read or write, its length.
    pub fn output_length(&self) -> u64 {
        self.parameters[0] & 0xFFFF_FFFF
    }

    /// Bytes of input.
    pub fn input_length(&self) -> u64 {
        if self.is_control() {
            self.parameters[1] & 0xFFFF_FFFF
        } else {
            0
        }
    }

    /// The control code; 0 for other requests.
    pub fn code(&self) -> u32 {
        if self.is_control() {
            self.parameters[2] as u32
        } else {
            0
        }
    }

    /// Whether the driver's cancel callback may be called.
    pub fn is_cancelable(&self) -> bool {
        matches!(self.state.lock().cancel, Cancel::Marked(_))
    }

    fn is_control(&self) -> bool {
        matches!(
            self.function,
            major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL
        )
    }
}

fn address(irp: &'static Irp) -> u64 {
    (&raw const *irp) as u64
}

/// Makes a request of an IRP; the framework has it then.
///
/// # Errors
/// An NTSTATUS: memory is short.
pub fn create(device: &Arc<Object>, irp: &'static Irp) -> Result<Arc<Object>, i32> {
    let stack = irp::current(irp);
    let body = Request {
        irp,
        device: device.clone(),
        file: file::of(device.device(), irp),
        function: stack.major_function.get(),
        minor: stack.minor_function.get(),
        parameters: core::array::from_fn(|index| stack.parameters[index].get()),
        state: IrqLock::new(State {
            owner: Owner::Framework,
            queue: None,
            cancel: Cancel::No,
        }),
    };
    let attributes = device.device().init.request_attributes;
    let request = object::create(
        Kind::Request,
        attributes.as_ref(),
        Some(device),
        Body::Request(body),
    )?;
    BY_IRP.lock().insert(address(irp), request.clone());
    Ok(request)
}

/// The driver has it, from `queue` if it came from one.
pub fn give_to_driver(request: &Arc<Object>, queue: Option<&Arc<Object>>) {
    let mut state = request.request().state.lock();
    state.owner = Owner::Driver;
    state.queue = queue.cloned();
}

/// A queue takes it in; false if it is cancelled already. Called with the queue's lock held.
pub fn enter_queue(request: &Arc<Object>, queue: &Arc<Object>) -> bool {
    let body = request.request();
    let mut state = body.state.lock();
    irp::set_cancel_routine(body.irp, cancel_routine as *const () as u64);
    // Whoever takes the routine away again acts: here, or the cancel routine, which waits for the queue's lock.
    let cancelled = body.irp.cancel.get() != 0 && irp::set_cancel_routine(body.irp, 0) != 0;
    state.owner = if cancelled { Owner::Framework } else { Owner::Queue };
    state.queue = Some(queue.clone());
    state.cancel = Cancel::No;
    !cancelled
}

/// It is to leave its queue; false if a cancellation is on its way, which will take it out. Called with the queue's lock held.
pub fn leave_queue(request: &Object) -> bool {
    irp::set_cancel_routine(request.request().irp, 0) != 0
}

/// The queue that it is in, or was presented from.
pub fn queue_of(request: &Arc<Object>) -> Option<Arc<Object>> {
    request.request().state.lock().queue.clone()
}

/// The routine that the driver called is for a request that `owner` has.
pub fn require_owner(request: &Arc<Object>, owner: Owner) {
    let found = request.request().state.lock().owner;
    if found != owner {
        violation(
            violation::QUEUE,
            request.handle(),
            0,
            format_args!(
                "{} was given a request that the driver does not have: {found:?} has it",
                routine()
            ),
        );
    }
}

/// Completes a request, whoever has it: the cleanup callbacks of its object run first, while its buffers are there.
pub fn complete(request: &Arc<Object>, status: i32, information: Option<u64>) {
    let body = request.request();
    let queue = {
        let mut state = body.state.lock();
        state.owner = Owner::Completed;
        state.queue.take()
    };
    let irp = body.irp;
    irp.io_status.status.set(status);
    if let Some(information) = information {
        irp.io_status.information.set(information);
    }
    let failed_create = body.function == major::CREATE && !status::is_success(status);
    let file = body.file.clone().filter(|_| failed_create);
    request.clean_up();
    BY_IRP.lock().remove(&address(irp));
    if let Some(file) = file {
        file::forget(&file);
    }
    irp::complete(irp);
    if let Some(queue) = queue {
        queue::gone(&queue, request);
    }
    request.release();
}

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

/// What a cancellation finds to do.
enum Action {
    FromQueue(Arc<Object>),
    Call(u64),
    Nothing,
}

/// The IRP's cancel routine. The cancel spin lock is held, and released first.
unsafe extern "win64" fn cancel_routine(_device: u64, irp: u64) {
    let irp = irp::check(irp, "the framework's cancel routine");
    let request = BY_IRP.lock().get(&address(irp)).cloned();
    irp::release_cancel_lock(irp.cancel_irql.get());
    let Some(request) = request else { return };
    let action = {
        let mut state = request.request().state.lock();
        match (state.owner, state.cancel) {
            (Owner::Queue, _) => state.queue.clone().map_or(Action::Nothing, Action::FromQueue),
            (Owner::Driver, Cancel::Marked(callback)) => {
                state.cancel = Cancel::Called;
                Action::Call(callback)
            }
            _ => Action::Nothing,
        }
    };
    match action {
        Action::FromQueue(queue) => queue::canceled(&queue, &request),
        Action::Call(callback) => {
            invoke("EvtRequestCancel", callback, [request.handle(), 0, 0, 0, 0]);
        }
        Action::Nothing => {}
    }
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

/// `wdfrequest.h`.
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
