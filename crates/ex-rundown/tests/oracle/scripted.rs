//! A platform on which time passes only by a script.

use std::{cell::Cell, panic, ptr::NonNull};

use ex_rundown::{
    AtMostApcLevel, AtomicU32, DISPATCH_LEVEL, DispatchPlatform, Irql, Misuse, PASSIVE_LEVEL, Platform,
    PoolPlatform, ProcessorPlatform,
};
use rundown_std::Std;

/// How a contested wait waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ways {
    Asleep,
    Pause,
    Monitorx,
    Dispatch,
}

impl Ways {
    pub(crate) const ALL: [Self; 4] = [Self::Asleep, Self::Pause, Self::Monitorx, Self::Dispatch];
}

thread_local! {
    static WAYS: Cell<Ways> = const { Cell::new(Ways::Asleep) };
    static PROCESSOR: Cell<u32> = const { Cell::new(0) };
    static IN_SECTION: Cell<bool> = const { Cell::new(false) };
    static STEP: Cell<Option<fn()>> = const { Cell::new(None) };
}

#[derive(Debug)]
pub(crate) struct Scripted;

impl Scripted {
    /// How the next waits wait, and what happens at each of their looks.
    pub(crate) fn prepare(ways: Ways, step: fn()) {
        WAYS.set(ways);
        STEP.set(Some(step));
    }

    pub(crate) fn ways() -> Ways {
        WAYS.get()
    }

    /// Moves this thread to another processor.
    pub(crate) fn move_to(processor: u32) {
        PROCESSOR.set(processor);
    }

    fn step() {
        STEP.get().expect("a script is prepared")();
    }
}

// SAFETY: nothing blocks; the event does not signal before it is set, and only its one thread touches it.
unsafe impl Platform for Scripted {
    type Event = Cell<bool>;

    fn current_irql() -> Irql {
        match WAYS.get() {
            Ways::Dispatch => DISPATCH_LEVEL,
            _ if IN_SECTION.get() => DISPATCH_LEVEL,
            _ => PASSIVE_LEVEL,
        }
    }
    fn spin_cycles() -> u32 {
        3
    }
    fn unparked_processors() -> u16 {
        match WAYS.get() {
            Ways::Asleep => 1,
            _ => 2,
        }
    }
    fn has_monitorx() -> bool {
        matches!(WAYS.get(), Ways::Monitorx)
    }
    fn cycles_per_yield() -> u16 {
        1
    }
    fn timestamp() -> u64 {
        thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });
        NOW.replace(NOW.get() + 1)
    }
    unsafe fn monitor(_flag: &AtomicU32) {}
    unsafe fn monitor_wait(_cycles: u32) {
        Self::step();
    }
    fn yield_processor() {
        Self::step();
    }
    unsafe fn initialize_event(event: *mut Cell<bool>) {
        // SAFETY: valid for writes, says the caller.
        unsafe { event.write(Cell::new(false)) };
    }
    unsafe fn set_event(event: *const Cell<bool>) {
        // SAFETY: initialised, says the caller, and its waiter is further up this thread's stack.
        let event = unsafe { &*event };
        assert!(!event.replace(true), "the event is set twice");
    }
    unsafe fn wait_for_event(event: *const Cell<bool>, _level: &AtMostApcLevel) {
        // SAFETY: initialised, says the caller.
        let event = unsafe { &*event };
        while !event.get() {
            Self::step();
        }
    }
    fn misuse(misuse: Misuse, _word: usize) -> ! {
        panic::panic_any(misuse)
    }
}

// SAFETY: constants.
unsafe impl ProcessorPlatform for Scripted {
    fn processor_number() -> u32 {
        PROCESSOR.get()
    }
    fn processor_count() -> u32 {
        3
    }
    fn cache_line() -> usize {
        64
    }
}

// SAFETY: std's.
unsafe impl PoolPlatform for Scripted {
    fn allocate(bytes: usize) -> Option<NonNull<usize>> {
        Std::allocate(bytes)
    }
    unsafe fn free(memory: NonNull<usize>, bytes: usize) {
        // SAFETY: the caller's promise, handed on.
        unsafe { Std::free(memory, bytes) };
    }
}

pub(crate) struct Raised;

impl Drop for Raised {
    fn drop(&mut self) {
        IN_SECTION.set(false);
    }
}

// SAFETY: one thread plays everybody, and a section is one operation: whatever happens, happens before or after it.
unsafe impl DispatchPlatform for Scripted {
    type Raised = Raised;

    fn raise() -> Raised {
        assert!(!IN_SECTION.replace(true), "a section within a section");
        Raised
    }
    fn processor(_raised: &Raised) -> u32 {
        PROCESSOR.get() % Self::processor_count()
    }
    fn grace_period(_level: &AtMostApcLevel) {
        assert!(!IN_SECTION.get(), "a grace period within a section would not end");
    }
}
