//! The service's `Parameters` key: an administrator's settings, read once when the driver is loaded.
//!
//! | value (`REG_DWORD`) | meaning | default, and most |
//! |---|---|---|
//! | `SpinCycles` | the spin budget of our waits below `DISPATCH_LEVEL`, TSC cycles, 0 for NT's | 0, 100,000,000 |
//! | `MaximumThreads` | holder threads of a run | 64 |
//! | `MaximumMilliseconds` | duration of a run | 3,600,000 |
//! | `MaximumBytes` | pool for a run's counters | 16,777,216 |
//! | `MaximumObjectBytes` | pool for the objects of all handles | 16,777,216 |
//!
//! A value beyond the most counts as the most, a limit of 0 as 1. The key, and each value in it, may be missing.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rundown_abi::Limits;
use wdk_sys::{
    KEY_QUERY_VALUE, WDF_NO_OBJECT_ATTRIBUTES, WDFDRIVER, WDFKEY, call_unsafe_wdf_function_binding,
};

use super::{
    check, spin_budget,
    string::{unicode_string, wide},
};

/// Limits that the registry may lower. Written once, before any device exists; nothing else depends on them.
static THREADS: AtomicU32 = AtomicU32::new(Limits::DEFAULT.threads);
static MILLISECONDS: AtomicU32 = AtomicU32::new(Limits::DEFAULT.milliseconds);
static BYTES: AtomicU32 = AtomicU32::new(Limits::DEFAULT.bytes);
static OBJECT_BYTES: AtomicU32 = AtomicU32::new(Limits::DEFAULT.object_bytes);

/// Reads the parameters.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Safety
/// `driver` is the framework's driver object, and no device exists yet.
pub(crate) unsafe fn read(driver: WDFDRIVER) {
    let mut key: WDFKEY = core::ptr::null_mut();
    // SAFETY: the driver object is live; the handle is written on success.
    let opened = check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverOpenParametersRegistryKey,
            driver,
            KEY_QUERY_VALUE,
            WDF_NO_OBJECT_ATTRIBUTES,
            &raw mut key,
        )
    });
    if opened.is_err() {
        // No key: the defaults hold.
        return;
    }
    // SAFETY: the key is open.
    if let Some(cycles) = unsafe { value(key, wide!("SpinCycles")) } {
        spin_budget::set_default(cycles.min(Limits::DEFAULT.spin_cycles));
    }
    for (limit, name) in [
        (&THREADS, wide!("MaximumThreads") as &[u16]),
        (&MILLISECONDS, wide!("MaximumMilliseconds")),
        (&BYTES, wide!("MaximumBytes")),
        (&OBJECT_BYTES, wide!("MaximumObjectBytes")),
    ] {
        // SAFETY: the key is open.
        if let Some(value) = unsafe { self::value(key, name) } {
            // Relaxed: see `THREADS`. The initial value is the most.
            limit.store(value.clamp(1, limit.load(Relaxed)), Relaxed);
        }
    }
    // SAFETY: the key was opened above, and is closed once.
    unsafe { call_unsafe_wdf_function_binding!(WdfRegistryClose, key) };
}

/// A value of the key; `None` when it is missing or no `REG_DWORD`.
///
/// # Safety
/// The key is open.
unsafe fn value(key: WDFKEY, name: &[u16]) -> Option<u32> {
    let name = unicode_string(name)?;
    let mut value = 0;
    // SAFETY: the key is open, says the caller; the name is only read; the value is written on success.
    check(unsafe {
        call_unsafe_wdf_function_binding!(WdfRegistryQueryULong, key, &raw const name, &raw mut value)
    })
    .ok()
    .map(|()| value)
}

/// How many bytes of pool the objects of all handles may take.
///
/// # IRQL
/// Any.
pub(crate) fn object_bytes() -> u32 {
    // Relaxed: see `THREADS`.
    OBJECT_BYTES.load(Relaxed)
}

/// The limits in force where the time stamp counter has this frequency: the registry's, and a hold at `DISPATCH_LEVEL` of
/// at most 50 us.
///
/// # IRQL
/// Any.
pub(crate) fn limits(cycle_frequency: u64) -> Limits {
    let microseconds_50 = u32::try_from(cycle_frequency / 20_000).unwrap_or(u32::MAX);
    Limits {
        // Relaxed: see `THREADS`.
        threads: THREADS.load(Relaxed),
        milliseconds: MILLISECONDS.load(Relaxed),
        bytes: BYTES.load(Relaxed),
        object_bytes: object_bytes(),
        dispatch_hold_cycles: microseconds_50.min(Limits::DEFAULT.dispatch_hold_cycles),
        ..Limits::DEFAULT
    }
}
