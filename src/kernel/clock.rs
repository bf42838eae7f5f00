//! Time, by the performance counter; and how fast the time stamp counter is beside it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ex_rundown::arch;
use wdk_sys::{LARGE_INTEGER, ntddk::KeQueryPerformanceCounter};

/// Both counters when the driver was loaded: what [`cycle_frequency`] counts from. Written once, before any device
/// exists; nothing else depends on it.
static LOADED: Both = Both {
    ticks: AtomicU64::new(0),
    cycles: AtomicU64::new(0),
};

struct Both {
    ticks: AtomicU64,
    cycles: AtomicU64,
}

/// Reads both counters for the first time.
///
/// # IRQL
/// Any.
pub(crate) fn start() {
    // Relaxed: see `LOADED`.
    LOADED.ticks.store(now(), Relaxed);
    LOADED.cycles.store(arch::timestamp(), Relaxed);
}

/// The performance counter's frequency in hertz.
///
/// # IRQL
/// Any.
pub(crate) fn frequency() -> u64 {
    let mut frequency = LARGE_INTEGER::default();
    // SAFETY: the frequency is written.
    let _ = unsafe { KeQueryPerformanceCounter(&raw mut frequency) };
    // SAFETY: the routine wrote the whole union.
    unsafe { frequency.QuadPart }.cast_unsigned().max(1)
}

/// The time stamp counter's frequency in hertz, as measured since the driver was loaded; that was a millisecond ago
/// at least, if need be by waiting for it.
///
/// # IRQL
/// Any.
pub(crate) fn cycle_frequency() -> u64 {
    let frequency = frequency();
    loop {
        // Relaxed: see `LOADED`.
        let ticks = now().saturating_sub(LOADED.ticks.load(Relaxed));
        let cycles = arch::timestamp().saturating_sub(LOADED.cycles.load(Relaxed));
        if ticks >= frequency.div_ceil(1_000) {
            return scale(cycles, frequency, ticks);
        }
        core::hint::spin_loop();
    }
}

/// `value * numerator / denominator`, without overflow on the way.
fn scale(value: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// The performance counter, in nanoseconds.
///
/// # IRQL
/// Any.
pub(crate) fn nanoseconds() -> u64 {
    scale(now(), 1_000_000_000, frequency())
}

fn now() -> u64 {
    // SAFETY: the frequency is optional.
    let counter = unsafe { KeQueryPerformanceCounter(core::ptr::null_mut()) };
    // SAFETY: the routine returns the whole union.
    unsafe { counter.QuadPart }.cast_unsigned()
}

/// Runs from its making until it is stopped.
pub(crate) struct Stopwatch {
    frequency: u64,
    started: u64,
    /// Zero while it runs. One thread stops it; who reads a value late reads a later time, and nothing else
    /// depends on it.
    stopped: AtomicU64,
}

impl Stopwatch {
    /// Starts.
    ///
    /// # IRQL
    /// Any.
    pub(crate) fn start() -> Self {
        Self {
            frequency: frequency(),
            started: now(),
            stopped: AtomicU64::new(0),
        }
    }

    /// Stops.
    ///
    /// # IRQL
    /// Any.
    pub(crate) fn stop(&self) {
        self.stopped.store(now(), Relaxed);
    }

    /// The time until now, or until it was stopped.
    ///
    /// # IRQL
    /// Any.
    pub(crate) fn microseconds(&self) -> u64 {
        let end = match self.stopped.load(Relaxed) {
            0 => now(),
            stopped => stopped,
        };
        scale(end.saturating_sub(self.started), 1_000_000, self.frequency)
    }
}
