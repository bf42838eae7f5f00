//! Time, by the performance counter.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wdk_sys::{LARGE_INTEGER, ntddk::KeQueryPerformanceCounter};

/// The counter's frequency in hertz.
///
/// # IRQL
/// Any.
pub(crate) fn frequency() -> u64 {
    let mut frequency = LARGE_INTEGER::default();
    // SAFETY: the frequency is written.
    let _ = unsafe { KeQueryPerformanceCounter(&raw mut frequency) };
    // SAFETY: the routine wrote the whole union.
    unsafe { frequency.QuadPart }.cast_unsigned()
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
            frequency: frequency().max(1),
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
        let ticks = u128::from(end.saturating_sub(self.started));
        u64::try_from(ticks * 1_000_000 / u128::from(self.frequency)).unwrap_or(u64::MAX)
    }
}
