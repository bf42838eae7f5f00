//! Blocking on a dispatcher object.

use wdk_sys::{BOOLEAN, KPROCESSOR_MODE, LARGE_INTEGER, NTSTATUS, PVOID, ntddk::KeWaitForSingleObject};

/// `FALSE` as the BOOLEAN that routines take.
pub(super) const NO: BOOLEAN = 0;

/// `KernelMode` as the parameter that routines take: the stack stays resident, and no alert ends a wait.
#[expect(clippy::cast_possible_truncation, reason = "the modes are 0 and 1")]
pub(super) const KERNEL_MODE: KPROCESSOR_MODE = wdk_sys::_MODE::KernelMode as KPROCESSOR_MODE;

/// Waits for an object, in kernel mode and not alertable, until `timeout` when there is one.
///
/// # IRQL
/// `<= APC_LEVEL`; `<= DISPATCH_LEVEL` with a time-out of zero.
///
/// # Safety
/// The object is an initialised dispatcher object that lives until the wait ends; the time-out is null or valid.
pub(super) unsafe fn for_object(object: PVOID, timeout: *mut LARGE_INTEGER) -> NTSTATUS {
    // SAFETY: the caller's promise.
    unsafe {
        KeWaitForSingleObject(
            object,
            wdk_sys::_KWAIT_REASON::Executive,
            KERNEL_MODE,
            NO,
            timeout,
        )
    }
}
