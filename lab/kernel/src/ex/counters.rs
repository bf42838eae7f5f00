//! What the native run-down protection has come to, as the kernel counts it.

use core::sync::atomic::AtomicU64;

/// How many references were taken, refused, and how waits ended.
pub struct Counters {
    /// References taken.
    pub acquires: AtomicU64,
    /// References refused.
    pub refused: AtomicU64,
    /// Waits that found nothing to wait for.
    pub drained: AtomicU64,
    /// Waits that ended while monitoring.
    pub mwaitx: AtomicU64,
    /// Waits that ended in the PAUSE spin.
    pub pause: AtomicU64,
    /// Waits that ended polling at `DISPATCH_LEVEL`.
    pub dispatch: AtomicU64,
    /// Waits that slept on the event.
    pub event: AtomicU64,
    /// Waits that found the flag clear only when they tried to commit to sleeping.
    pub late: AtomicU64,
}

/// What happened since boot.
pub static COUNTERS: Counters = Counters {
    acquires: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    drained: AtomicU64::new(0),
    mwaitx: AtomicU64::new(0),
    pause: AtomicU64::new(0),
    dispatch: AtomicU64::new(0),
    event: AtomicU64::new(0),
    late: AtomicU64::new(0),
};
