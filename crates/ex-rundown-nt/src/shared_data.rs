//! `KUSER_SHARED_DATA`, as the kernel maps it.
//!
//! The fields are read by their offsets (`ntddk.h`): they are part of the interface between NT and user mode, and
//! the system changes them at any time.

/// Where x64 Windows maps it for kernel mode (`KI_USER_SHARED_DATA`).
const ADDRESS: usize = 0xffff_f780_0000_0000;

const CYCLES_PER_YIELD: usize = 0x2d6;
const UNPARKED_PROCESSOR_COUNT: usize = 0x36a;
const PROCESSOR_FEATURES: usize = 0x274;
const PF_MONITORX_INSTRUCTION_AVAILABLE: usize = 35;

/// # Safety
/// At `offset` lies a field of type `T`.
unsafe fn read<T: Copy>(offset: usize) -> T {
    let field = core::ptr::with_exposed_provenance::<T>(ADDRESS + offset);
    // SAFETY: the page is mapped and readable at any IRQL for as long as the system runs; the caller names a field.
    // Volatile: the system writes it.
    unsafe { field.read_volatile() }
}

/// `CyclesPerYield`.
#[inline]
pub(crate) fn cycles_per_yield() -> u16 {
    // SAFETY: a USHORT field.
    unsafe { read(CYCLES_PER_YIELD) }
}

/// `UnparkedProcessorCount`.
#[inline]
pub(crate) fn unparked_processor_count() -> u16 {
    // SAFETY: a USHORT field.
    unsafe { read(UNPARKED_PROCESSOR_COUNT) }
}

/// `ProcessorFeatures[PF_MONITORX_INSTRUCTION_AVAILABLE]`.
#[inline]
pub(crate) fn has_monitorx() -> bool {
    // SAFETY: an element of a BOOLEAN array of 64; read as a byte, since only zero and non-zero are told apart.
    unsafe { read::<u8>(PROCESSOR_FEATURES + PF_MONITORX_INSTRUCTION_AVAILABLE) != 0 }
}
