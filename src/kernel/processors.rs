//! The machine's processors, in all groups.

use core::ptr;

use wdk_sys::{
    GROUP_AFFINITY, PROCESSOR_NUMBER,
    ntddk::{
        KeGetCurrentProcessorNumberEx, KeGetProcessorNumberFromIndex, KeQueryActiveGroupCount,
        KeQueryActiveProcessorCountEx, KeQueryMaximumProcessorCountEx,
    },
};

use super::check;

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

/// The group, and the number in it, of the processor with this number over all groups; `None` when there is none.
///
/// # IRQL
/// Any.
pub(crate) fn number(processor: u32) -> Option<PROCESSOR_NUMBER> {
    let mut number = PROCESSOR_NUMBER::default();
    // SAFETY: the number is written.
    check(unsafe { KeGetProcessorNumberFromIndex(processor, &raw mut number) })
        .ok()
        .map(|()| number)
}

/// The affinity of that processor alone; `None` when there is none.
///
/// # IRQL
/// Any.
pub(crate) fn affinity(processor: u32) -> Option<GROUP_AFFINITY> {
    number(processor).map(|number| GROUP_AFFINITY {
        Mask: 1 << number.Number,
        Group: number.Group,
        ..GROUP_AFFINITY::default()
    })
}

/// Active processor groups.
///
/// # IRQL
/// Any.
pub(crate) fn groups() -> u32 {
    // SAFETY: no preconditions.
    u32::from(unsafe { KeQueryActiveGroupCount() })
}
