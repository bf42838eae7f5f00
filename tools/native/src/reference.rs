//! The slow paths that a listing may lack, written from the contract alone and sharing no code with ours.
//!
//! Whatever NT's listed routine cannot do on its fast path it hands to `ExfAcquireRundownProtection` or
//! `ExfReleaseRundownProtection`. When those are not listed, these stand in, and reports say so.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::{block::Block, exports};

const ACTIVE: usize = 1;
const ONE: usize = 2;

/// `ExfAcquireRundownProtection`: 1 when the reference was taken, 0 when run-down has begun.
///
/// # Safety
/// `word` is an `EX_RUNDOWN_REF`.
pub unsafe extern "win64" fn exf_acquire(word: *mut usize) -> u8 {
    // SAFETY: the caller's promise; everybody accesses it atomically.
    let word = unsafe { AtomicUsize::from_ptr(word) };
    let mut value = word.load(SeqCst);
    while value & ACTIVE == 0 {
        match word.compare_exchange(value, value.wrapping_add(ONE), SeqCst, SeqCst) {
            Ok(_) => return 1,
            Err(now) => value = now,
        }
    }
    0
}

/// `ExfReleaseRundownProtection`.
///
/// # Safety
/// `word` is an `EX_RUNDOWN_REF`, and the caller gives up a reference of it.
pub unsafe extern "win64" fn exf_release(word: *mut usize) {
    // SAFETY: the caller's promise; everybody accesses it atomically.
    let word = unsafe { AtomicUsize::from_ptr(word) };
    let mut value = word.load(SeqCst);
    while value & ACTIVE == 0 {
        match word.compare_exchange(value, value.wrapping_sub(ONE), SeqCst, SeqCst) {
            Ok(_) => return,
            Err(now) => value = now,
        }
    }
    let block = Block::at(value & !ACTIVE);
    // SAFETY: the caller's reference is one that the block counts, so its waiter cannot return.
    let count = unsafe { &raw const (*block).count };
    // SAFETY: as above.
    if unsafe { (*count).fetch_sub(1, SeqCst) } != 1 {
        return;
    }
    // SAFETY: as above: the waiter still waits for what follows.
    let spin_flag = unsafe { &raw const (*block).spin_flag };
    // SAFETY: as above.
    if unsafe { (*spin_flag).fetch_and(!1, SeqCst) } & 1 == 0 {
        // SAFETY: the waiter has cleared the flag, so it has initialised its event and waits for it.
        let event = unsafe { &raw const (*block).wake_event };
        // SAFETY: as above.
        unsafe { exports::ke_set_event(event, 0, 0) };
    }
}
