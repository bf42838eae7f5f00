//! What a queue is, and which requests it has.

use crate::call::Callback;
use crate::layout::{QueueConfig, SCOPE_DEVICE, SCOPE_QUEUE};
use crate::lock::Serial;
use crate::object::Object;
use crate::request;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::io::object::major;
use rundown_lab_kernel::lock::IrqLock;

/// `WDF_IO_QUEUE_DISPATCH_TYPE`.
pub(super) const SEQUENTIAL: u32 = 1;
pub(super) const PARALLEL: u32 = 2;
pub(super) const MANUAL: u32 = 3;
/// A queue of a device.
pub struct Queue {
    pub(super) device: Arc<Object>,
    pub(super) config: QueueConfig,
    pub(super) power_managed: bool,
    /// The lock of `WdfSynchronizationScopeQueue`.
    pub(super) serial: Serial,
    pub(super) state: IrqLock<State>,
}

/// An `EvtIoQueueState` that is owed, and its context.
pub(super) type Notice = (Callback, u64);

#[allow(
    clippy::struct_excessive_bools,
    reason = "WDF_IO_QUEUE_STATE and what goes with it: each is set and asked for by itself"
)]
pub(super) struct State {
    pub(super) waiting: VecDeque<Arc<Object>>,
    pub(super) presented: Vec<Arc<Object>>,
    /// Presented requests whose `EvtRequestCancel` is owed.
    pub(super) cancelled: VecDeque<Arc<Object>>,
    /// Presented requests whose `EvtIoCanceledOnQueue` is owed.
    pub(super) cancelled_on_queue: VecDeque<Arc<Object>>,
    /// Owed once the driver has no request of the queue.
    pub(super) stopped: Option<Notice>,
    /// Owed once there is no request at all.
    pub(super) purged: Option<Notice>,
    /// How many threads are in the event loop.
    pub(super) inside: usize,
    /// A worker is on its way to the event loop.
    pub(super) deferred: bool,
    /// What the driver has and marks cancelable is cancelled at once: the queue was purged, and was not started since.
    pub(super) cancelling: bool,
    /// New requests are taken in.
    pub(super) accepting: bool,
    /// They never will be again: the device is removed.
    pub(super) shut_down: bool,
    /// Waiting requests are presented.
    pub(super) dispatching: bool,
    /// The device is in D0, or the queue does not care.
    pub(super) powered: bool,
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

    /// Whether it presents requests only in D0.
    pub fn is_power_managed(&self) -> bool {
        self.power_managed
    }

    /// The lock that its callbacks are called under.
    pub(super) fn callback_lock(&self, scope: u32) -> Option<&Serial> {
        match scope {
            SCOPE_DEVICE => Some(&self.device.device().serial),
            SCOPE_QUEUE => Some(&self.serial),
            _ => None,
        }
    }

    pub(super) fn limit(&self) -> usize {
        match self.config.dispatch_type {
            SEQUENTIAL => 1,
            PARALLEL => self.config.presented_requests as usize,
            _ => 0,
        }
    }

    /// The callback for a request, and its name.
    pub(super) fn callback(&self, function: u8) -> (&'static str, Callback) {
        let (name, callback) = match function {
            major::READ => ("EvtIoRead", self.config.evt_io_read),
            major::WRITE => ("EvtIoWrite", self.config.evt_io_write),
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

/// Takes the first waiting request that fits and is not being cancelled, and counts it as presented.
pub(super) fn take(
    state: &mut State,
    queue: &Arc<Object>,
    fits: impl Fn(&Object) -> bool,
) -> Option<Arc<Object>> {
    let index = state
        .waiting
        .iter()
        .position(|request| fits(request) && request::leave_queue(request))?;
    let request = state.waiting.remove(index)?;
    request::give_to_driver(&request, Some(queue));
    state.presented.push(request.clone());
    Some(request)
}

/// Whether the framework completes a request by itself in place of presenting it: a read or write of nothing, unless the driver wants
/// those (fxioqueue.cpp:3195).
pub(super) fn is_empty_transfer(queue: &Arc<Object>, request: &Object) -> bool {
    let details = request.request();
    let wanted = queue.queue().config.allow_zero_length != 0;
    !wanted && details.is_transfer() && details.output_length() == 0
}
