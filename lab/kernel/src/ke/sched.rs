//! The scheduler: one dispatcher lock, a ready queue per priority, strict priorities, quanta, affinity.
//!
//! A thread is switched away from with the dispatcher lock held, and the thread that is switched to frees it
//! (`finish_switch`), so nobody can run a thread whose registers are not saved yet.

use super::thread::{self, State, Thread};
use super::waiter::Waiter;
use crate::config::{self, Mode};
use crate::hal::{apic, cpu, nmi, pcr, trap::DISPATCH_VECTOR};
use crate::ke::dpc;
use crate::lock::{IrqGuard, IrqLock};
use crate::trace::{self, Kind};
use crate::{replay, rng};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const PRIORITIES: usize = 32;

/// All that the dispatcher lock guards, beside dispatcher objects and threads' scheduling fields.
pub struct Dispatcher {
    ready: [VecDeque<Arc<Thread>>; PRIORITIES],
    /// Processors that run their idle thread, and have not been told otherwise.
    idle: u64,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) timers: Vec<super::object::SetTimer>,
}

/// The dispatcher.
pub static DISPATCHER: IrqLock<Dispatcher> = IrqLock::new(Dispatcher {
    ready: [const { VecDeque::new() }; PRIORITIES],
    idle: 0,
    waiters: Vec::new(),
    timers: Vec::new(),
});

/// Switches from one thread to another, on all processors.
pub static SWITCHES: AtomicU64 = AtomicU64::new(0);

/// Why the running thread gives the processor up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It may go on if nobody of its priority or above is ready.
    Yield,
    /// It may go on if nobody above its priority is ready.
    Preempt,
    /// It waits, or has ended.
    Block,
}

impl Dispatcher {
    /// Makes a thread ready, at the front of its queue or at its end, and tells a processor that should take it.
    pub fn ready(&mut self, thread: Arc<Thread>, front: bool) {
        thread.set_state(State::Ready);
        let priority = thread.priority.load(Relaxed);
        let affinity = thread.affinity.load(Relaxed);
        let last = thread.processor.load(Relaxed);
        let queue = &mut self.ready[usize::from(priority)];
        if front {
            queue.push_front(thread);
        } else {
            queue.push_back(thread);
        }
        let idle = self.idle & affinity;
        if idle != 0 {
            let target = if idle >> last & 1 != 0 {
                last as usize
            } else {
                idle.trailing_zeros() as usize
            };
            self.idle &= !(1 << target);
            request(target);
            return;
        }
        let lower = pcr::online()
            .filter(|pcr| affinity >> pcr.number() & 1 != 0)
            .find(|pcr| {
                // SAFETY: a running thread is in the thread table; it leaves that only after a switch, under this lock.
                unsafe { thread::running_on(pcr) }
                    .is_some_and(|thread| thread.priority.load(Relaxed) < priority)
            });
        if let Some(pcr) = lower {
            request(pcr.number());
        }
    }

    /// Takes the first thread of at least `priority` that may run on processor `number`.
    fn pick(&mut self, number: usize, priority: usize) -> Option<Arc<Thread>> {
        self.ready[priority..].iter_mut().rev().find_map(|queue| {
            let index = queue
                .iter()
                .position(|thread| thread.affinity.load(Relaxed) >> number & 1 != 0)?;
            queue.remove(index)
        })
    }

    /// Takes a ready thread out of its queue, to put it into another.
    pub fn unready(&mut self, thread: &Thread) -> Option<Arc<Thread>> {
        self.ready.iter_mut().find_map(|queue| {
            let index = queue
                .iter()
                .position(|ready| core::ptr::eq(Arc::as_ptr(ready), thread))?;
            queue.remove(index)
        })
    }
}

/// Asks processor `number` to reschedule as soon as its IRQL allows.
pub fn request(number: usize) {
    pcr::of(number).reschedule.store(true, Relaxed);
    apic::interrupt(number, DISPATCH_VECTOR);
}

/// Lets the dispatcher choose who runs here, and returns when that is the caller again.
/// With [`Reason::Block`] the caller has already left its state behind under this very lock.
pub fn reschedule(mut dispatcher: IrqGuard<'_, Dispatcher>, reason: Reason) {
    let this = pcr::this();
    let number = this.number();
    let current = thread::current();
    let idle = this.idle.load(Relaxed).cast::<Thread>();
    let is_idle = core::ptr::eq(current, idle);
    let allowed = current.affinity.load(Relaxed) >> number & 1 != 0;
    let least = match reason {
        Reason::Yield if allowed && !is_idle => usize::from(current.priority.load(Relaxed)),
        Reason::Preempt if allowed && !is_idle => usize::from(current.priority.load(Relaxed)) + 1,
        _ => 0,
    };
    let next = dispatcher.pick(number, least);
    if next.is_none() && reason != Reason::Block && (is_idle || allowed) {
        if is_idle {
            dispatcher.idle |= 1 << number;
        }
        return;
    }
    if reason != Reason::Block
        && !is_idle
        && let Some(current) = thread::by_address(current.address())
    {
        dispatcher.ready(current, reason == Reason::Preempt && allowed);
    }
    let next = next.map_or(idle.cast_const(), |next| Arc::as_ptr(&next));
    if core::ptr::eq(next, idle) {
        dispatcher.idle |= 1 << number;
    } else {
        dispatcher.idle &= !(1 << number);
    }
    // SAFETY: a thread that is ready is in the thread table, and so are idle threads.
    let next = unsafe { &*next };
    replay::note(u64::from(next.id));
    next.set_state(State::Running);
    next.processor.store(number as u32, Relaxed);
    this.current.store((&raw const *next).cast_mut().cast(), Relaxed);
    this.quantum.store(quantum(), Relaxed);
    let irql = cpu::read_cr8();
    let interrupts = dispatcher.interrupts();
    core::mem::forget(dispatcher);
    SWITCHES.fetch_add(1, Relaxed);
    trace::note(Kind::Switch, [next.address(), 0, 0]);
    // SAFETY: the lock is held, `current` runs here, and `next` was ready or is this processor's idle thread.
    unsafe { thread::switch(current, next) };
    finish_switch();
    cpu::write_cr8(irql);
    trace::note(Kind::Irql, [irql.into(), 0, 0]);
    cpu::restore_interrupts(interrupts);
}

/// The second half of a switch, on the thread that was switched to.
pub(super) fn finish_switch() {
    // SAFETY: the thread that was switched from took the lock on this processor and forgot its guard.
    unsafe { DISPATCHER.release() };
    let dead = pcr::this().dead.swap(core::ptr::null_mut(), Relaxed);
    if !dead.is_null() {
        thread::reap(dead.cast());
    }
}

/// Clock ticks until the next thread's turn.
fn quantum() -> u32 {
    let most = match config::get().mode {
        Mode::Smp | Mode::Counted => 12,
        Mode::Chaos | Mode::Replay => 3,
    };
    1 + rng::below(most) as u32
}

/// Lets others of the same priority run.
pub fn yield_now() {
    reschedule(DISPATCHER.lock(), Reason::Yield);
}

/// Makes what runs now this processor's idle thread.
pub(crate) fn adopt_idle_thread() {
    let thread = Thread::new("Idle", thread::Origin::Kernel, None, None);
    let this = pcr::this();
    let number = this.number();
    thread.set_priority(0);
    thread.affinity.store(1 << number, Relaxed);
    thread.processor.store(number as u32, Relaxed);
    thread.set_state(State::Running);
    // The thread table keeps it for ever: idle threads are never reaped.
    let thread = Arc::as_ptr(&thread).cast_mut().cast();
    this.idle.store(thread, Relaxed);
    this.current.store(thread, Relaxed);
    trace::note(Kind::Switch, [thread as u64, 0, 0]);
}

/// What an idle thread does: the interrupt that ends its sleep has already rescheduled.
pub(crate) fn idle() -> ! {
    DISPATCHER.lock().idle |= 1 << pcr::current_number();
    request(pcr::current_number());
    loop {
        dpc::take_up();
        nmi::doze();
        cpu::wait_for_interrupt();
    }
}
