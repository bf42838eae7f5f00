//! How threads begin and end.

use super::irql::PASSIVE_LEVEL;
use super::sched::{self, DISPATCHER, Reason, reschedule};
use super::thread::{self, Origin, Stack, State, Thread};
use crate::hal::{cpu, pcr};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// Where every thread begins: inside the switch that started it.
extern "C" fn first() -> ! {
    sched::finish_switch();
    cpu::write_cr8(PASSIVE_LEVEL);
    cpu::restore_interrupts(true);
    let start = thread::current().take_start();
    if let Some(start) = start {
        start();
    }
    terminate(0)
}

/// Starts a kernel thread that runs `start` at `PASSIVE_LEVEL`.
pub fn spawn(name: &'static str, start: impl FnOnce() + Send + 'static) -> Arc<Thread> {
    try_spawn(name, Origin::Kernel, Box::new(start)).expect("memory for a kernel thread")
}

/// The same for anybody; `None` when memory is short.
pub fn try_spawn(name: &'static str, origin: Origin, start: Box<dyn FnOnce() + Send>) -> Option<Arc<Thread>> {
    let thread = Thread::new(name, origin, Some((Stack::new()?, first)), Some(start));
    sched::DISPATCHER.lock().ready(thread.clone(), false);
    Some(thread)
}

/// Ends the running thread.
pub fn terminate(status: i32) -> ! {
    let current = thread::current();
    let mut dispatcher = DISPATCHER.lock();
    current.exit_status.store(status, Relaxed);
    current.set_state(State::Dead);
    current.header.set_signal(1);
    dispatcher.satisfy(&current.header);
    pcr::this()
        .dead
        .store((&raw const *current).cast_mut().cast(), Relaxed);
    reschedule(dispatcher, Reason::Block);
    unreachable!("a dead thread was switched to")
}
