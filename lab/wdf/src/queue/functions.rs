//! `wdfio.h`, and the one function of `wdfrequest.h` that moves a request between queues.

use super::events::dispatch_events;
use super::state::{MANUAL, Notice, PARALLEL, Queue, SEQUENTIAL, State, is_empty_transfer, take};
use super::{insert, wait_for_presented, wait_until_empty};
use crate::layout::{ObjectAttributes, QueueConfig, SCOPE_DEVICE, TRI_STATE_DEFAULT, TRI_STATE_FALSE};
use crate::lock::Serial;
use crate::object::{self, Allowed, Holder, Kind, Object};
use crate::request::{self, Owner};
use crate::slot::Slot;
use crate::violation::{self, require, routine, violation};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
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
    // SAFETY: the declaration: attributes or none.
    let attributes = match unsafe { object::attributes(attributes, Allowed::PLAIN.and_level().and_scope()) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    if config.size as usize != size_of::<QueueConfig>() {
        return status::INFO_LENGTH_MISMATCH;
    }
    if config.default_queue == 0 && result.is_null() {
        return status::INVALID_PARAMETER_4;
    }
    if config.default_queue != 0 && device.device().is_made() {
        return status::INVALID_DEVICE_STATE;
    }
    let created = try_create(&device, config, attributes.as_ref());
    // SAFETY: the declaration: room for a handle, or null.
    unsafe { object::answer(created, result) }
}

fn try_create(
    device: &Arc<Object>,
    config: QueueConfig,
    attributes: Option<&ObjectAttributes>,
) -> Result<Arc<Object>, i32> {
    if let Some(attributes) = attributes.filter(|attributes| attributes.parent != 0) {
        let above = object::any(attributes.parent).device_above();
        if above.is_none_or(|above| above.handle() != device.handle()) {
            return Err(status::INVALID_DEVICE_REQUEST);
        }
    }
    check(&config)?;
    // By default a filter's is not (fxioqueue.cpp:400); "queues for NonPnp devices can't be power managed" (:420).
    let asked = match config.power_managed {
        TRI_STATE_FALSE => false,
        TRI_STATE_DEFAULT => !device.device().init.filter,
        _ => true,
    };
    let power_managed = asked && device.device().stack.is_some();
    let powered = !power_managed || device.device().state.is_started();
    let body = Queue {
        device: device.clone(),
        config,
        power_managed,
        serial: Serial::new(),
        state: IrqLock::new(State {
            waiting: VecDeque::new(),
            presented: Vec::new(),
            cancelled: VecDeque::new(),
            cancelled_on_queue: VecDeque::new(),
            stopped: None,
            purged: None,
            inside: 0,
            deferred: false,
            cancelling: false,
            accepting: true,
            shut_down: false,
            dispatching: true,
            powered,
        }),
    };
    let queue = object::create(Kind::Queue, attributes, Some(device), body)?;
    // A queue under the device's lock has its callbacks at the device's level.
    let refused = if queue.scope() == SCOPE_DEVICE && queue.is_passive() != device.is_passive() {
        Err(status::INVALID_PARAMETER)
    } else if config.default_queue != 0 {
        device.device().set_default_queue(&queue)
    } else {
        Ok(())
    };
    refused.inspect_err(|_| {
        queue.forget_callbacks();
        queue.delete();
    })?;
    device.device().add_queue(&queue);
    Ok(queue)
}

/// What a queue of that type needs (fxioqueue.cpp:312-377). Real KMDF takes a parallel queue that may present nothing, and then it does.
fn check(config: &QueueConfig) -> Result<(), i32> {
    let callbacks = [
        config.evt_io_default,
        config.evt_io_read,
        config.evt_io_write,
        config.evt_io_device_control,
        config.evt_io_internal_device_control,
    ];
    let has_callback = callbacks.iter().any(|&callback| callback != 0);
    let limited = config.presented_requests != 0;
    match config.dispatch_type {
        SEQUENTIAL | PARALLEL if !has_callback => Err(status::WDF_NO_CALLBACK),
        MANUAL if has_callback => Err(status::INVALID_PARAMETER),
        SEQUENTIAL | MANUAL if limited => Err(status::INVALID_PARAMETER),
        PARALLEL if !limited => Err(status::INVALID_PARAMETER),
        SEQUENTIAL..=MANUAL => Ok(()),
        _ => Err(status::INVALID_PARAMETER),
    }
}

unsafe extern "win64" fn get_device(_globals: u64, queue: u64) -> u64 {
    object::find(queue, Kind::Queue).queue().device.handle()
}

unsafe extern "win64" fn start(_globals: u64, queue: u64) {
    let queue = object::find(queue, Kind::Queue);
    {
        let mut state = queue.queue().state.lock();
        state.accepting = !state.shut_down;
        state.dispatching = true;
        state.cancelling = false;
    }
    dispatch_events(&queue);
}

/// Presents no more; a queue that was purged takes requests in again (fxioqueue.cpp:3680).
fn pause(queue: &Arc<Object>) {
    let mut state = queue.queue().state.lock();
    state.accepting = !state.shut_down;
    state.dispatching = false;
}

unsafe extern "win64" fn stop(_globals: u64, queue: u64, callback: u64, context: u64) {
    let queue = object::find(queue, Kind::Queue);
    owe(&queue, |state| &mut state.stopped, (callback, context));
    pause(&queue);
    dispatch_events(&queue);
}

unsafe extern "win64" fn stop_synchronously(_globals: u64, queue: u64) {
    let queue = object::find(queue, Kind::Queue);
    pause(&queue);
    wait_for_presented(&queue);
}

unsafe extern "win64" fn purge(_globals: u64, queue: u64, callback: u64, context: u64) {
    let queue = object::find(queue, Kind::Queue);
    owe(&queue, |state| &mut state.purged, (callback, context));
    super::purge(&queue);
}

unsafe extern "win64" fn purge_synchronously(_globals: u64, queue: u64) {
    let queue = object::find(queue, Kind::Queue);
    super::purge(&queue);
    wait_until_empty(&queue);
}

/// Notes a callback for when the queue has come to rest; there is room for one.
fn owe(queue: &Arc<Object>, place: fn(&mut State) -> &mut Option<Notice>, notice: Notice) {
    if notice.0 == 0 {
        return;
    }
    let before = place(&mut queue.queue().state.lock()).replace(notice);
    if before.is_some() {
        violation(
            violation::QUEUE,
            queue.handle(),
            0,
            format_args!(
                "{} was given a callback, and the queue still owes the one of an earlier call",
                routine()
            ),
        );
    }
}

unsafe extern "win64" fn retrieve_next_request(_globals: u64, queue: u64, result: *mut u64) -> i32 {
    let queue = object::find(queue, Kind::Queue);
    require(result, "OutRequest");
    // SAFETY: the declaration: room for a handle.
    unsafe { retrieve(&queue, |_| true, status::NO_MORE_ENTRIES, result) }
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
    require(result, "OutRequest");
    if queue.queue().config.dispatch_type != MANUAL {
        violation(
            violation::QUEUE,
            queue.handle(),
            0,
            format_args!("WdfIoQueueRetrieveFoundRequest was given a queue that is not manual"),
        );
    }
    let elsewhere = request::waits_in(&found).filter(|other| other.handle() != queue.handle());
    if let Some(other) = elsewhere {
        violation(
            violation::REQUEST,
            violation::REQUEST_NOT_IN_QUEUE,
            found.handle(),
            format_args!(
                "WdfIoQueueRetrieveFoundRequest was given a request that waits in another queue, {:#x}",
                other.handle()
            ),
        );
    }
    let fits = |waiting: &Object| waiting.handle() == found.handle();
    // SAFETY: the declaration: room for a handle.
    unsafe { retrieve(&queue, fits, status::NOT_FOUND, result) }
}

/// Gives the driver the first waiting request that fits; `none` if there is none. A failure leaves NULL behind.
///
/// # Safety
/// `result` has room for a handle.
unsafe fn retrieve(queue: &Arc<Object>, fits: impl Fn(&Object) -> bool, none: i32, result: *mut u64) -> i32 {
    let retrieved = try_retrieve(queue, fits, none);
    let handle = retrieved.as_ref().map_or(0, |request| request.handle());
    // SAFETY: the caller promises it.
    unsafe { result.write(handle) };
    retrieved.err().unwrap_or(status::SUCCESS)
}

fn try_retrieve(queue: &Arc<Object>, fits: impl Fn(&Object) -> bool, none: i32) -> Result<Arc<Object>, i32> {
    let body = queue.queue();
    if body.config.dispatch_type == PARALLEL {
        return Err(status::INVALID_DEVICE_STATE);
    }
    loop {
        let request = {
            let mut state = body.state.lock();
            if !state.dispatching || !state.powered {
                return Err(status::WDF_PAUSED);
            }
            take(&mut state, queue, &fits).ok_or(none)?
        };
        if !is_empty_transfer(queue, &request) {
            request.request().present();
            return Ok(request);
        }
        request::complete(&request, status::SUCCESS, Some(0));
    }
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
    let Some(origin) = request::queue_of(&request) else {
        violation(
            violation::QUEUE,
            handle,
            destination.handle(),
            format_args!(
                "WdfRequestForwardToIoQueue was given a request that comes from no queue (WdfDeviceEnqueueRequest)"
            ),
        );
    };
    if origin.handle() == destination.handle() {
        violation(
            violation::QUEUE,
            handle,
            destination.handle(),
            format_args!(
                "WdfRequestForwardToIoQueue was given the queue that the request comes from (WdfRequestRequeue)"
            ),
        );
    }
    match insert(&destination, &request) {
        Ok(()) => {
            origin.queue().gone(&origin, &request);
            status::SUCCESS
        }
        Err(status) => status,
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
