//! One function per operation, type and check policy, on the platform `Os` of the image around them.

use ex_rundown::{
    AtDispatchLevel, CacheAwareRundownRef, DispatchRundownRef, Parity, RundownRef, Strict,
    WideCacheAwareRundownRef, WideRundownRef,
};

use super::Os;

macro_rules! probes {
    ($($type:ident $policy:ident: $acquire:ident, $release:ident;)*) => {
        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            pub(crate) extern "C" fn $acquire(reference: &$type<Os, $policy>) -> bool {
                reference.acquire()
            }

            #[unsafe(no_mangle)]
            #[inline(never)]
            pub(crate) extern "C" fn $release(reference: &$type<Os, $policy>) {
                // SAFETY: whoever calls it, calls it once for each acquire that was granted.
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

#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn probe_wide_cache_aware_acquire(reference: &WideCacheAwareRundownRef<Os>) -> bool {
    reference.acquire()
}

#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn probe_wide_cache_aware_release(reference: &WideCacheAwareRundownRef<Os>) {
    // SAFETY: as above.
    unsafe { reference.release() };
}

#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn probe_dispatch_acquire(
    reference: &DispatchRundownRef<Os>,
    level: &AtDispatchLevel<Os>,
) -> bool {
    reference.acquire(level)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn probe_dispatch_release(
    reference: &DispatchRundownRef<Os>,
    level: &AtDispatchLevel<Os>,
) {
    // SAFETY: as above.
    unsafe { reference.release(level) };
}
