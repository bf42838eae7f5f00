//! Time: the TSC, calibrated against the PIT, and NT's units of 100 ns.

use super::cpu;
use core::sync::atomic::{AtomicU64, Ordering};

/// Units of 100 ns in a second.
pub const UNITS_PER_SECOND: u64 = 10_000_000;
/// 2026-01-01 in NT's time, units of 100 ns since 1601: the machine has no clock that matters, and runs repeat.
pub const BOOT_SYSTEM_TIME: u64 = 134_117_280_000_000_000;
const PIT_HZ: u64 = 1_193_182;
const CALIBRATION_PIT_TICKS: u16 = 5_966; // 5 ms
const MEASUREMENTS: usize = 4;

static CYCLES_PER_SECOND: AtomicU64 = AtomicU64::new(1_000_000_000);
static START: AtomicU64 = AtomicU64::new(0);

/// Measures the TSC against PIT channel 2, and starts time. On a busy host a measurement can only be too long, so the
/// shortest of a few counts.
pub fn calibrate() {
    let cycles = (0..MEASUREMENTS).map(|_| measure()).min().unwrap_or(1);
    CYCLES_PER_SECOND.store(
        cycles * PIT_HZ / u64::from(CALIBRATION_PIT_TICKS),
        Ordering::Relaxed,
    );
    START.store(cpu::rdtsc(), Ordering::Relaxed);
}

fn measure() -> u64 {
    // Gate on, speaker off; channel 2, mode 0: its output goes up when the count ends.
    cpu::out8(0x61, cpu::in8(0x61) & !2 | 1);
    cpu::out8(0x43, 0xB0);
    let [low, high] = CALIBRATION_PIT_TICKS.to_le_bytes();
    cpu::out8(0x42, low);
    cpu::out8(0x42, high);
    let start = cpu::rdtsc();
    while cpu::in8(0x61) & 0x20 == 0 {
        core::hint::spin_loop();
    }
    cpu::rdtsc() - start
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
