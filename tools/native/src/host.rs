//! The seam of ours, answered as NT's code is answered.

use std::{hint, thread};

use ex_rundown::{AtMostApcLevel, AtomicU32, DISPATCH_LEVEL, Irql, Misuse, Platform, arch};

use crate::{Seam, Settings, event::KEvent, machine::pass};

/// A user process as a platform whose event has a KEVENT's layout: a wait block of ours is NT's to the byte, and
/// either side can release into the other's.
#[derive(Debug)]
pub struct Host;

// SAFETY: an IRQL is only claimed here, never real, so blocking is always possible; a wait on a `KEvent` returns when
// it is set, and setting it touches it no more once its waiter can run.
unsafe impl Platform for Host {
    type Event = KEvent;

    fn current_irql() -> Irql {
        pass(Seam::Irql);
        Settings::current().irql
    }

    fn spin_cycles() -> u32 {
        Settings::current().spin_cycles
    }

    fn unparked_processors() -> u16 {
        pass(Seam::UnparkedProcessors);
        Settings::current().unparked_processors
    }

    fn has_monitorx() -> bool {
        pass(Seam::Monitorx);
        Settings::current().monitorx
    }

    fn cycles_per_yield() -> u16 {
        pass(Seam::CyclesPerYield);
        Settings::current().cycles_per_yield
    }

    fn timestamp() -> u64 {
        arch::timestamp()
    }

    unsafe fn monitor(flag: &AtomicU32) {
        // SAFETY: the caller's settings say that the processor has it, which they take from `probe`.
        unsafe { arch::monitorx(flag.as_ptr()) };
    }

    unsafe fn monitor_wait(cycles: u32) {
        // SAFETY: as above.
        unsafe { arch::mwaitx(cycles) };
    }

    fn yield_processor() {
        if Settings::current().irql >= DISPATCH_LEVEL {
            yield_at_dispatch_level();
        } else {
            hint::spin_loop();
        }
    }

    unsafe fn initialize_event(event: *mut KEvent) {
        // SAFETY: the caller's promise.
        unsafe { KEvent::initialize(event) };
    }

    unsafe fn set_event(event: *const KEvent) {
        // SAFETY: the caller's promise.
        unsafe { KEvent::set(event) };
    }

    unsafe fn wait_for_event(event: *const KEvent, _level: &AtMostApcLevel) {
        // SAFETY: the caller gives an initialised event; only this waiter ends its life.
        unsafe { (*event).wait() };
    }

    /// # Panics
    /// Always: a test expects it, or has found a bug.
    fn misuse(misuse: Misuse, word: usize) -> ! {
        panic!("misuse of run-down protection: {misuse:?} (word {word:#x})")
    }
}

/// The level is only claimed, so the releaser may be waiting for this very processor.
pub(crate) fn yield_at_dispatch_level() {
    pass(Seam::Yield);
    hint::spin_loop();
    thread::yield_now();
}
