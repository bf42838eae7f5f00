//! What the caller's token allows.

use wdk_sys::{KPROCESSOR_MODE, LUID, ntddk::SeSinglePrivilegeCheck};

/// `SE_DEBUG_PRIVILEGE` (`wdm.h`).
const SE_DEBUG_PRIVILEGE: u32 = 20;

/// Whether the running thread's token has `SeDebugPrivilege` enabled; always, for a caller in kernel mode.
///
/// Only in the caller's own context: a worker's token is the system's.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub(crate) fn holds_debug(mode: KPROCESSOR_MODE) -> bool {
    let privilege = LUID {
        LowPart: SE_DEBUG_PRIVILEGE,
        HighPart: 0,
    };
    // SAFETY: no preconditions at PASSIVE_LEVEL.
    unsafe { SeSinglePrivilegeCheck(privilege, mode) != 0 }
}
