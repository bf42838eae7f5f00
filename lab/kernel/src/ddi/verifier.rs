//! What the driver is told about Driver Verifier. The lab judges the driver in any case.

use crate::config;
use crate::export::Export;

unsafe extern "win64" fn mm_is_driver_verifying(_driver: u64) -> u32 {
    u32::from(config::get().verifier)
}

/// Driver Verifier's look at a framework's allocation on behalf of its caller: that pool be not executable. The lab judges pool where it is allocated.
unsafe extern "win64" fn vf_check_nx_pool_type(_pool_type: u32, _caller: u64, _tag: u32) {}

/// Driver Verifier's rules are not the lab's.
unsafe extern "win64" fn vf_is_rule_class_enabled(_class: u32) -> u8 {
    0
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function("MmIsDriverVerifying", 0..=2, mm_is_driver_verifying as *const ()),
    Export::function(
        "MmIsDriverVerifyingByAddress",
        0..=2,
        mm_is_driver_verifying as *const (),
    ),
    Export::function("VfCheckNxPoolType", 0..=2, vf_check_nx_pool_type as *const ()),
    Export::function(
        "VfIsRuleClassEnabled",
        0..=2,
        vf_is_rule_class_enabled as *const (),
    ),
];
