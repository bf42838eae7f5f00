//! NT's own run-down routines, used against their rules; and right beside it used by them.

use crate::Specimen;
use crate::nt::*;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("sound-run-down", sound),
    ("sound-run-down-cache-aware", sound_cache_aware),
    ("wait-for-run-down-at-dispatch", wait_at_dispatch),
    ("release-once-too-often", || unsafe {
        acquire(1);
        release(1);
        release(1)
    }),
    ("release-more-than-acquired", || unsafe {
        acquire(2);
        release(3)
    }),
    ("release-more-than-waited-for", || unsafe {
        acquire(1);
        start_waiter();
        release(2)
    }),
    ("release-after-refused", || unsafe {
        ExWaitForRundownProtectionRelease(REFERENCE.as_ptr());
        acquire(1);
        release(1)
    }),
    ("release-after-wait", || unsafe {
        wait_until_released();
        release(1)
    }),
    ("release-after-completed", || unsafe {
        acquire(1);
        release(1);
        wait_until_released();
        ExRundownCompleted(REFERENCE.as_ptr());
        release(1)
    }),
    ("initialize-held", || unsafe {
        acquire(1);
        ExInitializeRundownProtection(REFERENCE.as_ptr());
        0
    }),
    ("initialize-waited-for", || unsafe {
        acquire(1);
        start_waiter();
        ExInitializeRundownProtection(REFERENCE.as_ptr());
        0
    }),
    ("reinitialize-held", || unsafe {
        acquire(3);
        ExReInitializeRundownProtection(REFERENCE.as_ptr());
        0
    }),
    ("complete-held", || unsafe {
        acquire(1);
        ExRundownCompleted(REFERENCE.as_ptr());
        0
    }),
    ("free-held", free_held),
    ("wait-for-run-down-twice", || unsafe {
        acquire(1);
        start_waiter();
        ExWaitForRundownProtectionRelease(REFERENCE.as_ptr());
        0
    }),
    ("wait-for-run-down-again", || unsafe {
        wait_until_released();
        ExWaitForRundownProtectionRelease(REFERENCE.as_ptr());
        0
    }),
    ("wait-for-run-down-while-held", || unsafe {
        acquire(2);
        ExWaitForRundownProtectionRelease(REFERENCE.as_ptr());
        0
    }),
    ("acquire-misaligned", || unsafe {
        static PAIR: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
        ExAcquireRundownProtection(PAIR[0].as_ptr().byte_add(4));
        0
    }),
    ("release-cache-aware-once-too-often", || unsafe {
        let reference = cache_aware();
        acquire_cache_aware(reference);
        ExReleaseRundownProtectionCacheAware(reference);
        ExReleaseRundownProtectionCacheAware(reference);
        0
    }),
    ("release-cache-aware-more-than-acquired", || unsafe {
        let reference = cache_aware();
        ExAcquireRundownProtectionCacheAwareEx(reference, 2);
        ExReleaseRundownProtectionCacheAwareEx(reference, 3);
        0
    }),
    ("release-cache-aware-after-refused", || unsafe {
        let reference = cache_aware();
        ExWaitForRundownProtectionReleaseCacheAware(reference);
        acquire_cache_aware(reference);
        ExReleaseRundownProtectionCacheAware(reference);
        0
    }),
    ("initialize-cache-aware-held", || unsafe {
        let reference = cache_aware();
        acquire_cache_aware(reference);
        ExInitializeRundownProtectionCacheAware(reference, ExSizeOfRundownProtectionCacheAware());
        0
    }),
    ("reinitialize-cache-aware-held", || unsafe {
        let reference = cache_aware();
        acquire_cache_aware(reference);
        ExReInitializeRundownProtectionCacheAware(reference);
        0
    }),
    ("free-cache-aware-held", || unsafe {
        let reference = cache_aware();
        acquire_cache_aware(reference);
        ExFreeCacheAwareRundownProtection(reference);
        0
    }),
    ("wait-for-cache-aware-again", || unsafe {
        let reference = cache_aware();
        ExWaitForRundownProtectionReleaseCacheAware(reference);
        ExWaitForRundownProtectionReleaseCacheAware(reference);
        0
    }),
    ("wait-for-cache-aware-completed", || unsafe {
        let reference = cache_aware();
        ExWaitForRundownProtectionReleaseCacheAware(reference);
        ExRundownCompletedCacheAware(reference);
        ExWaitForRundownProtectionReleaseCacheAware(reference);
        0
    }),
    ("acquire-cache-aware-misaligned", || unsafe {
        ExAcquireRundownProtectionCacheAware(cache_aware().byte_add(4));
        0
    }),
];

/// Zeroed memory is a live reference.
static REFERENCE: AtomicU64 = AtomicU64::new(0);

static WAITED: AtomicU64 = AtomicU64::new(0);

/// The acquires, in a function with a name of its own for the report.
#[inline(never)]
unsafe fn acquire(count: u32) {
    unsafe {
        if count == 1 {
            ExAcquireRundownProtection(REFERENCE.as_ptr());
        } else {
            ExAcquireRundownProtectionEx(REFERENCE.as_ptr(), count);
        }
    }
}

#[inline(never)]
unsafe fn release(count: u32) -> i32 {
    unsafe {
        if count == 1 {
            ExReleaseRundownProtection(REFERENCE.as_ptr());
        } else {
            ExReleaseRundownProtectionEx(REFERENCE.as_ptr(), count);
        }
    }
    0
}

unsafe extern "system" fn waiter(_context: *mut c_void) {
    unsafe { ExWaitForRundownProtectionRelease(REFERENCE.as_ptr()) };
    // Something after it: a call that comes last is a jump, and returns to whoever called this.
    WAITED.fetch_add(1, SeqCst);
}

/// Has a thread of its own wait for the reference, which is held.
unsafe fn start_waiter() -> *mut c_void {
    unsafe {
        let thread = start(waiter, core::ptr::null_mut());
        while REFERENCE.load(SeqCst) & 1 == 0 {
            ZwYieldExecution();
        }
        thread
    }
}

/// Waits for a reference that is held until then, so that the pointer to the wait's block stays in the word.
unsafe fn wait_until_released() {
    unsafe {
        acquire(1);
        let thread = start_waiter();
        release(1);
        join(thread);
    }
}

unsafe fn wait_at_dispatch() -> i32 {
    unsafe {
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        ExWaitForRundownProtectionRelease(REFERENCE.as_ptr());
        KeLowerIrql(old);
    }
    0
}

unsafe fn free_held() -> i32 {
    unsafe {
        let memory = block();
        let reference = memory.add(8).cast::<u64>();
        ExInitializeRundownProtection(reference);
        ExAcquireRundownProtection(reference);
        ExFreePoolWithTag(memory, TAG);
    }
    0
}

unsafe fn cache_aware() -> *mut u64 {
    unsafe { ExAllocateCacheAwareRundownProtection(0, TAG) }
}

#[inline(never)]
unsafe fn acquire_cache_aware(reference: *mut u64) -> bool {
    unsafe { ExAcquireRundownProtectionCacheAware(reference) != 0 }
}

/// Gives a plain reference back on a thread of its own.
unsafe extern "system" fn releaser(_context: *mut c_void) {
    unsafe { release(1) };
}

/// What drivers do, and what looks odd and is right.
unsafe fn sound() -> i32 {
    let word = REFERENCE.as_ptr();
    unsafe {
        for _ in 0..50 {
            // Taken here and given back elsewhere, one by one what came together, before a wait and during it.
            check!(ExAcquireRundownProtectionEx(word, 3) == 1);
            join(start(releaser, core::ptr::null_mut()));
            let thread = start_waiter();
            check!(ExAcquireRundownProtection(word) == 0);
            release(1);
            join(start(releaser, core::ptr::null_mut()));
            join(thread);
            check!(ExAcquireRundownProtectionEx(word, 2) == 0);
            // A wait for what is run down returns at once.
            ExRundownCompleted(word);
            ExWaitForRundownProtectionRelease(word);
            ExReInitializeRundownProtection(word);
            // So does one for what nobody holds, each time.
            ExWaitForRundownProtectionRelease(word);
            ExWaitForRundownProtectionRelease(word);
            ExReInitializeRundownProtection(word);
            // A 1 of the driver's own makes a reference that starts run down; a 0 one that is live.
            REFERENCE.store(1, SeqCst);
            check!(ExAcquireRundownProtection(word) == 0);
            ExWaitForRundownProtectionRelease(word);
            REFERENCE.store(0, SeqCst);
            // NT's routines take, the driver gives back, and the reverse.
            check!(ExAcquireRundownProtection(word) == 1);
            REFERENCE.fetch_sub(2, SeqCst);
            ExInitializeRundownProtection(word);
            REFERENCE.fetch_add(2, SeqCst);
            ExReleaseRundownProtection(word);
            // In memory that is used again and again, whatever was in it.
            let memory = block();
            let inside = memory.add(8).cast::<u64>();
            ExInitializeRundownProtection(inside);
            check!(ExAcquireRundownProtection(inside) == 1);
            ExReleaseRundownProtection(inside);
            ExWaitForRundownProtectionRelease(inside);
            inside.write_volatile(0x1234);
            ExInitializeRundownProtection(inside);
            ExFreePoolWithTag(memory, TAG);
        }
    }
    0
}

unsafe extern "system" fn acquire_and_release(context: *mut c_void) {
    let reference = context.cast();
    unsafe {
        let mut taken = 0;
        while taken < 2_000 {
            if acquire_cache_aware(reference) {
                taken += 1;
                ZwYieldExecution();
                ExReleaseRundownProtectionCacheAware(reference);
            } else {
                ZwYieldExecution();
            }
        }
    }
}

/// Threads that move from processor to processor between an acquire and its release, so that slots go below 0.
unsafe fn sound_cache_aware() -> i32 {
    unsafe {
        let reference = cache_aware();
        check!(!reference.is_null());
        let threads = [0, 1, 2].map(|_| start(acquire_and_release, reference.cast()));
        for _ in 0..200 {
            ExWaitForRundownProtectionReleaseCacheAware(reference);
            check!(!acquire_cache_aware(reference));
            ExReInitializeRundownProtectionCacheAware(reference);
            ZwYieldExecution();
        }
        threads.into_iter().for_each(|thread| join(thread));
        check!(ExAcquireRundownProtectionCacheAwareEx(reference, 5) == 1);
        ExReleaseRundownProtectionCacheAwareEx(reference, 4);
        ExReleaseRundownProtectionCacheAware(reference);
        ExWaitForRundownProtectionReleaseCacheAware(reference);
        ExRundownCompletedCacheAware(reference);
        ExFreeCacheAwareRundownProtection(reference);
    }
    0
}
