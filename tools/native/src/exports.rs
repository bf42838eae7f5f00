//! The functions that NT's code calls, with the prototypes of Microsoft's documentation.

use std::ffi::c_void;

use crate::{Counts, event::KEvent, host::yield_at_dispatch_level, reference};

/// What stands in for a name that is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Export {
    /// A function of the kernel that the routine calls.
    Kernel(usize),
    /// A slow path of the routine itself.
    Reference(usize),
    /// A variable.
    Variable(Variable),
}

/// A variable of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `ExpSpinCycleCount`, four bytes.
    SpinCycleCount,
}

/// What stands in for `name`, which has no module.
pub(crate) fn find(name: &str) -> Option<Export> {
    let address = |function: *const c_void| function.expose_provenance();
    Some(match name {
        "KeWaitForSingleObject" => Export::Kernel(address(ke_wait_for_single_object as *const c_void)),
        "KeSetEvent" => Export::Kernel(address(ke_set_event as *const c_void)),
        "KeYieldProcessorEx" => Export::Kernel(address(ke_yield_processor_ex as *const c_void)),
        "ExfAcquireRundownProtection" => Export::Reference(address(reference::exf_acquire as *const c_void)),
        "ExfReleaseRundownProtection" => Export::Reference(address(reference::exf_release as *const c_void)),
        "ExpSpinCycleCount" => Export::Variable(Variable::SpinCycleCount),
        _ => return None,
    })
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
