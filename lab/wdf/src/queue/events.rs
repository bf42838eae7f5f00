//! A queue's event loop: everything that the framework tells the driver about a queue and its requests goes through it, one event
//! after the other, in the order of [`Event`] (fxioqueue.cpp:2758).
//!
//! A thread runs the loop for what it caused: a sender's for its request, a canceller's for the cancellation, a completer's for the
//! request that comes next. It leaves that to a worker if it is at too high an IRQL for the queue's callbacks, or in one of them with
//! their lock. A thread that merely changed something runs no second loop while there is one, which sees the change: so a callback that
//! does not return keeps back what the queue has to tell next.

use super::state::{Notice, Queue, State, is_empty_transfer, take};
use crate::call::{Callback, invoke};
use crate::object::Object;
use crate::request;
use alloc::sync::Arc;
use rundown_lab_kernel::io::object::major;
use rundown_lab_kernel::ke::irql;
use rundown_lab_kernel::ke::worker;
use rundown_lab_kernel::status;

/// What the driver is told next.
enum Event {
    /// A request that it has is cancelled.
    Cancel(Arc<Object>),
    /// One that it had is cancelled while it waits.
    CanceledOnQueue(Arc<Object>),
    /// It has no request of a stopped queue any more.
    Stopped(Notice),
    /// There is no request in a purged queue any more.
    Purged(Notice),
    /// A request is presented.
    Request(Arc<Object>),
}

/// Tells the driver what there is to tell.
pub(super) fn dispatch_events(queue: &Arc<Object>) {
    if must_defer(queue) {
        defer(queue);
        return;
    }
    queue.queue().state.lock().inside += 1;
    while let Some(event) = next(queue) {
        deliver(queue, event);
    }
}

/// The same, unless a thread is at it already.
pub(super) fn dispatch_unless_inside(queue: &Arc<Object>) {
    if queue.queue().state.lock().inside == 0 {
        dispatch_events(queue);
    }
}

fn must_defer(queue: &Arc<Object>) -> bool {
    let too_high = queue.is_passive() && irql::current() != irql::PASSIVE_LEVEL;
    let lock = queue.queue().callback_lock(queue.scope());
    too_high || lock.is_some_and(crate::lock::Serial::is_mine)
}

fn defer(queue: &Arc<Object>) {
    let mut state = queue.queue().state.lock();
    if core::mem::replace(&mut state.deferred, true) {
        return;
    }
    drop(state);
    let queue = queue.clone();
    worker::queue(move || {
        // Before the loop: what comes while it runs is deferred anew.
        queue.queue().state.lock().deferred = false;
        dispatch_events(&queue);
    });
}

/// The next event; `None` when there is none for this thread, which is out of the loop then.
fn next(queue: &Arc<Object>) -> Option<Event> {
    let body = queue.queue();
    let mut state = body.state.lock();
    let event = next_notice(&mut state).or_else(|| next_request(body, queue, &mut state));
    if event.is_none() {
        state.inside -= 1;
    }
    event
}

fn next_notice(state: &mut State) -> Option<Event> {
    if let Some(request) = state.cancelled.pop_front() {
        return Some(Event::Cancel(request));
    }
    if let Some(request) = state.cancelled_on_queue.pop_front() {
        return Some(Event::CanceledOnQueue(request));
    }
    if state.inside > 1 || !state.presented.is_empty() {
        return None;
    }
    if let Some(notice) = state.stopped.take() {
        state.cancelling = false;
        return Some(Event::Stopped(notice));
    }
    if state.waiting.is_empty()
        && let Some(notice) = state.purged.take()
    {
        state.cancelling = false;
        return Some(Event::Purged(notice));
    }
    None
}

fn next_request(body: &Queue, queue: &Arc<Object>, state: &mut State) -> Option<Event> {
    if !state.dispatching || !state.powered || state.presented.len() >= body.limit() {
        return None;
    }
    take(state, queue, |_| true).map(Event::Request)
}

fn deliver(queue: &Arc<Object>, event: Event) {
    let handle = queue.handle();
    match event {
        Event::Cancel(request) => {
            let callback = request::take_due(&request);
            under_lock(
                queue,
                "EvtRequestCancel",
                callback,
                [request.handle(), 0, 0, 0, 0],
            );
        }
        Event::CanceledOnQueue(request) => {
            let callback = queue.queue().config.evt_io_canceled_on_queue;
            let arguments = [handle, request.handle(), 0, 0, 0];
            under_lock(queue, "EvtIoCanceledOnQueue", callback, arguments);
        }
        Event::Stopped((callback, context)) => {
            invoke("EvtIoQueueState", callback, [handle, context, 0, 0, 0]);
        }
        Event::Purged((callback, context)) => {
            under_lock(queue, "EvtIoQueueState", callback, [handle, context, 0, 0, 0]);
        }
        Event::Request(request) => present(queue, &request),
    }
}

fn present(queue: &Arc<Object>, request: &Arc<Object>) {
    let details = request.request();
    let (name, callback) = queue.queue().callback(details.function());
    if callback == 0 {
        // The driver has nothing for this type of request (fxioqueue.cpp:3440).
        request::complete(request, status::INVALID_DEVICE_REQUEST, None);
        return;
    }
    if is_empty_transfer(queue, request) {
        request::complete(request, status::SUCCESS, None);
        return;
    }
    let (queue_handle, handle) = (queue.handle(), request.handle());
    let arguments = match details.function() {
        _ if name == "EvtIoDefault" => [queue_handle, handle, 0, 0, 0],
        major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => [
            queue_handle,
            handle,
            details.output_length(),
            details.input_length(),
            u64::from(details.code()),
        ],
        _ => [queue_handle, handle, details.output_length(), 0, 0],
    };
    details.present();
    under_lock(queue, name, callback, arguments);
}

fn under_lock(queue: &Arc<Object>, name: &'static str, callback: Callback, arguments: [u64; 5]) {
    match queue.queue().callback_lock(queue.scope()) {
        Some(lock) => lock.run(queue.is_passive(), || invoke(name, callback, arguments)),
        None => invoke(name, callback, arguments),
    };
}
