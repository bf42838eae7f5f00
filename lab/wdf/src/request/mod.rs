//! Requests: an IRP on its way through the framework.
//!
//! # State
//! ```text
//! Framework --into a queue--> Queue --presented, retrieved--> Driver --completed--> Completed
//!                               ^------------forwarded----------' ^
//!                                                                 '--sent, and back-- Target
//! ```
//! A request that the driver made itself is the driver's to send, to reuse and to delete, and not to complete: [`Owner::Maker`].
//!
//! While a queue has it, its IRP's cancel routine is the framework's. While the driver has it, that is so only between
//! `WdfRequestMarkCancelable` and `WdfRequestUnmarkCancelable`.

pub mod formatted;
pub mod functions;
pub mod made;
pub mod sending;
pub mod user;

use crate::call::Callback;
use crate::file;
use crate::object::{self, Body, Holder, Kind, Object};
use crate::timed::Alarm;
use crate::violation::{self, routine, violation};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{Irp, major};
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::status;
use sending::Sending;

/// A request of a device, or one that the driver made.
pub struct Request {
    /// Its IRP; 0 while the driver's own has none yet, and once it was sent and forgotten.
    irp: AtomicU64,
    /// `None` for a request that the driver made.
    arrival: Option<Arrival>,
    /// The driver has seen it.
    presented: AtomicBool,
    state: IrqLock<State>,
    sending: IrqLock<Sending>,
    timer: Alarm,
}

/// What is known of an IRP that came to a device.
struct Arrival {
    device: Arc<Object>,
    file: Option<Arc<Object>>,
    /// NT's file object, 0 if the sender had none.
    file_object: u64,
    function: u8,
    minor: u8,
    parameters: [u64; 4],
}

struct State {
    owner: Owner,
    /// The queue that it is in, or was presented from.
    queue: Option<Arc<Object>>,
    /// `EvtIoInCallerContext` was given it, and it was not enqueued since.
    in_caller_context: bool,
    cancel: Cancel,
    /// Memory objects for its input and its output, by their handles; 0 for one that nobody asked for.
    memories: [u64; 2],
    /// MDLs that the driver asked for, of input and output; 0 likewise.
    mdls: [u64; 2],
}

/// Who has a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The framework, on the way to a queue.
    Framework,
    /// A queue; it waits.
    Queue,
    /// The driver, which has to complete, forward or send it.
    Driver,
    /// An I/O target: it was sent, and has not come back.
    Target,
    /// The driver, which made it.
    Maker,
    /// Nobody any more.
    Completed,
}

impl Owner {
    /// For messages.
    fn says(self) -> &'static str {
        match self {
            Self::Framework => "the framework has it",
            Self::Queue => "a queue has it",
            Self::Driver => "the driver has it",
            Self::Target => "it was sent to an I/O target and has not come back",
            Self::Maker => "the driver made it itself, so nobody waits for its completion",
            Self::Completed => "it is completed",
        }
    }
}

/// Whether the driver's cancel callback may be called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cancel {
    No,
    /// Marked with this callback.
    Marked(u64),
    /// Cancelled; the queue will call this callback.
    Due(u64),
    /// The callback was called.
    Called,
}

/// Requests by the address of their IRP, for the cancel routine.
static BY_IRP: IrqLock<BTreeMap<u64, Arc<Object>>> = IrqLock::new(BTreeMap::new());

impl Request {
    /// A request in that state.
    fn new(irp: u64, arrival: Option<Arrival>, owner: Owner) -> Self {
        Self {
            irp: AtomicU64::new(irp),
            presented: AtomicBool::new(arrival.is_none()),
            arrival,
            state: IrqLock::new(State {
                owner,
                queue: None,
                in_caller_context: false,
                cancel: Cancel::No,
                memories: [0; 2],
                mdls: [0; 2],
            }),
            sending: IrqLock::new(Sending::default()),
            timer: Alarm::new(),
        }
    }

    /// Its IRP. A driver that does something with a request that has none is found here.
    pub fn irp(&self) -> &'static Irp {
        let address = self.irp.load(Ordering::Relaxed);
        if address == 0 {
            violation(
                violation::REQUEST,
                violation::REQUEST_NULL_IRP,
                0,
                format_args!(
                    "{} was given a request that has no IRP: it was formatted for no I/O target yet, or sent and forgotten",
                    routine()
                ),
            );
        }
        // SAFETY: the IRP of an unfinished request lives; the framework frees its own with the request.
        unsafe { &*(address as *const Irp) }
    }

    /// Its IRP, if it has one.
    fn own_irp(&self) -> Option<&'static Irp> {
        let address = self.irp.load(Ordering::Relaxed);
        // SAFETY: the IRP of an unfinished request lives; the framework frees its own with the request.
        (address != 0).then(|| unsafe { &*(address as *const Irp) })
    }

    /// What is known of its IRP's arrival, which one that the driver made never had: it has no stack location here that could be looked
    /// at (fxrequest.cpp:3024).
    fn arrival(&self) -> &Arrival {
        self.arrival.as_ref().unwrap_or_else(|| {
            violation(
                violation::RULE,
                self.irp.load(Ordering::Relaxed),
                0,
                format_args!(
                    "{} was given a request that the driver made itself: it came to no device, from nobody",
                    routine()
                ),
            )
        })
    }

    /// Whether it came to a device of the driver's.
    pub fn has_arrived(&self) -> bool {
        self.arrival.is_some()
    }

    /// The IRP's major function.
    pub fn function(&self) -> u8 {
        self.arrival().function
    }

    /// The device that it came to.
    pub fn device(&self) -> &Arc<Object> {
        &self.arrival().device
    }

    /// The file object that it came through, if the driver wants those.
    pub fn file(&self) -> Option<&Arc<Object>> {
        self.arrival().file.as_ref()
    }

    /// Bytes of output that the client has room for; of a read or write, its length.
    pub fn output_length(&self) -> u64 {
        self.arrival().parameters[0] & 0xFFFF_FFFF
    }

    /// Bytes of input.
    pub fn input_length(&self) -> u64 {
        if self.is_control() {
            self.arrival().parameters[1] & 0xFFFF_FFFF
        } else {
            0
        }
    }

    /// The control code; 0 for other requests.
    pub fn code(&self) -> u32 {
        if self.is_control() {
            self.arrival().parameters[2] as u32
        } else {
            0
        }
    }

    /// NT's file object that it came through; 0 if the sender had none.
    pub fn file_object(&self) -> u64 {
        self.arrival().file_object
    }

    /// What it has for being sent.
    pub fn sending(&self) -> &IrqLock<Sending> {
        &self.sending
    }

    /// The timer that it is sent with.
    pub fn timer(&self) -> &Alarm {
        &self.timer
    }

    /// Whether it is a read or write.
    pub fn is_transfer(&self) -> bool {
        matches!(self.function(), major::READ | major::WRITE)
    }

    /// The driver sees it from now on.
    pub fn present(&self) {
        self.presented.store(true, Ordering::Relaxed);
    }

    /// Whether the driver has ever seen it.
    pub fn was_presented(&self) -> bool {
        self.presented.load(Ordering::Relaxed)
    }

    /// Whether the driver's cancel callback may still be called.
    pub fn is_cancelable(&self) -> bool {
        matches!(self.state.lock().cancel, Cancel::Marked(_) | Cancel::Due(_))
    }

    fn is_control(&self) -> bool {
        matches!(
            self.function(),
            major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL
        )
    }
}

fn address(irp: &'static Irp) -> u64 {
    (&raw const *irp) as u64
}

/// Makes a request of an IRP; the framework has it then. It hangs below nothing (fxrequest.cpp:140).
///
/// # Errors
/// An NTSTATUS: memory is short.
pub fn create(device: &Arc<Object>, irp: &'static Irp) -> Result<Arc<Object>, i32> {
    let stack = irp::current(irp);
    let arrival = Arrival {
        device: device.clone(),
        file: file::of(device.device(), irp),
        file_object: stack.file_object.get() as u64,
        function: stack.major_function.get(),
        minor: stack.minor_function.get(),
        parameters: core::array::from_fn(|index| stack.parameters[index].get()),
    };
    let body = Request::new(address(irp), Some(arrival), Owner::Framework);
    let attributes = device.device().init.request_attributes;
    let request = object::create(Kind::Request, attributes.as_ref(), None, body)?;
    BY_IRP.lock().insert(address(irp), request.clone());
    Ok(request)
}

/// The driver has it, from `queue` if it came from one.
pub fn give_to_driver(request: &Arc<Object>, queue: Option<&Arc<Object>>) {
    let mut state = request.request().state.lock();
    state.owner = Owner::Driver;
    state.queue = queue.cloned();
}

/// The driver has it in `EvtIoInCallerContext`.
pub fn give_in_caller_context(request: &Arc<Object>) {
    give_to_driver(request, None);
    let body = request.request();
    body.state.lock().in_caller_context = true;
    body.present();
}

/// The routine that the driver called is for a request that `EvtIoInCallerContext` was given, and that was not enqueued since.
pub fn require_in_caller_context(request: &Arc<Object>) {
    if !request.request().state.lock().in_caller_context {
        violation(
            violation::QUEUE,
            request.handle(),
            0,
            format_args!(
                "{} was given a request that does not come from EvtIoInCallerContext",
                routine()
            ),
        );
    }
}

/// A queue takes it in; false if it is cancelled already. Called with the queue's lock held.
pub fn enter_queue(request: &Arc<Object>, queue: &Arc<Object>) -> bool {
    let body = request.request();
    let mut state = body.state.lock();
    irp::set_cancel_routine(body.irp(), cancel_routine as *const () as u64);
    // Whoever takes the routine away again acts: here, or the cancel routine, which waits for the queue's lock.
    let cancelled = body.irp().cancel.get() != 0 && irp::set_cancel_routine(body.irp(), 0) != 0;
    state.owner = if cancelled { Owner::Framework } else { Owner::Queue };
    state.queue = Some(queue.clone());
    state.in_caller_context = false;
    state.cancel = Cancel::No;
    !cancelled
}

/// It is to leave its queue; false if a cancellation is on its way, which will take it out. Called with the queue's lock held.
pub fn leave_queue(request: &Object) -> bool {
    irp::set_cancel_routine(request.request().irp(), 0) != 0
}

/// The queue that it is in, or was presented from.
pub fn queue_of(request: &Arc<Object>) -> Option<Arc<Object>> {
    request.request().state.lock().queue.clone()
}

/// The queue that it waits in, if it does.
pub fn waits_in(request: &Arc<Object>) -> Option<Arc<Object>> {
    let state = request.request().state.lock();
    state.queue.clone().filter(|_| state.owner == Owner::Queue)
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
                "{} was given a request that the driver does not have: {}",
                routine(),
                found.says()
            ),
        );
    }
}

/// Who has it.
pub fn owner(request: &Arc<Object>) -> Owner {
    request.request().state.lock().owner
}

/// An I/O target has it.
pub fn give_to_target(request: &Arc<Object>) {
    request.request().state.lock().owner = Owner::Target;
}

/// It is back, and the driver's again.
pub fn give_back(request: &Arc<Object>) {
    let body = request.request();
    body.state.lock().owner = if body.has_arrived() {
        Owner::Driver
    } else {
        Owner::Maker
    };
}

/// What the client sees of a status of the framework's own (fxrequest.cpp:632).
fn for_client(status: i32) -> i32 {
    const FACILITY: i32 = 0x0FFF_0000;
    const FRAMEWORK: i32 = 0x0020_0000;
    if status & FACILITY != FRAMEWORK {
        return status;
    }
    match status {
        status::WDF_PAUSED | status::WDF_BUSY => status::DEVICE_BUSY,
        status::WDF_INTERNAL_ERROR => status::INTERNAL_ERROR,
        status::WDF_NOT_ENOUGH_MAP_REGISTERS => status::INSUFFICIENT_RESOURCES,
        _ => status::INVALID_DEVICE_REQUEST,
    }
}

/// Completes a request, whoever has it: the cleanup callbacks of its object run first, while its buffers are there. Those of a request
/// that the driver never saw do not run (fxrequest.cpp:723).
pub fn complete(request: &Arc<Object>, status: i32, information: Option<u64>) {
    let body = request.request();
    let status = for_client(status);
    let irp = body.irp();
    body.release_context();
    irp.io_status.status.set(status);
    if let Some(information) = information {
        irp.io_status.information.set(information);
    }
    let failed_create = body.function() == major::CREATE && !status::is_success(status);
    let file = body.file().cloned().filter(|_| failed_create);
    if !body.was_presented() {
        request.forget_callbacks();
    }
    finish(request, || {
        if let Some(file) = file {
            file::forget(&file);
        }
        irp::complete(irp);
    });
}

/// The driver has sent a request on by `send`, and hears no more of it (fxrequest.cpp:1164).
pub fn forget(request: &Arc<Object>, send: impl FnOnce()) {
    finish(request, || {
        send();
        request.request().forget_irp();
    });
}

/// A request ends: its object is cleaned up before its IRP goes by `last`, and its queue counts it off afterwards.
fn finish(request: &Arc<Object>, last: impl FnOnce()) {
    let body = request.request();
    let queue = {
        let mut state = body.state.lock();
        state.owner = Owner::Completed;
        state.queue.take()
    };
    let irp = body.irp();
    request.clean_up();
    BY_IRP.lock().remove(&address(irp));
    last();
    if let Some(queue) = queue {
        tell(&queue, |holder| holder.gone(&queue, request));
    }
    request.release();
}

/// Tells the queue that a request is in, or was presented from.
fn tell(queue: &Arc<Object>, what: impl FnOnce(&dyn Holder)) {
    if let Some(holder) = queue.holder() {
        what(holder);
    }
}

/// What a cancellation finds to do.
enum Action {
    FromQueue(Arc<Object>),
    AtDriver(Arc<Object>),
    Nothing,
}

/// A request that the driver has is cancelled without its IRP being so: true if it is marked, and its callback is due now. Called with
/// the queue's lock held.
pub fn begin_cancel(request: &Object) -> bool {
    let body = request.request();
    let mut state = body.state.lock();
    match state.cancel {
        Cancel::Marked(callback) if irp::set_cancel_routine(body.irp(), 0) != 0 => {
            state.cancel = Cancel::Due(callback);
            true
        }
        _ => false,
    }
}

/// The callback that is due is called now.
pub fn take_due(request: &Object) -> Callback {
    let mut state = request.request().state.lock();
    match core::mem::replace(&mut state.cancel, Cancel::Called) {
        Cancel::Due(callback) => callback,
        _ => 0,
    }
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
                state.cancel = Cancel::Due(callback);
                state.queue.clone().map_or(Action::Nothing, Action::AtDriver)
            }
            _ => Action::Nothing,
        }
    };
    match action {
        Action::FromQueue(queue) => tell(&queue, |holder| holder.canceled(&queue, &request)),
        Action::AtDriver(queue) => tell(&queue, |holder| holder.canceled_at_driver(&queue, request)),
        Action::Nothing => {}
    }
}

impl Body for Request {
    fn dispose(&self, object: &Arc<Object>) {
        sending::dispose(object);
    }

    fn destroy(&self) {
        if self.sending.lock().owns_irp
            && let Some(irp) = self.own_irp()
        {
            irp::free(irp);
        }
    }
}

impl Object {
    /// Its body as a request.
    pub fn request(&self) -> &Request {
        self.body()
    }
}
