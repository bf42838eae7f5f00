//! Critical and guarded regions: a thread in one takes no normal kernel APC, so nothing suspends it, and in a guarded one no special one either.
//! The lab has no APCs; what is left of a region is that it is counted, which `KeAreApcsDisabled` and `KeAreAllApcsDisabled` tell.

use crate::ke::irql::{self, APC_LEVEL};
use crate::ke::thread;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;

/// `KeEnterCriticalRegion`.
pub fn enter() {
    // Relaxed: the thread itself counts, or, under the dispatcher lock, who hands it a mutex; here and below.
    thread::current().regions.fetch_add(1, Ordering::Relaxed);
}

/// `KeLeaveCriticalRegion`. Leaving what was not entered counts too, and is found where the thread ends or returns to its caller.
pub fn leave() {
    thread::current().regions.fetch_sub(1, Ordering::Relaxed);
}

/// `KeEnterGuardedRegion`.
pub fn enter_guarded() {
    // Relaxed: only the thread itself counts; here and below.
    thread::current().guarded_regions.fetch_add(1, Ordering::Relaxed);
}

/// `KeLeaveGuardedRegion`.
pub fn leave_guarded() {
    thread::current().guarded_regions.fetch_sub(1, Ordering::Relaxed);
}

/// `KeAreApcsDisabled`: whether the running thread is in a region of either kind.
pub fn are_apcs_disabled() -> bool {
    thread::current().regions.load(Ordering::Relaxed) != 0 || is_guarded()
}

/// `KeAreAllApcsDisabled`: whether it is in a guarded one, or above the level at which APCs come.
pub fn are_all_apcs_disabled() -> bool {
    is_guarded() || irql::current() >= APC_LEVEL
}

fn is_guarded() -> bool {
    thread::current().guarded_regions.load(Ordering::Relaxed) != 0
}

/// A region that ends with its scope.
pub struct Region {
    /// It is the thread's that entered it.
    not_send: PhantomData<*const ()>,
}

impl Region {
    /// Enters one.
    #[allow(clippy::new_without_default, reason = "a region is entered on purpose")]
    pub fn new() -> Self {
        enter();
        Self {
            not_send: PhantomData,
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        leave();
    }
}
