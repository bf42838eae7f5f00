//! The functions that NT's code calls, with the prototypes of Microsoft's documentation.

use std::ffi::c_void;

use crate::{Counts, event::KEvent, host::yield_at_dispatch_level, reference};

/// The function that stands in for `symbol`, which has no module: one of the kernel, or a slow path.
pub(crate) fn address(symbol: &str) -> Option<usize> {
    let function = match symbol {
        "KeWaitForSingleObject" => ke_wait_for_single_object as *const c_void,
        "KeSetEvent" => ke_set_event as *const c_void,
        "KeYieldProcessorEx" => ke_yield_processor_ex as *const c_void,
        "ExfAcquireRundownProtection" => reference::exf_acquire as *const c_void,
        "ExfReleaseRundownProtection" => reference::exf_release as *const c_void,
        _ => return None,
    };
    Some(function.expose_provenance())
}

/// `KeWaitForSingleObject`, as a wait for run-down calls it: `Executive`, `KernelMode`, not alertable, no time-out.
/// Any other argument is counted as wrong.
///
/// # Safety
/// `object` is an initialised [`KEvent`], and this is the only wait on it.
pub unsafe extern "win64" fn ke_wait_for_single_object(
    object: *const KEvent,
    reason: u32,
    mode: u8,
    alertable: u8,
    timeout: *const i64,
) -> i32 {
    if reason != 0 || mode != 0 || alertable != 0 || !timeout.is_null() {
        Counts::count(|counts| &counts.wrong);
    }
    // SAFETY: the caller's promise.
    unsafe { (*object).wait() };
    0
}

/// `KeSetEvent`, as a release calls it: increment 0, not followed by a wait. Any other argument is counted as wrong.
/// Returns the state before, which is never signalled.
///
/// # Safety
/// `event` is initialised, and its waiter cannot return before this.
pub unsafe extern "win64" fn ke_set_event(event: *const KEvent, increment: i32, wait: u8) -> i32 {
    if increment != 0 || wait != 0 {
        Counts::count(|counts| &counts.wrong);
    }
    // SAFETY: the caller's promise.
    unsafe { KEvent::set(event) };
    0
}

/// `KeYieldProcessorEx`: counts the spin and yields.
///
/// # Safety
/// `count` may be read and written.
pub unsafe extern "win64" fn ke_yield_processor_ex(count: *mut u32) {
    // SAFETY: the caller's promise.
    let spins = unsafe { count.read() };
    // SAFETY: as above.
    unsafe { count.write(spins.wrapping_add(1)) };
    yield_at_dispatch_level();
}
