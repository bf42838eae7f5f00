//! Driver Verifier.

use wdk_sys::{PVOID, ntddk::MmIsDriverVerifyingByAddress};

/// Whether Driver Verifier checks this driver.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
pub(crate) fn checks_this_driver() -> bool {
    let inside: fn() -> bool = checks_this_driver;
    // SAFETY: any address in the driver's image will do, and this function is in it.
    unsafe { MmIsDriverVerifyingByAddress(inside as PVOID) != 0 }
}
