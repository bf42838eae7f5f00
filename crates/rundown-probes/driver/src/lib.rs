//! The probes in a driver. Nobody loads it: it is there to be disassembled.
#![no_std]
#![allow(unsafe_code, reason = "symbols that are found by name")]

#[path = "../../src/probes.rs"]
mod probes;

use ex_rundown_nt::Nt as Os;

/// The compiled core's unwind tables name it, although nothing unwinds.
#[unsafe(no_mangle)]
extern "system" fn __CxxFrameHandler3() {}

/// What a driver begins with.
///
/// # Safety
/// Any: it does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DriverEntry() -> i32 {
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    <Os as ex_rundown::Platform>::misuse(ex_rundown::Misuse::BadMemory, 0)
}
