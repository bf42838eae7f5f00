//! Spin locks.

use super::irql::ke_lower_irql;
use crate::ddi::irql_ranges::{ANY, DISPATCH, RAISED};
use crate::export::Export;
use crate::judge::lock_order;
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::spinlock::SpinLock;
use crate::ke::stay;

unsafe extern "win64" fn ke_initialize_spin_lock(lock: *const SpinLock) {
    // SAFETY: the DDI asks for a KSPIN_LOCK there.
    unsafe { SpinLock::at(lock) }.initialize();
    lock_order::forget(lock as u64..lock as u64 + 1);
}

unsafe extern "win64" fn ke_acquire_spin_lock_raise_to_dpc(lock: *const SpinLock) -> u8 {
    let old = irql::current();
    stay::raise(DISPATCH_LEVEL);
    lock_order::acquire(lock as u64);
    // SAFETY: the DDI asks for an initialised KSPIN_LOCK there.
    unsafe { SpinLock::at(lock) }.acquire();
    old
}

unsafe extern "win64" fn ke_release_spin_lock(lock: *const SpinLock, old: u8) {
    // SAFETY: as above.
    unsafe { SpinLock::at(lock) }.release();
    lock_order::release(lock as u64);
    // SAFETY: a plain function; it checks what it is given.
    unsafe { ke_lower_irql(old) };
}

unsafe extern "win64" fn ke_acquire_spin_lock_at_dpc_level(lock: *const SpinLock) {
    lock_order::acquire(lock as u64);
    // SAFETY: as above.
    unsafe { SpinLock::at(lock) }.acquire();
}

unsafe extern "win64" fn ke_release_spin_lock_from_dpc_level(lock: *const SpinLock) {
    // SAFETY: as above.
    unsafe { SpinLock::at(lock) }.release();
    lock_order::release(lock as u64);
}

/// This family's exports.
pub(super) static EXPORTS: &[Export] = &[
    Export::function("KeInitializeSpinLock", ANY, ke_initialize_spin_lock as *const ()),
    Export::function(
        "KeAcquireSpinLockRaiseToDpc",
        DISPATCH,
        ke_acquire_spin_lock_raise_to_dpc as *const (),
    ),
    Export::function("KeReleaseSpinLock", RAISED, ke_release_spin_lock as *const ()),
    Export::function(
        "KeAcquireSpinLockAtDpcLevel",
        RAISED,
        ke_acquire_spin_lock_at_dpc_level as *const (),
    ),
    Export::function(
        "KeReleaseSpinLockFromDpcLevel",
        RAISED,
        ke_release_spin_lock_from_dpc_level as *const (),
    ),
];
