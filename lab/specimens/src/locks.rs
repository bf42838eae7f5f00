//! Spin locks and mutexes.

use crate::Specimen;
use crate::nt::*;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("lock-twice", lock_twice),
    ("release-free-lock", release_free_lock),
    ("return-with-lock", return_with_lock),
    ("locks-in-two-orders", locks_in_two_orders),
    ("endless-with-lock", endless_with_lock),
    ("release-free-mutex", release_free_mutex),
];

unsafe fn lock_twice() -> i32 {
    let mut lock = 0;
    unsafe {
        KeAcquireSpinLockRaiseToDpc(&mut lock);
        KeAcquireSpinLockAtDpcLevel(&mut lock);
    }
    0
}

unsafe fn release_free_lock() -> i32 {
    let mut lock = 0;
    unsafe {
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        KeReleaseSpinLock(&mut lock, old);
    }
    0
}

unsafe fn return_with_lock() -> i32 {
    let mut lock = 0;
    unsafe {
        KeAcquireSpinLockRaiseToDpc(&mut lock);
        KeLowerIrql(PASSIVE_LEVEL);
    }
    0
}

/// No deadlock happens: the order alone is the offence. The locks form a cycle of three.
unsafe fn locks_in_two_orders() -> i32 {
    let mut locks = [0_u64; 3];
    for (first, second) in [(0, 1), (1, 2), (2, 0)] {
        unsafe {
            let old = KeAcquireSpinLockRaiseToDpc(&mut locks[first]);
            KeAcquireSpinLockAtDpcLevel(&mut locks[second]);
            KeReleaseSpinLockFromDpcLevel(&mut locks[second]);
            KeReleaseSpinLock(&mut locks[first], old);
        }
    }
    0
}

unsafe fn endless_with_lock() -> i32 {
    let mut lock = 0;
    unsafe { KeAcquireSpinLockRaiseToDpc(&mut lock) };
    loop {
        core::hint::spin_loop();
    }
}

unsafe fn release_free_mutex() -> i32 {
    let mut mutex = Mutex([0; 7]);
    unsafe {
        KeInitializeMutex(&mut mutex, 0);
        KeReleaseMutex(&mut mutex, 0)
    }
}
