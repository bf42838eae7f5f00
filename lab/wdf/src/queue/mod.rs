//! I/O queues.
//!
//! A request is *waiting* in a queue, or *presented*: the driver has it, and the queue counts it until it is completed or forwarded.
//! A parallel queue presents up to its limit, a sequential one a single request, a manual one none by itself.
//!
//! # Locking
//! A queue's lock before a request's; callbacks and completions with neither.

mod functions;

pub use functions::FUNCTIONS;

use crate::call::{Callback, invoke};
use crate::device::Device;
use crate::dispatch;
use crate::layout::{QueueConfig, SCOPE_DEVICE, SCOPE_QUEUE};
use crate::lock::Serial;
use crate::object::Object;
use crate::request;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::bug::{bugcheck, code};
use rundown_lab_kernel::config;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{Irp, major};
use rundown_lab_kernel::ke::worker;
use rundown_lab_kernel::ke::{irql, wait};
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::status;

/// `WDF_IO_QUEUE_DISPATCH_TYPE`.
const SEQUENTIAL: u32 = 1;
const PARALLEL: u32 = 2;
const MANUAL: u32 = 3;
/// `WdfRequestStopActionSuspend`, `WdfRequestStopRequestCancelable`.
const STOP_ACTION_SUSPEND: u64 = 1;
const STOP_REQUEST_CANCELABLE: u64 = 0x1000_0000;
/// `IRP_MJ_READ`, `IRP_MJ_WRITE`.
const READ: u8 = 3;
const WRITE: u8 = 4;

/// A queue of a device.
pub struct Queue {
    device: Arc<Object>,
    config: QueueConfig,
    power_managed: bool,
    /// The lock of `WdfSynchronizationScopeQueue`.
    serial: Serial,
    state: IrqLock<State>,
}

struct State {
    waiting: VecDeque<Arc<Object>>,
    presented: Vec<Arc<Object>>,
    /// New requests are taken in.
    accepting: bool,
    /// Waiting requests are presented.
    dispatching: bool,
    /// The device is in D0, or the queue does not care.
    powered: bool,
}

impl Queue {
    /// The device that it belongs to.
    pub fn device(&self) -> &Arc<Object> {
        &self.device
    }

    /// The lock of `WdfSynchronizationScopeQueue`.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    fn limit(&self) -> usize {
        match self.config.dispatch_type {
            SEQUENTIAL => 1,
            PARALLEL => self.config.presented_requests as usize,
            _ => 0,
        }
    }

    /// The callback for a request, and its name.
    fn callback(&self, function: u8) -> (&'static str, Callback) {
        let (name, callback) = match function {
            READ => ("EvtIoRead", self.config.evt_io_read),
            WRITE => ("EvtIoWrite", self.config.evt_io_write),
            major::DEVICE_CONTROL => ("EvtIoDeviceControl", self.config.evt_io_device_control),
            major::INTERNAL_DEVICE_CONTROL => (
                "EvtIoInternalDeviceControl",
                self.config.evt_io_internal_device_control,
            ),
            _ => ("EvtIoDefault", 0),
        };
        if callback == 0 {
            ("EvtIoDefault", self.config.evt_io_default)
        } else {
            (name, callback)
        }
    }
}

/// An IRP arrives that goes through a queue.
pub fn arrive(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let request = match request::create(device, irp) {
        Ok(request) => request,
        Err(status) => return dispatch::complete(irp, status),
    };
    irp::mark_pending(irp);
    let in_caller_context = device.device().init.in_caller_context;
    if in_caller_context != 0 {
        request::give_to_driver(&request, None);
        let arguments = [device.handle(), request.handle(), 0, 0, 0];
        invoke("EvtIoInCallerContext", in_caller_context, arguments);
    } else if let Err(status) = route_inner(device, &request) {
        request::complete(&request, status, Some(0));
    }
    status::PENDING
}

/// `WdfDeviceEnqueueRequest`; on failure the driver still has the request.
pub fn route(device: &Arc<Object>, request: &Arc<Object>) -> i32 {
    match route_inner(device, request) {
        Ok(()) => status::SUCCESS,
        Err(status::CANCELLED) => {
            // It is the queue's now, and cancelled there.
            if let Some(queue) = request::queue_of(request) {
                cancel_unqueued(&queue, request);
            }
            status::SUCCESS
        }
        Err(status) => status,
    }
}

fn route_inner(device: &Arc<Object>, request: &Arc<Object>) -> Result<(), i32> {
    let function = request.request().function();
    let queue = device
        .device()
        .queue_for(function)
        .ok_or(status::INVALID_DEVICE_REQUEST)?;
    let body = queue.queue();
    if body.config.dispatch_type != MANUAL && body.callback(function).1 == 0 {
        return Err(status::INVALID_DEVICE_REQUEST);
    }
    insert(&queue, request)
}

/// Puts a request at the end of the queue, and presents what can be.
fn insert(queue: &Arc<Object>, request: &Arc<Object>) -> Result<(), i32> {
    {
        let mut state = queue.queue().state.lock();
        if !state.accepting {
            return Err(status::INVALID_DEVICE_STATE);
        }
        if !request::enter_queue(request, queue) {
            return Err(status::CANCELLED);
        }
        state.waiting.push_back(request.clone());
    }
    present(queue);
    Ok(())
}

/// Presents waiting requests, as many as the queue may. At a raised IRQL a queue with passive callbacks leaves it to a worker.
fn present(queue: &Arc<Object>) {
    if queue.is_passive() && irql::current() != irql::PASSIVE_LEVEL {
        let queue = queue.clone();
        worker::queue(move || present(&queue));
        return;
    }
    while let Some(request) = next_to_present(queue) {
        let body = queue.queue();
        let details = request.request();
        let (name, callback) = body.callback(details.function());
        let (queue_handle, handle) = (queue.handle(), request.handle());
        let arguments = match details.function() {
            major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL if name != "EvtIoDefault" => [
                queue_handle,
                handle,
                details.output_length(),
                details.input_length(),
                u64::from(details.code()),
            ],
            READ | WRITE => [queue_handle, handle, details.output_length(), 0, 0],
            _ => [queue_handle, handle, 0, 0, 0],
        };
        let device: &Device = body.device.device();
        let serial = match queue.scope() {
            SCOPE_DEVICE => Some(&device.serial),
            SCOPE_QUEUE => Some(&body.serial),
            _ => None,
        };
        match serial {
            Some(serial) => serial.run(queue.is_passive(), || invoke(name, callback, arguments)),
            None => invoke(name, callback, arguments),
        };
    }
}

fn next_to_present(queue: &Arc<Object>) -> Option<Arc<Object>> {
    let body = queue.queue();
    let mut state = body.state.lock();
    if !state.dispatching || !state.powered || state.presented.len() >= body.limit() {
        return None;
    }
    take(&mut state, queue, |_| true)
}

/// Takes the first waiting request that fits and is not being cancelled, and counts it as presented.
fn take(state: &mut State, queue: &Arc<Object>, fits: impl Fn(&Object) -> bool) -> Option<Arc<Object>> {
    let index = state
        .waiting
        .iter()
        .position(|request| fits(request) && request::leave_queue(request))?;
    let request = state.waiting.remove(index)?;
    request::give_to_driver(&request, Some(queue));
    state.presented.push(request.clone());
    Some(request)
}

/// A presented request is completed, or has gone to another queue.
pub fn gone(queue: &Arc<Object>, request: &Arc<Object>) {
    let more = {
        let mut state = queue.queue().state.lock();
        state
            .presented
            .retain(|presented| presented.handle() != request.handle());
        !state.waiting.is_empty() && queue.queue().limit() != 0
    };
    if more {
        // Not here: a completion may come from inside the callback of this very queue.
        let queue = queue.clone();
        worker::queue(move || present(&queue));
    }
}

/// The IRP of a waiting request was cancelled.
pub fn canceled(queue: &Arc<Object>, request: &Arc<Object>) {
    let found = {
        let mut state = queue.queue().state.lock();
        let index = state
            .waiting
            .iter()
            .position(|waiting| waiting.handle() == request.handle());
        index.map(|index| state.waiting.remove(index)).is_some()
    };
    if found {
        cancel_unqueued(queue, request);
    }
}

/// Ends a request that was taken out of the queue because it is cancelled.
fn cancel_unqueued(queue: &Arc<Object>, request: &Arc<Object>) {
    let callback = queue.queue().config.evt_io_canceled_on_queue;
    if callback == 0 {
        request::complete(request, status::CANCELLED, Some(0));
    } else {
        request::give_to_driver(request, Some(queue));
        queue.queue().state.lock().presented.push(request.clone());
        invoke(
            "EvtIoCanceledOnQueue",
            callback,
            [queue.handle(), request.handle(), 0, 0, 0],
        );
    }
}

/// Cancels all waiting requests that fit.
fn cancel_waiting(queue: &Arc<Object>, fits: impl Fn(&Object) -> bool) {
    loop {
        let next = {
            let mut state = queue.queue().state.lock();
            let index = state
                .waiting
                .iter()
                .position(|request| fits(request) && request::leave_queue(request));
            index.and_then(|index| state.waiting.remove(index))
        };
        let Some(request) = next else { return };
        cancel_unqueued(queue, &request);
    }
}

/// A handle is closed: its file's waiting requests are cancelled.
pub fn cancel_of_file(queue: &Arc<Object>, file: &Arc<Object>) {
    cancel_waiting(queue, |request| {
        request
            .request()
            .file()
            .is_some_and(|own| own.handle() == file.handle())
    });
}

/// The device is in D0.
pub fn power_up(queue: &Arc<Object>) {
    queue.queue().state.lock().powered = true;
    present(queue);
}

/// The device leaves D0: a power-managed queue presents no more, and the driver is asked to stop what it has.
pub fn power_down(queue: &Arc<Object>) {
    let body = queue.queue();
    if !body.power_managed {
        return;
    }
    let presented = {
        let mut state = body.state.lock();
        state.powered = false;
        state.presented.clone()
    };
    if body.config.evt_io_stop == 0 {
        wait_for_presented(queue);
        return;
    }
    for request in presented {
        let cancelable = if request.request().is_cancelable() {
            STOP_REQUEST_CANCELABLE
        } else {
            0
        };
        let flags = STOP_ACTION_SUSPEND | cancelable;
        invoke(
            "EvtIoStop",
            body.config.evt_io_stop,
            [queue.handle(), request.handle(), flags, 0, 0],
        );
    }
}

/// No request is taken in any more, waiting ones are cancelled, and the driver's are waited for.
pub fn purge_and_wait(queue: &Arc<Object>) {
    queue.queue().state.lock().accepting = false;
    cancel_waiting(queue, |_| true);
    wait_for_presented(queue);
}

fn wait_for_presented(queue: &Arc<Object>) {
    let limit = config::get().hang;
    for waited in 0.. {
        let presented = queue.queue().state.lock().presented.first().cloned();
        let Some(request) = presented else { return };
        if waited > limit {
            let code = request.request().code();
            bugcheck(
                code::REQUEST_NOT_COMPLETED,
                [u64::from(code), waited, request.handle(), 0],
                format_args!(
                    "the queue is stopped or purged, and the driver still has the request with control code {code:#010x} {waited} ms later"
                ),
            );
        }
        wait::sleep(1);
    }
}
