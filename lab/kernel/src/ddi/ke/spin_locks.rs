//! Spin locks.

use super::irql::ke_lower_irql;
use crate::ddi::irql_ranges::{ANY, AT_DISPATCH, DISPATCH, RAISED};
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

/// `KLOCK_QUEUE_HANDLE`, 0x18 bytes: on NT a place in a queue, here what the release needs.
#[repr(C)]
struct QueueHandle {
    next: u64,
    lock: *const SpinLock,
    old_irql: u8,
}

const _: () = assert!(size_of::<QueueHandle>() == 0x18);

unsafe extern "win64" fn ke_acquire_in_stack_queued(lock: *const SpinLock, handle: *mut QueueHandle) {
    // SAFETY: the DDI, as the plain routine's.
    let old_irql = unsafe { ke_acquire_spin_lock_raise_to_dpc(lock) };
    let value = QueueHandle {
        next: 0,
        lock,
        old_irql,
    };
    // SAFETY: the DDI asks for room for a KLOCK_QUEUE_HANDLE.
    unsafe { handle.write(value) };
}

unsafe extern "win64" fn ke_release_in_stack_queued(handle: *const QueueHandle) {
    // SAFETY: the DDI asks for the handle that the lock was acquired with.
    let handle = unsafe { &*handle };
    // SAFETY: as the plain routine's.
    unsafe { ke_release_spin_lock(handle.lock, handle.old_irql) };
}

unsafe extern "win64" fn ke_acquire_in_stack_queued_at_dpc(lock: *const SpinLock, handle: *mut QueueHandle) {
    // SAFETY: the DDI, as the plain routine's.
    unsafe { ke_acquire_spin_lock_at_dpc_level(lock) };
    let value = QueueHandle {
        next: 0,
        lock,
        old_irql: DISPATCH_LEVEL,
    };
    // SAFETY: as above.
    unsafe { handle.write(value) };
}

unsafe extern "win64" fn ke_release_in_stack_queued_from_dpc(handle: *const QueueHandle) {
    // SAFETY: as above.
    let lock = unsafe { (*handle).lock };
    // SAFETY: as the plain routine's.
    unsafe { ke_release_spin_lock_from_dpc_level(lock) };
}

unsafe extern "win64" fn ke_try_to_acquire_at_dpc_level(lock: *const SpinLock) -> u8 {
    // SAFETY: as above.
    let taken = unsafe { SpinLock::at(lock) }.try_acquire();
    if taken {
        lock_order::taken(lock as u64);
    }
    taken.into()
}

unsafe extern "win64" fn ke_test_spin_lock(lock: *const SpinLock) -> u8 {
    // SAFETY: as above.
    u8::from(unsafe { SpinLock::at(lock) }.is_free())
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
    Export::function(
        "KeAcquireInStackQueuedSpinLock",
        DISPATCH,
        ke_acquire_in_stack_queued as *const (),
    ),
    Export::function(
        "KeReleaseInStackQueuedSpinLock",
        AT_DISPATCH,
        ke_release_in_stack_queued as *const (),
    ),
    Export::function(
        "KeAcquireInStackQueuedSpinLockAtDpcLevel",
        RAISED,
        ke_acquire_in_stack_queued_at_dpc as *const (),
    ),
    Export::function(
        "KeReleaseInStackQueuedSpinLockFromDpcLevel",
        RAISED,
        ke_release_in_stack_queued_from_dpc as *const (),
    ),
    Export::function(
        "KeTryToAcquireSpinLockAtDpcLevel",
        RAISED,
        ke_try_to_acquire_at_dpc_level as *const (),
    ),
    Export::function("KeTestSpinLock", ANY, ke_test_spin_lock as *const ()).quiet(),
];
