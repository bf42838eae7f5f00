//! Time: the TSC, calibrated against the HPET, and NT's units of 100 ns.

use super::{cpu, hpet};
use core::sync::atomic::{AtomicU64, Ordering};

/// Units of 100 ns in a second.
pub const UNITS_PER_SECOND: u64 = 10_000_000;
/// 2026-01-01 in NT's time, units of 100 ns since 1601: the machine has no clock that matters, and runs repeat.
pub const BOOT_SYSTEM_TIME: u64 = 134_117_280_000_000_000;
const FEMTOSECONDS_PER_SECOND: u128 = 1_000_000_000_000_000;
/// How long the HPET is watched at least, femtoseconds: 10 ms.
const CALIBRATION: u128 = 10_000_000_000_000;
/// Tries for one reading of two clocks; the one that took the fewest cycles counts.
const TRIES: usize = 16;

static CYCLES_PER_SECOND: AtomicU64 = AtomicU64::new(1_000_000_000);
static START: AtomicU64 = AtomicU64::new(0);

/// Measures the TSC against the HPET, and starts time.
pub fn calibrate() {
    hpet::start();
    let period = u128::from(hpet::period());
    let (start, first) = together(hpet::counter);
    let (end, elapsed) = loop {
        let (end, last) = together(hpet::counter);
        let elapsed = u128::from(last.wrapping_sub(first)) * period;
        if elapsed >= CALIBRATION {
            break (end, elapsed);
        }
    };
    let frequency = u128::from(end - start) * FEMTOSECONDS_PER_SECOND / elapsed;
    CYCLES_PER_SECOND.store(frequency as u64, Ordering::Relaxed);
    START.store(end, Ordering::Relaxed);
}

/// The TSC and another clock at nearly the same moment. A busy host may stop this processor at any moment, so both are read
/// several times, and the closest pair is used.
pub fn together(other: impl Fn() -> u32) -> (u64, u32) {
    let read = |_| {
        let before = cpu::rdtsc();
        let count = other();
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
