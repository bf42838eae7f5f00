//! The security reference monitor: which privileges the running thread's user has enabled.

use crate::bug::{self, code};
use crate::export::Export;
use crate::io::client;
use lab_wire::frame::Caller;

/// `SE_DEBUG_PRIVILEGE`.
const DEBUG_PRIVILEGE: u64 = 20;
/// `KernelMode`.
const KERNEL_MODE: i8 = 0;

/// Looks at the thread's own token, so a driver that calls it from a worker asks about the system.
unsafe extern "win64" fn se_single_privilege_check(privilege: u64, previous_mode: i8) -> u8 {
    if !(0..=1).contains(&previous_mode) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [0, previous_mode as u64, 0, 0],
            format_args!("SeSinglePrivilegeCheck was given {previous_mode}, which is no processor mode"),
        );
    }
    let enabled = match client::current_caller() {
        None => true,
        Some(caller) => privilege == DEBUG_PRIVILEGE && caller == Caller::Debugger,
    };
    u8::from(previous_mode == KERNEL_MODE || enabled)
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[Export::function(
    "SeSinglePrivilegeCheck",
    0..=0,
    se_single_privilege_check as *const (),
)];
