//! What a request has besides for being sent to an I/O target.

use super::formatted::Formatted;
use crate::call::Callback;
use crate::object::Object;
use crate::violation::{self, routine, violation};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, Ordering};
use rundown_lab_kernel::ke::event::Event;
use rundown_lab_kernel::ke::object::Kind;
use rundown_lab_kernel::status;

/// An `EvtRequestCompletionRoutine` and its context.
pub type Routine = (Callback, u64);

/// Who is told when a sent request is back.
#[derive(Clone, Default)]
pub enum Completion {
    /// Nobody.
    #[default]
    None,
    /// The driver.
    Driver(Routine),
    /// Whoever waits for it, and before that the driver, if it has a routine.
    Waiter(Arc<Waiter>, Option<Routine>),
}

/// The sender of a request that waits for it.
pub struct Waiter {
    /// Set when it is back.
    pub back: Event,
    status: AtomicI32,
}

impl Waiter {
    /// One for a request that is not back yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            back: Event::new(Kind::NotificationEvent),
            status: AtomicI32::new(status::PENDING),
        })
    }

    /// The request is back.
    pub fn tell(&self, status: i32) {
        // Relaxed: the event orders it.
        self.status.store(status, Ordering::Relaxed);
        self.back.set();
    }

    /// The status that it has come back with.
    pub fn status(&self) -> i32 {
        self.status.load(Ordering::Relaxed)
    }
}

/// What a request has for being sent. The lock of the target that it is at comes before its own.
#[derive(Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "the framework's flags: each is set and asked for by itself"
)]
pub struct Sending {
    /// Who is told.
    pub completion: Completion,
    /// Where it was sent last.
    pub target: Option<Arc<Object>>,
    /// The next stack location is filled in.
    pub formatted: bool,
    /// It was filled in by hand, from the current one or from the driver's.
    pub by_hand: bool,
    /// It was to be cancelled, be it sent or not; only a reuse takes that back.
    pub canceled: bool,
    /// Who may touch the IRP of a sent request: the target, until it is back, whoever cancels it, its timer. The last one ends the sending
    /// (`m_IrpCompletionReferenceCount`).
    pub holds: u32,
    /// It has come back.
    pub back: bool,
    /// Its timer is set.
    pub timed: bool,
    /// Its time was over before it was back.
    pub timed_out: bool,
    /// It was sent whatever the target's state.
    pub ignores_state: bool,
    /// There is a timer: `WdfRequestAllocateTimer`, or a timeout that it was sent with.
    pub has_timer: bool,
    /// What it was formatted with; empty once that is released, and there all the same.
    pub context: Option<Formatted>,
    /// The IRP is the framework's own.
    pub owns_irp: bool,
}

/// The routine that the driver called needs a request that is at no I/O target (fxrequestbase.cpp:194, fxrequest.cpp:2169).
pub fn require_not_sent(request: &Object) {
    if request.request().sending.lock().holds != 0 {
        violation(
            violation::QUEUE,
            request.handle(),
            0,
            format_args!(
                "{} was given a request that was sent to an I/O target and has not come back",
                routine()
            ),
        );
    }
}

/// The request's object is deleted.
pub(super) fn dispose(request: &Arc<Object>) {
    require_not_sent(request);
    let body = request.request();
    if !body.has_arrived() {
        body.release_context();
    }
}
