//! The machine's processors, in all groups.

pub(crate) use ex_rundown_nt::processors::{active, current};
use wdk_sys::{
    GROUP_AFFINITY, PROCESSOR_NUMBER,
    ntddk::{KeGetProcessorNumberFromIndex, KeQueryActiveGroupCount},
};

use super::check;

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
