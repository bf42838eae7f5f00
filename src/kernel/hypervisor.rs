//! What runs the system: the processor alone, or a hypervisor.

use core::arch::x86_64::{__cpuid, CpuidResult};

/// Leaf 1, ECX bit 31: reserved for hypervisors, zero on every processor.
const HYPERVISOR_PRESENT: u32 = 1 << 31;
/// The leaf that hypervisors name themselves in (Hypervisor Top-Level Functional Specification, 2.4).
const VENDOR_LEAF: u32 = 0x4000_0000;

/// The hypervisor's name of twelve bytes; `None` without a hypervisor.
///
/// # IRQL
/// Any.
pub(crate) fn vendor() -> Option<[u8; 12]> {
    if cpuid(1).ecx & HYPERVISOR_PRESENT == 0 {
        return None;
    }
    let CpuidResult { ebx, ecx, edx, .. } = cpuid(VENDOR_LEAF);
    let mut name = [0; 12];
    for (bytes, register) in name.chunks_exact_mut(4).zip([ebx, ecx, edx]) {
        bytes.copy_from_slice(&register.to_le_bytes());
    }
    Some(name)
}

#[allow(
    unused_unsafe,
    reason = "the intrinsic is an unsafe function in older releases of Rust"
)]
fn cpuid(leaf: u32) -> CpuidResult {
    // SAFETY: every x64 processor has the instruction.
    unsafe { __cpuid(leaf) }
}
