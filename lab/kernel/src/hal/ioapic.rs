//! The I/O APIC: which processor gets a device's interrupt, and as which vector. Source: Intel's 82093AA data sheet.

use super::direct_map::physical;
use super::trap;

const BASE: u64 = 0xFEC0_0000;
const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;
/// The first redirection entry's index; each has two registers.
const REDIRECTION: u32 = 0x10;
/// COM1's input.
const COM1: u32 = 4;

fn write(index: u32, value: u32) {
    let register = |offset: u64| physical(BASE + offset).cast::<u32>();
    // SAFETY: the direct map covers the I/O APIC's page; the register is 32 bits wide and aligned.
    unsafe { register(SELECT).write_volatile(index) };
    // SAFETY: as above; only boot writes here, so nobody selects another register in between.
    unsafe { register(WINDOW).write_volatile(value) };
}

/// Sends COM1's interrupt to the boot processor: fixed, edge-triggered, active high.
pub fn route_com1() {
    write(REDIRECTION + COM1 * 2 + 1, 0);
    write(REDIRECTION + COM1 * 2, u32::from(trap::SERIAL_VECTOR));
}
