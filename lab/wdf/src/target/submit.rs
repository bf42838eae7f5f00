//! A request on its way to a target and back.
//!
//! Whoever takes the last hold off a sent request ends the sending: as a rule the completion routine; the canceller, if the request comes back
//! while it is about to cancel it; the timer, if its time is over just then (fxiotarget.cpp:2287).

use super::options::Options;
use super::{CLOSED, CLOSED_FOR_QUERY_REMOVE, DELETED, STARTED, STOPPED, State, wait_for};
use crate::call::invoke;
use crate::layout::{CompletionParams, TYPE_NO_FORMAT};
use crate::object::{self, Kind, Object};
use crate::request;
use crate::request::made::{has_locations, make_timer};
use crate::request::sending::{Completion, Routine, Sending, Waiter};
use crate::violation::{self, violation};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::bug::{bugcheck, code};
use rundown_lab_kernel::config;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{Irp, control};
use rundown_lab_kernel::status;

/// The place in `IRP.Tail.Overlay.DriverContext` for the request of an IRP that a target keeps: a cancel-safe queue's.
const CONTEXT: usize = 3;

/// What has become of a request that was to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Submitted {
    /// It is to be sent now.
    Send,
    /// The target keeps it.
    Kept,
    /// It is the driver's still; its IRP has the status.
    Refused,
}

/// Sends a request; whether it is the target's now. If not, the status is in its IRP.
pub(super) fn send(target: &Arc<Object>, request: &Arc<Object>, options: Options) -> bool {
    let sent = submit(target, request, options);
    if sent == Submitted::Send {
        call(target, request);
    }
    sent != Submitted::Refused
}

/// The device that it was found at does not change while a request is under way.
fn call(target: &Arc<Object>, request: &Arc<Object>) {
    if let Some(place) = target.target().place() {
        irp::call_driver(place.device, request.request().irp());
    }
}

/// The questions in the framework's order, since it decides which status a driver gets (fxiotarget.cpp:1250).
fn submit(target: &Arc<Object>, request: &Arc<Object>, options: Options) -> Submitted {
    let (body, details) = (target.target(), request.request());
    let irp = details.irp();
    let refuse = |status| {
        irp.io_status.status.set(status);
        Submitted::Refused
    };
    if details.is_cancelable() {
        violation(
            violation::QUEUE,
            request.handle(),
            0,
            format_args!(
                "WdfRequestSend: the request is still cancelable (WdfRequestUnmarkCancelable comes first)"
            ),
        );
    }
    let mut state = body.state.lock();
    let mut sending = details.sending().lock();
    if sending.holds != 0 {
        drop(sending);
        drop(state);
        already_sent(request);
    }
    if !sending.formatted
        || state
            .place
            .is_some_and(|place| !has_locations(irp, place.stack_size))
    {
        return refuse(status::REQUEST_NOT_ACCEPTED);
    }
    if options.timeout().is_some() && !sending.has_timer {
        drop(sending);
        if let Err(status) = make_timer(details) {
            return refuse(status);
        }
        sending = details.sending().lock();
    }
    let keeps = match state.now {
        DELETED | CLOSED | CLOSED_FOR_QUERY_REMOVE if options.ignores_state() && state.removing => false,
        DELETED | CLOSED | CLOSED_FOR_QUERY_REMOVE => return refuse(status::INVALID_DEVICE_STATE),
        STARTED => false,
        _ if options.ignores_state() => false,
        STOPPED => true,
        _ => return refuse(status::INVALID_DEVICE_STATE),
    };
    if sending.canceled || (keeps && !keep(request, irp)) {
        return refuse(status::CANCELLED);
    }
    sending.target = Some(target.clone());
    sending.holds = 1;
    sending.back = false;
    sending.ignores_state = options.ignores_state() && !keeps;
    state.requests += 1;
    request.reference();
    request::give_to_target(request);
    let list = if sending.ignores_state {
        &mut state.ignoring
    } else {
        &mut state.sent
    };
    if keeps {
        state.kept.push_back(request.clone());
    } else {
        list.push(request.clone());
        irp::set_completion(irp, is_back as *const () as u64, request.handle(), [true; 3]);
    }
    if let Some(timeout) = options.timeout() {
        sending.timed = true;
        details.timer().set(timeout, time_is_over, request.handle());
    }
    if keeps { Submitted::Kept } else { Submitted::Send }
}

fn already_sent(request: &Object) -> ! {
    violation(
        violation::REQUEST,
        violation::REQUEST_ALREADY_SENT,
        request.handle(),
        format_args!("WdfRequestSend was given a request that was sent already, and has not come back"),
    )
}

/// An IRP that waits in a target has a stack location of its own there, and can be cancelled (fxiotarget.cpp:2030); false if it is already.
fn keep(request: &Arc<Object>, irp: &'static Irp) -> bool {
    irp::set_next(irp);
    irp.driver_context[CONTEXT].set(request.handle());
    irp::set_cancel_routine(irp, kept_is_cancelled as *const () as u64);
    // Whoever takes the routine away again acts: here, or the cancel routine, which waits for the target's lock.
    let cancelled = irp.cancel.get() != 0 && irp::set_cancel_routine(irp, 0) != 0;
    if cancelled {
        irp::skip(irp);
    }
    !cancelled
}

/// Takes what a target keeps and nobody is cancelling (fxiotarget.cpp:395).
pub(super) fn take_kept(state: &mut State) -> Vec<Arc<Object>> {
    let (taken, left): (Vec<_>, Vec<_>) = core::mem::take(&mut state.kept)
        .into_iter()
        .partition(|request| irp::set_cancel_routine(request.request().irp(), 0) != 0);
    state.kept = left.into();
    for request in &taken {
        irp::skip(request.request().irp());
    }
    taken
}

/// The cancel routine of an IRP that a target keeps. The cancel spin lock is held, and released first.
unsafe extern "win64" fn kept_is_cancelled(_device: u64, irp: u64) {
    let irp = irp::check(irp, "the framework's cancel routine");
    let handle = irp.driver_context[CONTEXT].get();
    irp::release_cancel_lock(irp.cancel_irql.get());
    let request = object::find(handle, Kind::Request);
    let target = request.request().sending().lock().target.clone();
    let Some(target) = target else { return };
    target
        .target()
        .state
        .lock()
        .kept
        .retain(|kept| kept.handle() != handle);
    irp::skip(irp);
    fail(&target, &request, status::CANCELLED);
}

/// A request that a target keeps ends there.
pub(super) fn fail(target: &Arc<Object>, request: &Arc<Object>, status: i32) {
    let irp = request.request().irp();
    irp.io_status.status.set(status);
    irp.io_status.information.set(0);
    come_back(target, request);
}

/// A target that is started sends what it has kept: the driver has sent it before, so a refusal is told by its completion routine
/// (fxiotarget.cpp:205).
pub(super) fn resend(target: &Arc<Object>, request: &Arc<Object>) {
    let details = request.request();
    let mine = {
        let mut sending = details.sending().lock();
        let stopped = !sending.timed || details.timer().cancel();
        if stopped {
            sending.timed = false;
            sending.holds -= 1;
        }
        sending.back = !stopped || sending.holds != 0;
        !sending.back
    };
    if !mine {
        // Its timer or whoever cancels it ends it.
        details.irp().io_status.status.set(status::CANCELLED);
        return;
    }
    match submit(target, request, Options::default()) {
        Submitted::Send => call(target, request),
        Submitted::Kept => {}
        Submitted::Refused => {
            details.irp().io_status.information.set(0);
            details.sending().lock().holds = 1;
            return come_back(target, request);
        }
    }
    // It was counted and referenced when it was kept.
    target.target().count_off();
    request.dereference();
}

/// The completion routine of every IRP that a target sends.
unsafe extern "win64" fn is_back(_device: u64, irp: u64, handle: u64) -> i32 {
    let irp = irp::check(irp, "the framework's completion routine");
    let request = object::find(handle, Kind::Request);
    let (target, waits) = {
        let sending = request.request().sending().lock();
        (
            sending.target.clone(),
            matches!(sending.completion, Completion::Waiter(..)),
        )
    };
    // A sender that waits returns no STATUS_PENDING (fxiotarget.cpp:2438).
    let above = (1..=irp.stack_count.get()).contains(&irp.current_location.get());
    if !waits && above && irp.pending_returned.get() & control::PENDING_RETURNED != 0 {
        irp::mark_pending(irp);
    }
    if let Some(target) = target {
        come_back(&target, &request);
    }
    status::MORE_PROCESSING_REQUIRED
}

/// A request is back: who comes last ends its sending.
fn come_back(target: &Arc<Object>, request: &Arc<Object>) {
    let details = request.request();
    let last = {
        let mut sending = details.sending().lock();
        sending.back = true;
        let stopped = !sending.timed || details.timer().cancel();
        if stopped {
            sending.timed = false;
            sending.holds -= 1;
        }
        stopped && sending.holds == 0
    };
    if last {
        end(target, request);
    }
}

/// The timer's DPC: the request is cancelled, if it is not back (fxiotarget.cpp:2055).
unsafe extern "win64" fn time_is_over(_dpc: u64, handle: u64, _first: u64, _second: u64) {
    let request = object::find(handle, Kind::Request);
    let details = request.request();
    let (target, back) = {
        let mut sending = details.sending().lock();
        sending.timed = false;
        sending.timed_out = true;
        if !sending.back {
            sending.holds += 1;
        }
        (sending.target.clone(), sending.back)
    };
    let Some(target) = target else { return };
    if !back {
        cancel(&request);
    }
    let last = {
        let mut sending = details.sending().lock();
        sending.holds -= 1;
        sending.holds == 0
    };
    if last {
        end(&target, &request);
    }
}

/// Has a request cancelled where it is, if it is at a target; whether a cancel routine was called. One that is not sent is refused when it is.
pub(super) fn cancel(request: &Arc<Object>) -> bool {
    let details = request.request();
    {
        let mut sending = details.sending().lock();
        sending.canceled = true;
        if sending.holds == 0 {
            return false;
        }
        sending.holds += 1;
    }
    let called = irp::cancel(details.irp());
    let (last, target) = {
        let mut sending = details.sending().lock();
        sending.holds -= 1;
        (sending.holds == 0, sending.target.clone())
    };
    if last && let Some(target) = target {
        end(&target, request);
    }
    called
}

/// The target has the request no more; its sender is told.
fn end(target: &Arc<Object>, request: &Arc<Object>) {
    let (body, details) = (target.target(), request.request());
    let irp = details.irp();
    let reached = {
        let mut state = body.state.lock();
        let mut sending = details.sending().lock();
        if sending.timed_out && irp.io_status.status.get() == status::CANCELLED {
            irp.io_status.status.set(status::IO_TIMEOUT);
        }
        let ignored = sending.ignores_state;
        sending.timed_out = false;
        sending.ignores_state = false;
        state.forget(request, ignored)
    };
    complete(target, request, irp);
    if reached {
        body.sent_are_back.set();
    }
    body.count_off();
    request.dereference();
}

impl State {
    /// A request is back; whether that is what a stop, purge or removal waits for (fxiotarget.cpp:1925).
    fn forget(&mut self, request: &Object, ignored: bool) -> bool {
        let other = |sent: &Arc<Object>| sent.handle() != request.handle();
        self.sent.retain(other);
        self.ignoring.retain(other);
        if self.removing {
            let reached = self.sent.is_empty() && self.ignoring.is_empty();
            if reached {
                self.removing = false;
                self.place = None;
            }
            return reached;
        }
        let reached = self.waiting && !ignored && self.sent.is_empty();
        if reached {
            self.waiting = false;
        }
        reached
    }
}

/// fxrequestbase.cpp:480: whatever is told is taken from the request first, since the driver may send it again from its routine.
fn complete(target: &Arc<Object>, request: &Arc<Object>, irp: &'static Irp) {
    let details = request.request();
    let (completion, context) = {
        let mut sending = details.sending().lock();
        sending.formatted = false;
        (core::mem::take(&mut sending.completion), sending.context.take())
    };
    let mut params = CompletionParams {
        size: size_of::<CompletionParams>() as u32,
        kind: TYPE_NO_FORMAT,
        status: u64::from(irp.io_status.status.get() as u32),
        information: irp.io_status.information.get(),
        parameters: [0; 6],
    };
    if let Some(mut context) = context {
        context.take_back(irp);
        params = context.params;
        details.sending().lock().context = Some(context);
    }
    request::give_back(request);
    match completion {
        Completion::None => {}
        Completion::Driver(routine) => tell(target, request, routine, &params),
        Completion::Waiter(waiter, routine) => {
            if let Some(routine) = routine {
                tell(target, request, routine, &params);
            }
            waiter.tell(params.status as i32);
        }
    }
}

fn tell(target: &Arc<Object>, request: &Arc<Object>, (routine, context): Routine, params: &CompletionParams) {
    let arguments = [
        request.handle(),
        target.handle(),
        (&raw const *params) as u64,
        context,
        0,
    ];
    invoke("EvtRequestCompletionRoutine", routine, arguments);
}

/// Sends a request and waits for it (fxiotarget.cpp:1653); whether it was sent, and the status.
pub(super) fn send_and_wait(
    target: &Arc<Object>,
    request: &Arc<Object>,
    options: Options,
    keep_routine: bool,
) -> (bool, i32) {
    let details = request.request();
    let waiter = Waiter::new();
    let original = {
        let mut sending = details.sending().lock();
        let original = core::mem::take(&mut sending.completion);
        let routine = match &original {
            Completion::Driver(routine) if keep_routine => Some(*routine),
            _ => None,
        };
        sending.completion = Completion::Waiter(waiter.clone(), routine);
        original
    };
    // It may be gone when it is back.
    request.reference();
    let sent = send(target, request, options.without_timeout());
    let status = if sent {
        wait(target, request, &waiter, options.timeout());
        waiter.status()
    } else {
        if keep_routine {
            details.sending().lock().completion = original;
        }
        details.irp().io_status.status.get()
    };
    request.dereference();
    (sent, status)
}

fn wait(target: &Arc<Object>, request: &Arc<Object>, waiter: &Waiter, timeout: Option<i64>) {
    match timeout {
        Some(timeout) if !waiter.back.wait_until(timeout) => {
            request.request().sending().lock().timed_out = true;
            cancel(request);
            wait_for(target, &waiter.back, "to give up a request whose time is over");
        }
        Some(_) => {}
        None => {
            let limit = config::get().hang;
            if !waiter.back.wait_for(limit) {
                bugcheck(
                    code::CALLBACK_TIMEOUT,
                    [request.handle(), limit, limit, 0],
                    format_args!(
                        "the driver sent the request {:#x} to an I/O target and waits for it, without a timeout; it has not come back {limit} ms later",
                        request.handle()
                    ),
                );
            }
        }
    }
}

/// A request is handed down the stack, and the driver hears no more of it (fxrequest.cpp:1116). The refusals are the sender's.
pub(super) fn send_and_forget(target: &Arc<Object>, request: &Arc<Object>) {
    let details = request.request();
    let irp = details.irp();
    let Some(place) = target.target().place() else {
        violation(
            violation::RULE,
            target.handle(),
            0,
            format_args!(
                "WdfRequestSend: a request is sent and forgotten to an I/O target that is closed: it goes nowhere"
            ),
        );
    };
    if !details.sending().lock().by_hand {
        irp::skip(irp);
    }
    request::forget(request, || {
        irp::call_driver(place.device, irp);
    });
}

/// The sender's routine is set.
pub(super) fn set_routine(sending: &mut Sending, routine: Routine) {
    sending.completion = if routine.0 == 0 {
        Completion::None
    } else {
        Completion::Driver(routine)
    };
}
