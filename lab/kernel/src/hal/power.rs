//! Leaving the machine with a verdict, through QEMU's `isa-debug-exit` (QEMU's exit code is `value << 1 | 1`).

use super::cpu;

/// How a run of the machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Exit {
    /// All was well: QEMU exits with 33.
    Passed = 0x10,
    /// The driver failed (bug check, hang, leak): QEMU exits with 35.
    DriverFailed = 0x11,
    /// Bad input (not a driver, missing import, bad command line): QEMU exits with 37.
    BadInput = 0x12,
    /// The lab itself failed: QEMU exits with 39.
    LabFailed = 0x13,
}

/// Switches the machine off.
pub fn power_off(exit: Exit) -> ! {
    cpu::out32(0xF4, exit as u32);
    // Only reached without the isa-debug-exit device.
    cpu::halt_for_ever()
}
