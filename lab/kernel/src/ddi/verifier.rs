//! What the driver is told about Driver Verifier. The lab judges the driver in any case.

use crate::config;
use crate::export::Export;

unsafe extern "win64" fn mm_is_driver_verifying(_driver: u64) -> u32 {
    u32::from(config::get().verifier)
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function("MmIsDriverVerifying", 0..=2, mm_is_driver_verifying as *const ()),
    Export::function(
        "MmIsDriverVerifyingByAddress",
        0..=2,
        mm_is_driver_verifying as *const (),
    ),
];
