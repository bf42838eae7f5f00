//! The seam, answered by std.

use std::{hint, sync::OnceLock, time::Instant};

use ex_rundown::{AtMostApcLevel, AtomicU32, Irql, Misuse, Platform};

use crate::{Settings, event::Event};

/// std's threads as a platform; see [`Settings`] for what it claims about the machine.
#[derive(Debug)]
pub struct Std;

// SAFETY: an IRQL is only claimed here, never real, so blocking is always possible; the event does not signal
// before it is set, and its setter's last touch is the signal (see `Event::set`).
unsafe impl Platform for Std {
    type Event = Event;

    fn current_irql() -> Irql {
        Settings::current().irql
    }

    fn spin_cycles() -> u32 {
        Settings::current().spin_cycles
    }

    fn unparked_processors() -> u16 {
        Settings::current().unparked_processors
    }

    fn has_monitorx() -> bool {
        Settings::current().monitorx
    }

    fn cycles_per_yield() -> u16 {
        Settings::current().cycles_per_yield
    }

    /// Nanoseconds: a clock that every system has.
    fn timestamp() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let nanoseconds = START.get_or_init(Instant::now).elapsed().as_nanos();
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    unsafe fn monitor(_flag: &AtomicU32) {}

    /// Wakes for no reason, as the contract allows: the caller polls.
    unsafe fn monitor_wait(_cycles: u32) {
        hint::spin_loop();
    }

    /// Gives the processor away now and then: on a busy host the releaser may need it.
    fn yield_processor() {
        hint::spin_loop();
        std::thread::yield_now();
    }

    unsafe fn initialize_event(event: *mut Event) {
        // SAFETY: the caller gives a pointer that is valid for writes.
        unsafe { event.write(Event::new()) };
    }

    unsafe fn set_event(event: *const Event) {
        // SAFETY: the caller gives an initialised event whose waiter waits for this.
        unsafe { Event::set(event) };
    }

    unsafe fn wait_for_event(event: *const Event, _level: &AtMostApcLevel) {
        // SAFETY: the caller gives an initialised event; only this waiter ends its life.
        unsafe { (*event).wait() };
    }

    /// # Panics
    /// Always: a test expects it, or has found a bug.
    fn misuse(misuse: Misuse, word: usize) -> ! {
        panic!("misuse of run-down protection: {misuse:?} (word {word:#x})")
    }
}
