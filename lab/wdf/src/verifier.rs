//! `wdfverifier.h`: a driver's own findings.

use crate::slot::Slot;
use rundown_lab_kernel::bug::bugcheck;
use rundown_lab_kernel::ke::thread;

/// The framework breaks into a debugger, if `DbgBreakOnError` has it so; nobody would be there. A driver calls this where something failed, which in a
/// sweep is no offence: so it is said, and the driver goes on, as it does on a machine without the setting.
unsafe extern "win64" fn break_point(_globals: u64) {
    rundown_lab_kernel::log!(
        "log: the driver calls WdfVerifierDbgBreakPoint from {:#x}",
        thread::current().caller()
    );
}

unsafe extern "win64" fn bug_check(
    _globals: u64,
    code: u32,
    first: u64,
    second: u64,
    third: u64,
    fourth: u64,
) {
    bugcheck(
        code,
        [first, second, third, fourth],
        format_args!("the driver called WdfVerifierKeBugCheck"),
    )
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(367, "WdfVerifierDbgBreakPoint", 15, break_point as *const ()),
    Slot::new(368, "WdfVerifierKeBugCheck", 15, bug_check as *const ()),
];
