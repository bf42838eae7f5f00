//! Every way to give a reference back, for `tools/codegen`, which looks at what the compiler promises LLVM about the memory that
//! such a call is given: nothing, since the owner may free it before the call returns.
#![allow(unsafe_code, reason = "releases, and what was forgotten")]

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CacheAwareRundownRef, CountedGuard, Guard, Held, Protection, Rundown,
    RundownRef, WideRundownRef,
};
use rundown_std::Std;

/// A guard by value: what the function holds is not to promise more than the guard does.
#[inline(never)]
fn release_guard<R: Protection>(guard: Guard<'_, R>) {
    drop(guard);
}

/// As [`release_guard`].
#[inline(never)]
fn release_counted<R: Protection>(guard: CountedGuard<'_, R>) {
    drop(guard);
}

/// As [`release_guard`].
#[inline(never)]
fn release_data<R: Protection>(held: Held<'_, u64, R>) {
    drop(held);
}

fn each_way<R: Protection>(reference: &R, try_acquire: fn(&R) -> Option<Guard<'_, R>>) {
    release_guard(try_acquire(reference).expect("live"));
    assert!(reference.acquire());
    // SAFETY: just acquired, and the caller has it in place.
    unsafe { R::release_at(reference) };
    assert!(reference.acquire_ex(2));
    // SAFETY: just acquired, and the caller has it in place.
    unsafe { R::release_ex_at(reference, 2) };
}

fn data<R: Protection>(reference: R) {
    let data = Rundown::new(1_u64, reference);
    release_data(data.acquire().expect("live"));
}

fn main() {
    let cache_aware = || AllocatedCacheAwareRundownRef::<Std>::new().expect("memory");
    let (plain, wide, allocated) = (
        RundownRef::<Std>::new(),
        WideRundownRef::<Std>::new(),
        cache_aware(),
    );
    let given: &CacheAwareRundownRef<Std> = &allocated;
    each_way(&plain, RundownRef::try_acquire);
    each_way(&wide, WideRundownRef::try_acquire);
    each_way(given, CacheAwareRundownRef::try_acquire);
    release_counted(plain.try_acquire_ex(2).expect("live"));
    release_counted(wide.try_acquire_ex(2).expect("live"));
    release_counted(given.try_acquire_ex(2).expect("live"));
    assert!(allocated.acquire());
    // SAFETY: just acquired.
    unsafe { AllocatedCacheAwareRundownRef::release_at(&raw const allocated) };
    assert!(allocated.acquire_ex(2));
    // SAFETY: just acquired.
    unsafe { AllocatedCacheAwareRundownRef::release_ex_at(&raw const allocated, 2) };
    data(plain);
    data(wide);
    data(cache_aware());
    println!("each reference was given back");
}
