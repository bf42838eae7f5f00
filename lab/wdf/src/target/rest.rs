//! A target started, stopped, purged and removed.

use super::submit::{cancel, fail, resend, take_kept};
use super::{DELETED, PURGED, STARTED, STOPPED, Target, wait_for};
use crate::object::{Body, Object};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::status;

/// `WDF_IO_TARGET_SENT_IO_ACTION`: what to do with what was sent.
pub(super) const CANCEL_SENT: u32 = 1;
/// Nothing; between these two: wait for it.
pub(super) const LEAVE_SENT: u32 = 3;
/// `WDF_IO_TARGET_PURGE_IO_ACTION`: cancelled, and waited for.
pub(super) const PURGE_AND_WAIT: u32 = 1;
/// Cancelled.
pub(super) const PURGE: u32 = 2;

/// What was kept is sent (fxiotarget.cpp:292).
///
/// # Errors
/// `STATUS_INVALID_DEVICE_STATE` if it is deleted.
pub(super) fn start(target: &Arc<Object>) -> Result<(), i32> {
    let body = target.target();
    let kept = loop {
        {
            let mut state = body.state.lock();
            if state.now == DELETED {
                return Err(status::INVALID_DEVICE_STATE);
            }
            if !state.waiting {
                state.now = STARTED;
                break take_kept(&mut state);
            }
        }
        // "The driver must not call the other function before the first one returns": it waits for that one.
        wait_for(target, &body.sent_are_back, "stopped and started at once");
    };
    for request in kept {
        resend(target, &request);
    }
    Ok(())
}

/// Sends nothing more until it is started (fxiotarget.cpp:604). A target that is closed or deleted stays so.
pub(super) fn stop(target: &Arc<Object>, action: u32) {
    let body = target.target();
    let (cancelled, waits) = {
        let mut state = body.state.lock();
        if matches!(state.now, STARTED | PURGED) {
            state.now = STOPPED;
        }
        let waits = action != LEAVE_SENT && (state.waiting || !state.sent.is_empty());
        let cancelled = if action == CANCEL_SENT {
            state.sent.clone()
        } else {
            Vec::new()
        };
        state.waiting = waits;
        if waits {
            body.sent_are_back.reset();
        }
        (cancelled, waits)
    };
    for request in &cancelled {
        cancel(request);
    }
    if waits {
        wait_for(target, &body.sent_are_back, "stopped");
    }
}

/// Refuses everything until it is started or stopped; what it kept and what was sent is cancelled (fxiotarget.cpp:806).
pub(super) fn purge(target: &Arc<Object>, action: u32) {
    let body = target.target();
    let (kept, sent, waits) = {
        let mut state = body.state.lock();
        if matches!(state.now, STARTED | STOPPED) {
            state.now = PURGED;
        }
        let kept = take_kept(&mut state);
        let waits = action == PURGE_AND_WAIT && (state.waiting || !state.sent.is_empty());
        state.waiting = waits;
        if waits {
            body.sent_are_back.reset();
        }
        (kept, state.sent.clone(), waits)
    };
    for request in &kept {
        fail(target, request, status::WDF_DEVICE_REMOVED_NOT_SENT);
    }
    for request in &sent {
        cancel(request);
    }
    if waits {
        wait_for(target, &body.sent_are_back, "purged");
    }
}

/// It goes: all that is under way is cancelled and waited for, be it sent whatever the state (fxiotarget.cpp:1068).
fn remove(target: &Arc<Object>) {
    let body = target.target();
    let waiting = body.state.lock().waiting;
    if waiting {
        wait_for(target, &body.sent_are_back, "stopped and deleted at once");
    }
    let (kept, sent) = {
        let mut state = body.state.lock();
        state.now = DELETED;
        let kept = take_kept(&mut state);
        let sent: Vec<Arc<Object>> = state.sent.iter().chain(&state.ignoring).cloned().collect();
        if sent.is_empty() {
            state.place = None;
        } else {
            state.removing = true;
            body.sent_are_back.reset();
        }
        (kept, sent)
    };
    for request in &kept {
        fail(target, request, status::WDF_DEVICE_REMOVED_NOT_SENT);
    }
    for request in &sent {
        cancel(request);
    }
    if !sent.is_empty() {
        wait_for(target, &body.sent_are_back, "deleted");
    }
    body.count_off();
    wait_for(target, &body.idle, "deleted");
}

impl Body for Target {
    fn dispose_last(&self, object: &Arc<Object>) {
        remove(object);
    }
}
