//! The [probes] in a program of the host. `driver/` has the same in a driver; `tools/codegen` disassembles both.
//!
//! Run, it calls each of them once, so that none is left out of the build.
#![allow(
    unsafe_code,
    reason = "symbols that are found by name, and releases whose acquire another probe did"
)]

mod probes;

use ex_rundown::{
    AllocatedCacheAwareRundownRef, AtDispatchLevel, CacheAwareRundownRef, DispatchRundownRef, Parity,
    RundownRef, Strict, WideCacheAwareRundownRef, WideRundownRef,
};
use rundown_std::Std as Os;

fn pair<R>(reference: &R, acquire: extern "C" fn(&R) -> bool, release: extern "C" fn(&R)) {
    assert!(acquire(reference));
    release(reference);
}

fn main() {
    pair(
        &RundownRef::new(),
        probes::probe_plain_strict_acquire,
        probes::probe_plain_strict_release,
    );
    pair(
        // SAFETY: acquired and released once.
        &unsafe { RundownRef::with_policy() },
        probes::probe_plain_parity_acquire,
        probes::probe_plain_parity_release,
    );
    pair(
        &WideRundownRef::new(),
        probes::probe_wide_strict_acquire,
        probes::probe_wide_strict_release,
    );
    pair(
        // SAFETY: acquired and released once.
        &unsafe { WideRundownRef::with_policy() },
        probes::probe_wide_parity_acquire,
        probes::probe_wide_parity_release,
    );
    let strict = AllocatedCacheAwareRundownRef::<Os, Strict>::new().expect("memory");
    pair::<CacheAwareRundownRef<Os, Strict>>(
        &strict,
        probes::probe_cache_aware_strict_acquire,
        probes::probe_cache_aware_strict_release,
    );
    // SAFETY: acquired and released once.
    let parity = unsafe { AllocatedCacheAwareRundownRef::<Os, Parity>::with_policy() }.expect("memory");
    pair::<CacheAwareRundownRef<Os, Parity>>(
        &parity,
        probes::probe_cache_aware_parity_acquire,
        probes::probe_cache_aware_parity_release,
    );
    pair(
        &WideCacheAwareRundownRef::new().expect("memory"),
        probes::probe_wide_cache_aware_acquire,
        probes::probe_wide_cache_aware_release,
    );
    let dispatch = DispatchRundownRef::<Os>::new().expect("memory");
    let both = |level: &AtDispatchLevel<Os>| {
        assert!(probes::probe_dispatch_acquire(&dispatch, level));
        probes::probe_dispatch_release(&dispatch, level);
    };
    // SAFETY: nothing in there lowers the level.
    unsafe { AtDispatchLevel::raise(both) };
    println!("each probe ran");
}
