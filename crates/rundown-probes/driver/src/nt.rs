//! NT as a platform, as far as an acquire and a release go: the real driver's is `src/kernel/platform.rs`.

use core::{
    ffi::c_void,
    ptr::{self, NonNull},
};

use ex_rundown::{
    AtMostApcLevel, AtomicU32, DISPATCH_LEVEL, DispatchPlatform, Irql, Misuse, Platform, PoolPlatform,
    ProcessorPlatform,
};

/// A `KEVENT`.
pub(crate) type Event = [u64; 3];

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    fn KeBugCheckEx(code: u32, first: u64, second: u64, third: u64, fourth: u64) -> !;
    fn KeGetCurrentProcessorNumberEx(number: *mut c_void) -> u32;
    fn KeQueryMaximumProcessorCountEx(group: u16) -> u32;
    fn KeSetEvent(event: *mut Event, increment: i32, wait: u8) -> i32;
}

/// The compiled core's unwind tables name it, although nothing unwinds.
#[unsafe(no_mangle)]
extern "system" fn __CxxFrameHandler3() {}

/// The NT kernel, for those who acquire and release. No probe waits, and this does not know how.
#[derive(Debug)]
pub(crate) enum Nt {}

// SAFETY: an acquire and a release ask for nothing but `set_event` and `misuse`, which are the driver's. What a wait
// would ask for ends in a bugcheck.
unsafe impl Platform for Nt {
    type Event = Event;

    fn current_irql() -> Irql {
        DISPATCH_LEVEL
    }
    fn spin_cycles() -> u32 {
        0
    }
    fn unparked_processors() -> u16 {
        1
    }
    fn has_monitorx() -> bool {
        false
    }
    fn cycles_per_yield() -> u16 {
        1
    }
    fn timestamp() -> u64 {
        0
    }
    unsafe fn monitor(_flag: &AtomicU32) {
        Self::misuse(Misuse::WaitAtDispatchLevel, 0)
    }
    unsafe fn monitor_wait(_cycles: u32) {
        Self::misuse(Misuse::WaitAtDispatchLevel, 0)
    }
    fn yield_processor() {
        core::hint::spin_loop();
    }
    unsafe fn initialize_event(_event: *mut Event) {
        Self::misuse(Misuse::WaitAtDispatchLevel, 0)
    }
    unsafe fn set_event(event: *const Event) {
        // SAFETY: initialised and in place until the waiter runs, says the caller.
        unsafe { KeSetEvent(event.cast_mut(), 0, 0) };
    }
    unsafe fn wait_for_event(_event: *const Event, _level: &AtMostApcLevel) {
        Self::misuse(Misuse::WaitAtDispatchLevel, 0)
    }
    #[cold]
    fn misuse(misuse: Misuse, word: usize) -> ! {
        // SAFETY: any IRQL, any state.
        unsafe { KeBugCheckEx(u32::from_be_bytes(*b"RDNP"), misuse as u64, word as u64, 0, 0) }
    }
}

// SAFETY: as the driver's: the maximum number of processors is fixed when the system starts, and the line is a constant.
unsafe impl ProcessorPlatform for Nt {
    #[inline]
    fn processor_number() -> u32 {
        // SAFETY: the group-relative number is optional.
        unsafe { KeGetCurrentProcessorNumberEx(ptr::null_mut()) }
    }
    fn processor_count() -> u32 {
        // SAFETY: no preconditions; all groups.
        unsafe { KeQueryMaximumProcessorCountEx(0xffff) }
    }
    fn cache_line() -> usize {
        64
    }
}

// SAFETY: there is none, so nothing is promised about it.
unsafe impl PoolPlatform for Nt {
    fn allocate(_bytes: usize) -> Option<NonNull<usize>> {
        None
    }
    unsafe fn free(_memory: NonNull<usize>, _bytes: usize) {}
}

// SAFETY: the witness is the probes' argument, and no probe waits.
unsafe impl DispatchPlatform for Nt {
    type Raised = ();

    fn raise() {
        Self::misuse(Misuse::WaitAtDispatchLevel, 0)
    }
    fn grace_period(_level: &AtMostApcLevel) {
        Self::misuse(Misuse::WaitAtDispatchLevel, 0)
    }
}
