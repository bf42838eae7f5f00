//! The machine's processors, in all groups.

use wdk_sys::ntddk::{KeQueryActiveGroupCount, KeQueryActiveProcessorCountEx};

/// `ALL_PROCESSOR_GROUPS` (`ntdef.h`).
const ALL_PROCESSOR_GROUPS: u16 = 0xffff;

/// Active processors in all groups.
///
/// # IRQL
/// Any.
pub(crate) fn active() -> u32 {
    // SAFETY: no preconditions.
    unsafe { KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS) }
}

/// Active processor groups.
///
/// # IRQL
/// Any.
pub(crate) fn groups() -> u32 {
    // SAFETY: no preconditions.
    u32::from(unsafe { KeQueryActiveGroupCount() })
}
