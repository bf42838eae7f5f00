//! One function per operation, type and check policy, to be disassembled: `tests/codegen.rs` pins their machine code.
//!
//! Run, it calls each of them once, so that none is left out of the build.
#![allow(
    unsafe_code,
    reason = "symbols that are found by name, and releases whose acquire another probe did"
)]

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CacheAwareRundownRef, Parity, RundownRef, Strict, WideRundownRef,
};
use rundown_std::Std;

macro_rules! probes {
    ($($type:ident $policy:ident: $acquire:ident, $release:ident;)*) => {
        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $acquire(reference: &$type<Std, $policy>) -> bool {
                reference.acquire()
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $release(reference: &$type<Std, $policy>) {
                // SAFETY: `main` calls it once for each acquire that was granted.
                unsafe { reference.release() };
            }
        )*
    };
}

probes! {
    RundownRef Strict: probe_plain_strict_acquire, probe_plain_strict_release;
    RundownRef Parity: probe_plain_parity_acquire, probe_plain_parity_release;
    WideRundownRef Strict: probe_wide_strict_acquire, probe_wide_strict_release;
    WideRundownRef Parity: probe_wide_parity_acquire, probe_wide_parity_release;
    CacheAwareRundownRef Strict: probe_cache_aware_strict_acquire, probe_cache_aware_strict_release;
    CacheAwareRundownRef Parity: probe_cache_aware_parity_acquire, probe_cache_aware_parity_release;
}

fn pair<R>(reference: &R, acquire: extern "C" fn(&R) -> bool, release: extern "C" fn(&R)) {
    assert!(acquire(reference));
    release(reference);
}

fn main() {
    pair(
        &RundownRef::new(),
        probe_plain_strict_acquire,
        probe_plain_strict_release,
    );
    pair(
        &RundownRef::new(),
        probe_plain_parity_acquire,
        probe_plain_parity_release,
    );
    pair(
        &WideRundownRef::new(),
        probe_wide_strict_acquire,
        probe_wide_strict_release,
    );
    pair(
        &WideRundownRef::new(),
        probe_wide_parity_acquire,
        probe_wide_parity_release,
    );
    let strict = AllocatedCacheAwareRundownRef::<Std, Strict>::new().expect("memory");
    pair::<CacheAwareRundownRef<Std, Strict>>(
        &strict,
        probe_cache_aware_strict_acquire,
        probe_cache_aware_strict_release,
    );
    let parity = AllocatedCacheAwareRundownRef::<Std, Parity>::new().expect("memory");
    pair::<CacheAwareRundownRef<Std, Parity>>(
        &parity,
        probe_cache_aware_parity_acquire,
        probe_cache_aware_parity_release,
    );
    println!("each probe ran");
}
