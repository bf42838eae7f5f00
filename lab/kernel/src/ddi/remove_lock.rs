//! Remove locks. The routines' macros pass a checked build's file and line, and the structure's size, which only that build's lock uses.

use super::irql_ranges::{DISPATCH, PASSIVE};
use crate::export::Export;
use crate::io::remove_lock::RemoveLock;
use crate::ke::thread;
use crate::status;

/// The lock that a routine was given.
fn lock(address: *const RemoveLock) -> &'static RemoveLock {
    // SAFETY: the DDI asks for an IO_REMOVE_LOCK there, which stays while anybody has it.
    unsafe { RemoveLock::at(address) }
}

unsafe extern "win64" fn io_initialize_remove_lock_ex(
    address: *const RemoveLock,
    _tag: u32,
    _max_minutes: u32,
    _high_watermark: u32,
    _size: u32,
) {
    lock(address).initialize();
}

unsafe extern "win64" fn io_acquire_remove_lock_ex(
    address: *const RemoveLock,
    tag: u64,
    _file: u64,
    _line: u32,
    _size: u32,
) -> i32 {
    if lock(address).acquire(tag, thread::current().caller()) {
        status::SUCCESS
    } else {
        status::DELETE_PENDING
    }
}

unsafe extern "win64" fn io_release_remove_lock_ex(address: *const RemoveLock, tag: u64, _size: u32) {
    lock(address).release(tag);
}

unsafe extern "win64" fn io_release_remove_lock_and_wait_ex(
    address: *const RemoveLock,
    tag: u64,
    _size: u32,
) {
    lock(address).release_and_wait(tag);
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "IoInitializeRemoveLockEx",
        PASSIVE,
        io_initialize_remove_lock_ex as *const (),
    ),
    Export::function(
        "IoAcquireRemoveLockEx",
        DISPATCH,
        io_acquire_remove_lock_ex as *const (),
    ),
    Export::function(
        "IoReleaseRemoveLockEx",
        DISPATCH,
        io_release_remove_lock_ex as *const (),
    ),
    Export::function(
        "IoReleaseRemoveLockAndWaitEx",
        PASSIVE,
        io_release_remove_lock_and_wait_ex as *const (),
    ),
];
