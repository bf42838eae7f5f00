//! `wdfio.h`, and the one function of `wdfrequest.h` that moves a request between queues.

use super::{
    MANUAL, PARALLEL, Queue, SEQUENTIAL, State, cancel_unqueued, cancel_waiting, gone, insert, present,
    purge_and_wait, take, wait_for_presented,
};
use crate::call::invoke;
use crate::layout::{ObjectAttributes, QueueConfig, TRI_STATE_FALSE};
use crate::lock::Serial;
use crate::object::{self, Body, Kind, Object};
use crate::request::{self, Owner};
use crate::table::Slot;
use crate::violation::{self, require, violation};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::ke::worker;
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::status;

unsafe extern "win64" fn create(
    _globals: u64,
    device: u64,
    config: *const QueueConfig,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    let device = object::find(device, Kind::Device);
    // SAFETY: the declaration: a WDF_IO_QUEUE_CONFIG.
    let config = unsafe { require(config, "Config").read() };
    if config.size as usize != size_of::<QueueConfig>() {
        return status::INFO_LENGTH_MISMATCH;
    }
    let parallel_without_limit = config.dispatch_type == PARALLEL && config.presented_requests == 0;
    if !(SEQUENTIAL..=MANUAL).contains(&config.dispatch_type) || parallel_without_limit {
        return status::INVALID_PARAMETER;
    }
    let callbacks = [
        config.evt_io_default,
        config.evt_io_read,
        config.evt_io_write,
        config.evt_io_device_control,
        config.evt_io_internal_device_control,
    ];
    if config.dispatch_type != MANUAL && callbacks.iter().all(|&callback| callback == 0) {
        return status::INVALID_PARAMETER;
    }
    let power_managed = config.power_managed != TRI_STATE_FALSE;
    let powered = !power_managed || device.device().state.is_started();
    let body = Body::Queue(Queue {
        device: device.clone(),
        config,
        power_managed,
        serial: Serial::new(),
        state: IrqLock::new(State {
            waiting: VecDeque::new(),
            presented: Vec::new(),
            accepting: true,
            dispatching: true,
            powered,
        }),
    });
    // SAFETY: the declaration: attributes or none.
    let created = unsafe { object::attributes(attributes) }.and_then(|attributes| {
        let queue = object::create(Kind::Queue, attributes.as_ref(), Some(&device), body)?;
        if config.default_queue != 0 {
            device
                .device()
                .set_default_queue(&queue)
                .inspect_err(|_| queue.delete())?;
        }
        device.device().queues.lock().push(queue.clone());
        Ok(queue)
    });
    // SAFETY: the declaration: room for a handle, or null.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn get_device(_globals: u64, queue: u64) -> u64 {
    object::find(queue, Kind::Queue).queue().device.handle()
}

unsafe extern "win64" fn start(_globals: u64, queue: u64) {
    let queue = object::find(queue, Kind::Queue);
    {
        let mut state = queue.queue().state.lock();
        state.accepting = true;
        state.dispatching = true;
    }
    present(&queue);
}

unsafe extern "win64" fn stop(_globals: u64, queue: u64, callback: u64, context: u64) {
    let queue = object::find(queue, Kind::Queue);
    queue.queue().state.lock().dispatching = false;
    later(queue, "EvtIoQueueState", callback, context);
}

unsafe extern "win64" fn stop_synchronously(_globals: u64, queue: u64) {
    let queue = object::find(queue, Kind::Queue);
    queue.queue().state.lock().dispatching = false;
    wait_for_presented(&queue);
}

unsafe extern "win64" fn purge(_globals: u64, queue: u64, callback: u64, context: u64) {
    let queue = object::find(queue, Kind::Queue);
    queue.queue().state.lock().accepting = false;
    cancel_waiting(&queue, |_| true);
    later(queue, "EvtIoQueueState", callback, context);
}

unsafe extern "win64" fn purge_synchronously(_globals: u64, queue: u64) {
    purge_and_wait(&object::find(queue, Kind::Queue));
}

/// Calls back once the driver has no request of the queue any more.
fn later(queue: Arc<Object>, name: &'static str, callback: u64, context: u64) {
    if callback != 0 {
        worker::queue(move || {
            wait_for_presented(&queue);
            invoke(name, callback, [queue.handle(), context, 0, 0, 0]);
        });
    }
}

unsafe extern "win64" fn retrieve_next_request(_globals: u64, queue: u64, result: *mut u64) -> i32 {
    let queue = object::find(queue, Kind::Queue);
    let body = queue.queue();
    require(result, "OutRequest");
    if body.config.dispatch_type == PARALLEL {
        return status::INVALID_DEVICE_STATE;
    }
    let mut state = body.state.lock();
    if !state.dispatching || !state.powered {
        return status::WDF_PAUSED;
    }
    let Some(request) = take(&mut state, &queue, |_| true) else {
        return status::NO_MORE_ENTRIES;
    };
    drop(state);
    // SAFETY: the declaration: room for a handle.
    unsafe { result.write(request.handle()) };
    status::SUCCESS
}

/// `found` has to be a live handle, which a reference on it guarantees, but need not be in the queue any more.
unsafe extern "win64" fn retrieve_found_request(
    _globals: u64,
    queue: u64,
    found: u64,
    result: *mut u64,
) -> i32 {
    let queue = object::find(queue, Kind::Queue);
    let found = object::find(found, Kind::Request);
    let body = queue.queue();
    require(result, "OutRequest");
    let mut state = body.state.lock();
    if !state.dispatching || !state.powered {
        return status::WDF_PAUSED;
    }
    let Some(request) = take(&mut state, &queue, |waiting| waiting.handle() == found.handle()) else {
        return status::NOT_FOUND;
    };
    drop(state);
    // SAFETY: the declaration: room for a handle.
    unsafe { result.write(request.handle()) };
    status::SUCCESS
}

unsafe extern "win64" fn forward(_globals: u64, handle: u64, destination: u64) -> i32 {
    let request = object::find(handle, Kind::Request);
    let destination = object::find(destination, Kind::Queue);
    request::require_owner(&request, Owner::Driver);
    if request.request().device().handle() != destination.queue().device.handle() {
        return status::INVALID_DEVICE_REQUEST;
    }
    if request.request().is_cancelable() {
        violation(
            violation::QUEUE,
            handle,
            destination.handle(),
            format_args!(
                "WdfRequestForwardToIoQueue: the request is still cancelable (WdfRequestUnmarkCancelable comes first)"
            ),
        );
    }
    let origin = request::queue_of(&request);
    if origin
        .as_ref()
        .is_some_and(|origin| origin.handle() == destination.handle())
    {
        // Back to where it came from is WdfRequestRequeue's to do.
        return status::INVALID_DEVICE_REQUEST;
    }
    match insert(&destination, &request) {
        Ok(()) => {
            if let Some(origin) = origin {
                gone(&origin, &request);
            }
            status::SUCCESS
        }
        Err(status::CANCELLED) => {
            // It is the queue's now, and cancelled there.
            if let Some(origin) = origin {
                gone(&origin, &request);
            }
            cancel_unqueued(&destination, &request);
            status::SUCCESS
        }
        Err(_) => status::WDF_BUSY,
    }
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(152, "WdfIoQueueCreate", 2, create as *const ()),
    Slot::new(154, "WdfIoQueueStart", 2, start as *const ()),
    Slot::new(155, "WdfIoQueueStop", 2, stop as *const ()),
    Slot::new(
        156,
        "WdfIoQueueStopSynchronously",
        0,
        stop_synchronously as *const (),
    ),
    Slot::new(157, "WdfIoQueueGetDevice", 2, get_device as *const ()),
    Slot::new(
        158,
        "WdfIoQueueRetrieveNextRequest",
        2,
        retrieve_next_request as *const (),
    ),
    Slot::new(
        161,
        "WdfIoQueueRetrieveFoundRequest",
        2,
        retrieve_found_request as *const (),
    ),
    Slot::new(
        164,
        "WdfIoQueuePurgeSynchronously",
        0,
        purge_synchronously as *const (),
    ),
    Slot::new(165, "WdfIoQueuePurge", 2, purge as *const ()),
    Slot::new(281, "WdfRequestForwardToIoQueue", 2, forward as *const ()),
];
