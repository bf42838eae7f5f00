//! Time: the TSC, calibrated against the PIT, and NT's units of 100 ns.

use super::cpu;
use core::sync::atomic::{AtomicU64, Ordering};

/// Units of 100 ns in a second.
pub const UNITS_PER_SECOND: u64 = 10_000_000;
/// 2026-01-01 in NT's time, units of 100 ns since 1601: the machine has no clock that matters, and runs repeat.
pub const BOOT_SYSTEM_TIME: u64 = 134_117_280_000_000_000;
const PIT_HZ: u64 = 1_193_182;
/// How long the PIT is watched, ticks of its clock; it counts 65,536 of them down (55 ms).
const CALIBRATION_TICKS: u16 = 12_000;
/// Tries for one reading of both clocks; the one that took the fewest cycles counts.
const TRIES: usize = 16;

static CYCLES_PER_SECOND: AtomicU64 = AtomicU64::new(1_000_000_000);
static START: AtomicU64 = AtomicU64::new(0);

/// Measures the TSC against PIT channel 2, and starts time. A busy host may stop this processor at any moment, so both
/// clocks are read together, several times at each end, and the closest pair is used.
pub fn calibrate() {
    // Gate on, speaker off; channel 2, low then high byte, mode 0: counts down once, from 65,535.
    cpu::out8(0x61, cpu::in8(0x61) & !2 | 1);
    cpu::out8(0x43, 0xB0);
    cpu::out8(0x42, 0xFF);
    cpu::out8(0x42, 0xFF);
    let (start, first) = read_both();
    let (end, last) = loop {
        let (end, last) = read_both();
        if first.wrapping_sub(last) >= CALIBRATION_TICKS {
            break (end, last);
        }
    };
    let ticks = u64::from(first.wrapping_sub(last));
    CYCLES_PER_SECOND.store((end - start) * PIT_HZ / ticks, Ordering::Relaxed);
    START.store(end, Ordering::Relaxed);
}

/// The TSC and the PIT's count at nearly the same moment.
fn read_both() -> (u64, u16) {
    let read = |_| {
        let before = cpu::rdtsc();
        cpu::out8(0x43, 0x80); // latch channel 2
        let count = u16::from_le_bytes([cpu::in8(0x42), cpu::in8(0x42)]);
        let after = cpu::rdtsc();
        (after - before, before + (after - before) / 2, count)
    };
    let (_, time, count) = (0..TRIES).map(read).min().unwrap_or((0, 0, 0));
    (time, count)
}

/// TSC cycles in a second.
pub fn cycles_per_second() -> u64 {
    CYCLES_PER_SECOND.load(Ordering::Relaxed)
}

/// TSC cycles in a millisecond.
pub fn cycles_per_millisecond() -> u64 {
    cycles_per_second() / 1000
}

/// TSC cycles since boot.
pub fn cycles() -> u64 {
    cpu::rdtsc().wrapping_sub(START.load(Ordering::Relaxed))
}

/// Time since boot, units of 100 ns.
pub fn interrupt_time() -> u64 {
    (u128::from(cycles()) * u128::from(UNITS_PER_SECOND) / u128::from(cycles_per_second())) as u64
}

/// Units of 100 ns since 1601; the machine always boots at the start of 2026.
pub fn system_time() -> u64 {
    BOOT_SYSTEM_TIME + interrupt_time()
}
