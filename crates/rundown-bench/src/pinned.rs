//! std's threads as a platform whose sections are taken on trust.
//!
//! A process has no IRQL. Here the witness stands for one: a row's threads are pinned to a processor each and have a number each, so
//! that each owns its counter, and nobody else is on it. What is measured is what the operations cost, once the proof is there.

use std::ptr::NonNull;

use ex_rundown::{AtMostApcLevel, DispatchPlatform, PoolPlatform, ProcessorPlatform};
use rundown_std::Std;

use crate::subjects::thread_number;

/// The platform.
#[derive(Debug)]
pub struct Pinned;

rundown_std::platform!(Pinned);

// SAFETY: constants, but for the thread's number.
unsafe impl ProcessorPlatform for Pinned {
    #[inline]
    fn processor_number() -> u32 {
        thread_number()
    }
    /// A row has two threads at most.
    fn processor_count() -> u32 {
        2
    }
    fn cache_line() -> usize {
        Std::cache_line()
    }
}

// SAFETY: std's.
unsafe impl PoolPlatform for Pinned {
    fn allocate(bytes: usize) -> Option<NonNull<usize>> {
        Std::allocate(bytes)
    }
    unsafe fn free(memory: NonNull<usize>, bytes: usize) {
        // SAFETY: the caller's promise, handed on.
        unsafe { Std::free(memory, bytes) };
    }
}

// SAFETY: a thread's number is its own as long as its row is measured, and what it does with a reference it does one thing after the other. A
// reference is run down before a row's threads begin, by the one that they begin after.
unsafe impl DispatchPlatform for Pinned {
    type Raised = ();

    fn raise() {}
    fn is_at_dispatch_level() -> bool {
        true
    }
    fn grace_period(_level: &AtMostApcLevel) {}
}
