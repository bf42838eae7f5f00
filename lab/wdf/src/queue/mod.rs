//! I/O queues.
//!
//! A request is *waiting* in a queue, or *presented*: the driver has it, and the queue counts it until it is completed or forwarded.
//! A parallel queue presents up to its limit, a sequential one a single request, a manual one none by itself. What a queue
//! has to tell the driver goes through its event loop ([`events`]).
//!
//! # Locking
//! A queue's lock before a request's; callbacks and completions with neither.

mod events;
pub mod functions;
mod state;

pub use state::Queue;

use crate::arrival;
use crate::call::invoke;
use crate::object::{Body, Holder, Object};
use crate::request;
use alloc::sync::Arc;
use alloc::vec::Vec;
use events::{dispatch_events, dispatch_unless_inside};
use rundown_lab_kernel::bug::{bugcheck, code};
use rundown_lab_kernel::config;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::Irp;
use rundown_lab_kernel::ke::wait;
use rundown_lab_kernel::status;
use state::State;

/// `WdfRequestStopActionSuspend`, `WdfRequestStopRequestCancelable`.
const STOP_ACTION_SUSPEND: u64 = 1;
const STOP_REQUEST_CANCELABLE: u64 = 0x1000_0000;

/// An IRP arrives that goes through a queue.
pub fn arrive(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let _region = arrival::critical_region();
    let request = match request::create(device, irp) {
        Ok(request) => request,
        Err(status) => return arrival::complete(irp, status),
    };
    irp::mark_pending(irp);
    let in_caller_context = device.device().init.in_caller_context;
    if in_caller_context != 0 {
        request::give_in_caller_context(&request);
        let arguments = [device.handle(), request.handle(), 0, 0, 0];
        invoke("EvtIoInCallerContext", in_caller_context, arguments);
    } else if let Err(status) = route(device, &request) {
        // Nobody was there to be told that the queue is busy (fxioqueue.cpp:2300).
        let status = if status == status::WDF_BUSY {
            status::INVALID_DEVICE_STATE
        } else {
            status
        };
        request::complete(&request, status, Some(0));
    }
    status::PENDING
}

/// Whether a filter lets requests of that type pass: it has no queue for them, or its default queue no callback, and wants to see none where
/// it arrives.
pub fn passes(device: &Arc<Object>, function: u8) -> bool {
    if device.device().init.in_caller_context != 0 {
        return false;
    }
    device
        .device()
        .queue_for(function)
        .is_none_or(|queue| device.device().is_default(&queue) && queue.queue().callback(function).1 == 0)
}

/// Puts a request into the queue for its type. Whether that has a callback for it is seen when it would be presented.
///
/// # Errors
/// `STATUS_INVALID_DEVICE_REQUEST` without a queue, `STATUS_WDF_BUSY` from one that takes nothing in (fxioqueue.cpp:2411); whoever had the
/// request still has it.
pub fn route(device: &Arc<Object>, request: &Arc<Object>) -> Result<(), i32> {
    let queue = device
        .device()
        .queue_for(request.request().function())
        .ok_or(status::INVALID_DEVICE_REQUEST)?;
    insert(&queue, request)
}

/// Puts a request at the end of the queue, which cancels it if its IRP is cancelled already, and presents what can be.
///
/// # Errors
/// `STATUS_WDF_BUSY` if the queue takes nothing in.
fn insert(queue: &Arc<Object>, request: &Arc<Object>) -> Result<(), i32> {
    let entered = {
        let mut state = queue.queue().state.lock();
        if !state.accepting {
            return Err(status::WDF_BUSY);
        }
        let entered = request::enter_queue(request, queue);
        if entered {
            state.waiting.push_back(request.clone());
        }
        entered
    };
    if !entered {
        cancel_unqueued(queue, request);
    }
    dispatch_events(queue);
    Ok(())
}

/// Ends a request that was taken out of the queue because it is cancelled. A driver that has seen it before is told, if it wants to be
/// (fxioqueue.cpp:4400).
fn cancel_unqueued(queue: &Arc<Object>, request: &Arc<Object>) {
    let wants_to_know = queue.queue().config.evt_io_canceled_on_queue != 0;
    if wants_to_know && request.request().was_presented() {
        request::give_to_driver(request, Some(queue));
        let mut state = queue.queue().state.lock();
        state.presented.push(request.clone());
        state.cancelled_on_queue.push_back(request.clone());
    } else {
        request::complete(request, status::CANCELLED, Some(0));
    }
    dispatch_unless_inside(queue);
}

/// Runs `mark` while nothing can begin to cancel what the driver has; it is told whether that has happened already.
pub fn while_not_cancelling<R>(queue: &Arc<Object>, mark: impl FnOnce(bool) -> R) -> R {
    let state = queue.queue().state.lock();
    mark(state.cancelling)
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

/// A handle is closed: the waiting requests of NT's file object at `file` are cancelled.
pub fn cancel_of_file(queue: &Arc<Object>, file: u64) {
    cancel_waiting(queue, |request| request.request().file_object() == file);
}

/// Takes no request in any more, cancels those that wait, and those at the driver that are marked cancelable.
fn purge(queue: &Arc<Object>) {
    {
        let mut state = queue.queue().state.lock();
        state.accepting = false;
        state.cancelling = true;
    }
    cancel_waiting(queue, |_| true);
    {
        let mut state = queue.queue().state.lock();
        let marked: Vec<_> = state
            .presented
            .iter()
            .filter(|request| request::begin_cancel(request))
            .cloned()
            .collect();
        state.cancelled.extend(marked);
    }
    dispatch_events(queue);
}

/// Whether a queue is its device's default one, which cannot be deleted.
pub fn is_default(queue: &Object) -> bool {
    queue.queue().device.device().is_default(queue)
}

/// The device is in D0.
pub fn power_up(queue: &Arc<Object>) {
    queue.queue().state.lock().powered = true;
    dispatch_events(queue);
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

/// The device is removed, or the queue deleted: it is purged, for good, and what the driver has is waited for.
pub fn shut_down(queue: &Arc<Object>) {
    queue.queue().state.lock().shut_down = true;
    purge(queue);
    wait_until_empty(queue);
}

/// Waits until the driver has no request of the queue and is in none of its callbacks (fxioqueue.cpp:5477).
fn wait_for_presented(queue: &Arc<Object>) {
    wait_until(queue, |state| state.presented.is_empty());
}

/// The same, until none waits either.
fn wait_until_empty(queue: &Arc<Object>) {
    wait_until(queue, |state| {
        state.presented.is_empty() && state.waiting.is_empty()
    });
}

fn wait_until(queue: &Arc<Object>, reached: fn(&State) -> bool) {
    let limit = config::get().hang;
    for waited in 0.. {
        let left = {
            let state = queue.queue().state.lock();
            if reached(&state) && state.inside == 0 {
                return;
            }
            state.presented.first().cloned()
        };
        if waited > limit {
            give_up(left, waited);
        }
        wait::sleep(1);
    }
}

fn give_up(left: Option<Arc<Object>>, waited: u64) -> ! {
    let Some(request) = left else {
        bugcheck(
            code::REQUEST_NOT_COMPLETED,
            [0, waited, 0, 0],
            format_args!(
                "the queue is stopped or purged, and a callback of it has not returned {waited} ms later"
            ),
        );
    };
    let code = request.request().code();
    bugcheck(
        code::REQUEST_NOT_COMPLETED,
        [u64::from(code), waited, request.handle(), 0],
        format_args!(
            "the queue is stopped or purged, and the driver still has the request with control code {code:#010x} {waited} ms later"
        ),
    );
}

impl Body for Queue {
    fn dispose(&self, object: &Arc<Object>) {
        shut_down(object);
        self.device.device().forget_queue(object);
    }

    fn holder(&self) -> Option<&dyn Holder> {
        Some(self)
    }
}

impl Object {
    /// Its body as a queue.
    pub fn queue(&self) -> &Queue {
        self.body()
    }
}

impl Holder for Queue {
    fn gone(&self, queue: &Arc<Object>, request: &Arc<Object>) {
        self.state
            .lock()
            .presented
            .retain(|presented| presented.handle() != request.handle());
        dispatch_unless_inside(queue);
    }

    fn canceled(&self, queue: &Arc<Object>, request: &Arc<Object>) {
        let found = {
            let mut state = self.state.lock();
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

    fn canceled_at_driver(&self, queue: &Arc<Object>, request: Arc<Object>) {
        self.state.lock().cancelled.push_back(request);
        dispatch_unless_inside(queue);
    }
}
