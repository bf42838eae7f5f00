//! The machine's processors, in all groups.

use core::ptr;

use wdk_sys::ntddk::{
    KeGetCurrentProcessorNumberEx, KeQueryActiveGroupCount, KeQueryActiveProcessorCountEx,
    KeQueryMaximumProcessorCountEx,
};

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

/// Processors that there can be, in all groups.
///
/// # IRQL
/// Any.
pub(crate) fn most() -> u32 {
    // SAFETY: no preconditions.
    unsafe { KeQueryMaximumProcessorCountEx(ALL_PROCESSOR_GROUPS) }
}

/// The number, over all groups, of the processor that this runs on at this moment.
///
/// # IRQL
/// Any.
pub(crate) fn current() -> u32 {
    // SAFETY: the group-relative number is optional.
    unsafe { KeGetCurrentProcessorNumberEx(ptr::null_mut()) }
}

/// Active processor groups.
///
/// # IRQL
/// Any.
pub(crate) fn groups() -> u32 {
    // SAFETY: no preconditions.
    u32::from(unsafe { KeQueryActiveGroupCount() })
}
