//! I/O targets: where a driver sends requests, and what is known there of those under way. The rules are fxiotarget.cpp's.
//!
//! # State
//! ```text
//! Started --stop--> Stopped --purge--> Purged           each by WdfIoTargetStart, Stop and Purge from each other one;
//!    '------------------'------------------'---> Deleted   a target goes with its device, and cancels what is under way
//! ```
//! A started target sends, a stopped one keeps, a purged one refuses. What was sent with `WDF_REQUEST_SEND_OPTION_IGNORE_TARGET_STATE` is counted by itself:
//! only the removal waits for that.
//!
//! # Locking
//! A target's lock before a request's. Callbacks, cancellations and completions with neither.

mod buffer;
pub mod format;
pub mod functions;
pub mod options;
mod rest;
mod submit;

use crate::object::Object;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::bug::{bugcheck, code};
use rundown_lab_kernel::config;
use rundown_lab_kernel::io::object::DeviceObject;
use rundown_lab_kernel::ke::event::Event;
use rundown_lab_kernel::ke::object::Kind as EventKind;
use rundown_lab_kernel::lock::IrqLock;

/// `WDF_IO_TARGET_STATE`.
pub const STARTED: u32 = 1;
/// It keeps what it is sent.
pub const STOPPED: u32 = 2;
/// A remote one that is closed until the removal of its device is decided.
pub const CLOSED_FOR_QUERY_REMOVE: u32 = 3;
/// A remote one that is not open.
pub const CLOSED: u32 = 4;
/// It is deleted.
pub const DELETED: u32 = 5;
/// It refuses what it is sent.
pub const PURGED: u32 = 6;

/// An I/O target.
pub struct Target {
    device: Arc<Object>,
    state: IrqLock<State>,
    /// Set once what a stop, a purge or the removal waits for is back, and its completion routine has returned.
    sent_are_back: Event,
    /// Set once a deleted target has no request any more.
    idle: Event,
}

/// The device that a target stands for, as it was found.
#[derive(Clone, Copy)]
pub struct Place {
    /// Its device object, which is sent to.
    pub device: &'static DeviceObject,
    /// The physical device object of its stack.
    pub physical: &'static DeviceObject,
    /// Locations that an IRP needs for it.
    pub stack_size: i8,
}

struct State {
    now: u32,
    /// `None` once it is closed or deleted, and nothing is under way.
    place: Option<Place>,
    sent: Vec<Arc<Object>>,
    /// Sent whatever the state.
    ignoring: Vec<Arc<Object>>,
    /// Sent to a stopped target: they wait for its start.
    kept: VecDeque<Arc<Object>>,
    /// A stop or purge waits for what was sent.
    waiting: bool,
    /// A removal does.
    removing: bool,
    /// Requests at the target, their completion routines' run included, and 1 until it is deleted.
    requests: u32,
}

impl Target {
    /// The local target of a device, which stands for what is below it in its stack.
    pub fn local(device: Arc<Object>, below: &'static DeviceObject, physical: &'static DeviceObject) -> Self {
        Self {
            device,
            state: IrqLock::new(State {
                now: STARTED,
                place: Some(Place {
                    device: below,
                    physical,
                    stack_size: below.stack_size.get(),
                }),
                sent: Vec::new(),
                ignoring: Vec::new(),
                kept: VecDeque::new(),
                waiting: false,
                removing: false,
                requests: 1,
            }),
            sent_are_back: Event::new(EventKind::NotificationEvent),
            idle: Event::new(EventKind::NotificationEvent),
        }
    }

    /// The device that it belongs to.
    pub fn device(&self) -> &Arc<Object> {
        &self.device
    }

    /// Where it sends to; `None` once it is closed or deleted.
    pub fn place(&self) -> Option<Place> {
        self.state.lock().place
    }

    /// `WDF_IO_TARGET_STATE`.
    fn now(&self) -> u32 {
        self.state.lock().now
    }

    /// A request is over.
    fn count_off(&self) {
        let none = {
            let mut state = self.state.lock();
            state.requests -= 1;
            state.requests == 0
        };
        if none {
            self.idle.set();
        }
    }
}

/// Whether it is its device's local one.
pub fn is_local(target: &Object) -> bool {
    let local = target.target().device().device().target();
    local.is_some_and(|local| local.handle() == target.handle())
}

/// Waits for what is under way at a target; a request that does not come back is the lower driver's fault, or that of a driver that cancels
/// nothing.
fn wait_for(target: &Arc<Object>, event: &Event, what: &str) {
    let limit = config::get().hang;
    if event.wait_for(limit) {
        return;
    }
    let left = {
        let state = target.target().state.lock();
        let first = state.sent.first().or_else(|| state.ignoring.first()).cloned();
        first.map_or(0, |request| request.handle())
    };
    bugcheck(
        code::REQUEST_NOT_COMPLETED,
        [0, limit, left, 0],
        format_args!(
            "the I/O target is {what}, and a request that was sent to it ({left:#x}) has not come back {limit} ms later"
        ),
    );
}

impl Object {
    /// Its body as an I/O target.
    pub fn target(&self) -> &Target {
        self.body()
    }
}
