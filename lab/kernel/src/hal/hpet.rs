//! The HPET, by its registers in memory: the clock that the others are measured against. Source: Intel's IA-PC HPET specification 1.0a.
//!
//! It is one that a host cannot distort: its 32 low bits go round in 42 s, while the PIT's 16 go round in 55 ms, and a busy host may stop a
//! processor for longer than that.

use super::direct_map::physical;

const BASE: u64 = 0xFED0_0000;
const CAPABILITIES: u64 = 0x00;
const PERIOD: u64 = 0x04;
const CONFIGURATION: u64 = 0x10;
const COUNTER: u64 = 0xF0;
const TIMER: u64 = 0x100;
const COMPARATOR: u64 = 0x108;

/// Bit 0 of the configuration: the counter runs.
const ENABLE: u32 = 1;
/// Bits 2, 3, 6 and 9 to 13 of timer 0's configuration: it interrupts, again and again; the comparator takes the first moment and the
/// period; and the interrupt is the I/O APIC's second, which is masked: QEMU's HPET has no other.
const CUT: u32 = 1 << 2 | 1 << 3 | 1 << 6 | 2 << 9;
/// The longest period that the specification allows, femtoseconds.
const LONGEST_PERIOD: u32 = 100_000_000;

fn register(offset: u64) -> *mut u32 {
    physical(BASE + offset).cast()
}

fn read(offset: u64) -> u32 {
    // SAFETY: the direct map covers the HPET's page; the register is 32 bits wide and aligned.
    unsafe { register(offset).read_volatile() }
}

/// Starts the counter.
///
/// # Panics
/// When the machine has no HPET: then it is not the lab's machine.
pub fn start() {
    assert!(
        read(CAPABILITIES) & 0xFF != 0 && (1..=LONGEST_PERIOD).contains(&period()),
        "the machine has no HPET: QEMU's machine types pc and q35 do, unless hpet=off is given"
    );
    // SAFETY: as for `read`; the enable bit only lets the counter run.
    unsafe { register(CONFIGURATION).write_volatile(read(CONFIGURATION) | ENABLE) };
}

/// How long a count takes, femtoseconds.
pub fn period() -> u32 {
    read(PERIOD)
}

/// Has the machine look at a timer every few `microseconds`. When instructions are the clock QEMU lets one processor run until a timer is
/// due, and then the next one.
pub fn cut(microseconds: u64) {
    let counts = (microseconds * 1_000_000_000).div_ceil(u64::from(period())) as u32;
    for (offset, value) in [
        (TIMER, CUT),
        (COMPARATOR, counter().wrapping_add(counts)),
        (COMPARATOR, counts),
    ] {
        // SAFETY: as for `read`; the timer's interrupt goes nowhere.
        unsafe { register(offset).write_volatile(value) };
    }
}

/// The counter's low half.
pub fn counter() -> u32 {
    read(COUNTER)
}
