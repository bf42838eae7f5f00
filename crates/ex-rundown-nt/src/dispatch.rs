//! `DISPATCH_LEVEL`, and grace periods: the waiter's thread goes once to each processor.

use core::{marker::PhantomData, ptr};

use ex_rundown::{AtMostApcLevel, DISPATCH_LEVEL, DispatchPlatform};

use crate::{
    Nt, processors,
    system::{
        GroupAffinity, KeLowerIrql, KeRevertToUserGroupAffinityThread, KeSetSystemGroupAffinityThread,
        KfRaiseIrql,
    },
};

/// A stretch at `DISPATCH_LEVEL`; when this is dropped the IRQL is again what it was. The last one is dropped first.
#[derive(Debug)]
#[must_use = "the IRQL is lowered at once when this is not bound"]
pub struct Raised {
    // INVARIANT: this processor, on which the thread stays, was raised from here. So it is not `Send`.
    before: u8,
    this_thread: PhantomData<*mut ()>,
}

impl Drop for Raised {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: what the raise gave, and the last one first, as the trait asks.
        unsafe { KeLowerIrql(self.before) };
    }
}

// SAFETY: 1 and 2 are what `DISPATCH_LEVEL` is, and two calls that the compiler cannot look through bound it; the system numbers its processors
// from 0 to the maximum. 3: a thread below that level runs on a processor only when no section is under way there, and the thread's way to it and
// from it orders what is before and after.
unsafe impl DispatchPlatform for Nt {
    type Raised = Raised;

    #[inline]
    fn raise() -> Raised {
        Raised {
            // SAFETY: at or below DISPATCH_LEVEL, says the trait.
            before: unsafe { KfRaiseIrql(DISPATCH_LEVEL) },
            this_thread: PhantomData,
        }
    }

    fn grace_period(_level: &AtMostApcLevel) {
        let mut before = GroupAffinity::default();
        let mut next = 0;
        // Asked anew each time: a processor may have started meanwhile, which gets the next number.
        while next < processors::active() {
            let Some(mut affinity) = processors::affinity(next) else {
                break;
            };
            let previous = if next == 0 {
                &raw mut before
            } else {
                ptr::null_mut()
            };
            // At <= APC_LEVEL the thread is there when this returns ("KeSetSystemGroupAffinityThread", learn.microsoft.com).
            // SAFETY: an affinity of one active processor.
            unsafe { KeSetSystemGroupAffinityThread(&raw mut affinity, previous) };
            assert!(processors::current() == next, "a processor cannot be reached");
            next += 1;
        }
        // SAFETY: what the first of the calls gave.
        unsafe { KeRevertToUserGroupAffinityThread(&raw mut before) };
    }
}
