//! Time, by the performance counter; and how fast the time stamp counter is beside it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ex_rundown::arch;
use rundown_stress::rate::{self, Reading};
use wdk_sys::{LARGE_INTEGER, ntddk::KeQueryPerformanceCounter};

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

/// How long the time stamp counter is watched to learn its frequency, in milliseconds.
const WATCH: u64 = 2;
/// How often it is tried again when the counter restarts meanwhile.
const TRIES: usize = 3;
/// Of so many readings in a row the best is taken.
const READINGS: usize = 8;

/// The time stamp counter's frequency in hertz, never 0, as measured now, for two milliseconds: a counter that restarted while
/// the machine slept has nothing to do with what it showed before.
///
/// # IRQL
/// `PASSIVE_LEVEL`, since it takes so long.
pub(crate) fn cycle_frequency() -> u64 {
    let frequency = frequency();
    let measured = (0..TRIES).find_map(|_| {
        let first = read();
        let enough = frequency.saturating_mul(WATCH).div_ceil(1_000);
        while now().saturating_sub(first.before) < enough {
            core::hint::spin_loop();
        }
        rate::frequency(&first, &read(), frequency)
    });
    match measured {
        Some(cycles) => {
            // Relaxed, here and below: a number by itself.
            MEASURED.store(cycles, Relaxed);
            cycles
        }
        // It stands still: what it was once, or a frequency that makes every limit in cycles a strict one.
        None => match MEASURED.load(Relaxed) {
            0 => frequency,
            before => before,
        },
    }
}

/// What was measured last; 0 before.
static MEASURED: AtomicU64 = AtomicU64::new(0);

/// The best of a few readings: the one between whose ends the least time has passed.
fn read() -> Reading {
    let one = || Reading {
        before: now(),
        counter: arch::timestamp(),
        after: now(),
    };
    (1..READINGS).map(|_| one()).fold(
        one(),
        |best, next| {
            if next.width() < best.width() { next } else { best }
        },
    )
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
