//! The machine's processors, in all groups.

use core::ptr;

use crate::system::{
    ALL_PROCESSOR_GROUPS, KeGetCurrentProcessorNumberEx, KeGetProcessorNumberFromIndex,
    KeQueryActiveProcessorCountEx, KeQueryMaximumProcessorCountEx, ProcessorNumber,
};

/// Active processors in all groups.
///
/// # IRQL
/// Any.
#[must_use]
pub fn active() -> u32 {
    // SAFETY: no preconditions.
    unsafe { KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS) }
}

/// Processors that there can be, in all groups.
///
/// # IRQL
/// Any.
#[must_use]
pub fn most() -> u32 {
    // SAFETY: no preconditions.
    unsafe { KeQueryMaximumProcessorCountEx(ALL_PROCESSOR_GROUPS) }
}

/// The number, over all groups, of the processor that this runs on at this moment.
///
/// # IRQL
/// Any.
#[inline]
#[must_use]
pub fn current() -> u32 {
    // SAFETY: the group-relative number is optional.
    unsafe { KeGetCurrentProcessorNumberEx(ptr::null_mut()) }
}

/// The group, and the number in it, of the processor with this number over all groups; `None` when there is none.
///
/// # IRQL
/// Any.
pub(crate) fn number(processor: u32) -> Option<ProcessorNumber> {
    let mut number = ProcessorNumber::default();
    // SAFETY: the number is written.
    let status = unsafe { KeGetProcessorNumberFromIndex(processor, &raw mut number) };
    (status >= 0).then_some(number)
}
