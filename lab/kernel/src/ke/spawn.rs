//! How threads begin and end.

use super::irql::{self, PASSIVE_LEVEL};
use super::sched::{self, DISPATCHER, Reason, reschedule};
use super::thread::{self, Origin, Stack, State, Thread};
use super::timer;
use crate::bug::{self, code};
use crate::hal::{cpu, pcr};
use crate::trace::{self, Kind};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// Where every thread begins: inside the switch that started it.
extern "C" fn first() -> ! {
    sched::finish_switch();
    cpu::write_cr8(PASSIVE_LEVEL);
    trace::note(Kind::Irql, [PASSIVE_LEVEL.into(), 0, 0]);
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
    check_end(current);
    trace::note(Kind::ThreadEnds, [0; 3]);
    let mut dispatcher = DISPATCHER.lock();
    current.exit_status.store(status, Relaxed);
    current.set_state(State::Dead);
    current.header.set_signal(1);
    dispatcher.satisfy(&current.header, 0);
    pcr::this()
        .dead
        .store((&raw const *current).cast_mut().cast(), Relaxed);
    reschedule(dispatcher, Reason::Block);
    unreachable!("a dead thread was switched to")
}

/// What a thread may not leave: a mutex (bug check 0x4000008A's page), a critical region (0x20's), a timer that is set on the stack that
/// goes with it.
fn check_end(thread: &Thread) {
    if thread.mutexes.0.load(Relaxed) != 0 {
        let mutex = thread.mutexes.1.load(Relaxed);
        bug::bugcheck(
            code::THREAD_TERMINATE_HELD_MUTEX,
            [thread.address(), mutex, 0, 0],
            format_args!("a thread ends and owns a mutex; the one that it acquired last is {mutex:#x}"),
        );
    }
    if thread.resources.0.load(Relaxed) != 0 {
        let resource = thread.resources.1.load(Relaxed);
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::THREAD_OWNS_LOCK, thread.address(), resource, 0],
            format_args!("a thread ends and owns a resource; the one that it acquired last is {resource:#x}"),
        );
    }
    for (count, kind) in [
        (&thread.regions, "critical"),
        (&thread.guarded_regions, "guarded"),
    ] {
        let regions = count.load(Relaxed);
        if regions != 0 {
            // The count is below 0 while APCs are disabled.
            bug::bugcheck(
                code::KERNEL_APC_PENDING_DURING_EXIT,
                [0, u64::from(-regions as u32), u64::from(irql::current()), 0],
                format_args!("a thread ends after it entered {regions} {kind} regions more than it left"),
            );
        }
    }
    let Some((base, top)) = thread.stack() else { return };
    if let Some((timer, by)) = timer::set_within(&(base..top)) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::FREED_IN_USE, base, timer, top - base],
            format_args!(
                "a thread ends with a timer that is set, at {timer:#x} on its stack; it was set from {by:#x}"
            ),
        );
    }
}
