//! Waits. The dispatcher keeps the waiters; objects carry their state, and a list of who waits.

use super::object::{Header, Kind, Mutant};
use super::sched::{DISPATCHER, Dispatcher, Reason, reschedule};
use super::stay;
use super::thread::{self, State, Thread};
use super::wait_list;
use super::waiter::Waiter;
use crate::bug;
use crate::hal::clock;
use crate::mm::paging;
use crate::trace::{self, Kind as Noted};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// `STATUS_SUCCESS`, which is also `STATUS_WAIT_0`.
pub const STATUS_SUCCESS: i32 = 0;
/// `STATUS_TIMEOUT`.
pub const STATUS_TIMEOUT: i32 = 0x102;

/// What a thread waits for, for a report.
pub struct Waiting {
    /// The object, the first if there are several; what it is if it still looks like one. `None` if only the time can end the wait.
    pub object: Option<(u64, Option<Kind>)>,
    /// For how long it has waited, milliseconds.
    pub milliseconds: u64,
}

/// What `thread` waits for; `None` if it does not wait, or the dispatcher's lock is taken, as it may be on a frozen machine.
pub fn of(thread: &Thread) -> Option<Waiting> {
    let dispatcher = DISPATCHER.try_lock()?;
    let waiter =
        (dispatcher.waiters.iter()).find(|waiter| core::ptr::eq(Arc::as_ptr(&waiter.thread), thread))?;
    let object = waiter.objects.first().map(|object| {
        let there = paging::is_mapped(object.address());
        (object.address(), there.then(|| object.kind()).flatten())
    });
    Some(Waiting {
        object,
        milliseconds: clock::interrupt_time().saturating_sub(waiter.since) / 10_000,
    })
}

/// The status of a wait that is satisfied right now, having taken what it takes.
fn satisfy(objects: &[&'static Header], all: bool, thread: &Thread) -> Option<i32> {
    let satisfied = |object: &&'static Header| object.satisfies(thread.address());
    let take = |object: &'static Header| {
        if object.consume(thread.address()) {
            thread.acquired(Mutant::of(object));
        }
    };
    if all {
        objects.iter().all(satisfied).then(|| {
            objects.iter().copied().for_each(take);
            STATUS_SUCCESS
        })
    } else {
        let index = objects.iter().position(satisfied)?;
        take(objects[index]);
        Some(STATUS_SUCCESS + index as i32)
    }
}

/// When a wait ends: NT's timeouts are relative if negative, else absolute system time, in units of 100 ns.
pub fn deadline(timeout: i64) -> u64 {
    if timeout < 0 {
        clock::interrupt_time().saturating_add(timeout.unsigned_abs())
    } else {
        (timeout as u64).saturating_sub(clock::BOOT_SYSTEM_TIME)
    }
}

/// Waits until one of `objects`, or all, are signalled, or until `timeout`; the NTSTATUS.
///
/// # IRQL
/// Below `DISPATCH_LEVEL`, or any with a timeout of 0. A wait that was promised ([`Thread::promise_wait`]) goes back to the IRQL before.
pub fn wait(objects: &[&'static Header], all: bool, timeout: Option<i64>, by_driver: bool) -> i32 {
    let current = thread::current();
    let owned = objects.to_vec();
    let addresses = objects.iter().map(|object| object.address());
    let blocks = wait_list::blocks(current.address(), addresses, all);
    let mut dispatcher = DISPATCHER.lock();
    if let Some(irql) = current.take_promise() {
        // Interrupts are disabled by the lock, so nothing comes in between.
        stay::lower(irql);
    }
    if let Some(status) = satisfy(objects, all, current) {
        return status;
    }
    if timeout == Some(0) {
        return STATUS_TIMEOUT;
    }
    if !dispatcher.interrupts() {
        drop(dispatcher);
        bug::lab_failure(format_args!(
            "a thread waits with interrupts disabled: the lab holds a lock, or the driver has executed CLI"
        ));
    }
    let thread = thread::by_address(current.address()).expect("a running thread is in the table");
    current.set_state(State::Waiting);
    for (block, object) in blocks.iter().zip(objects) {
        block.link(&object.wait_list);
    }
    let first = objects.first().map_or(0, |object| object.address());
    let how_many = objects.len() as u64 | u64::from(all) << 32;
    trace::note(Noted::WaitBegins, [first, how_many, current.caller()]);
    dispatcher.waiters.push(Waiter {
        thread,
        objects: owned,
        blocks,
        all,
        deadline: timeout.map(deadline),
        since: clock::interrupt_time(),
        by_driver,
        orphaned_ticks: 0,
        examined: false,
    });
    reschedule(dispatcher, Reason::Block);
    current.wait_status.load(Relaxed)
}

/// Sleeps for a relative (negative) or until an absolute time.
pub fn delay(timeout: i64) {
    wait(&[], false, Some(timeout), false);
}

/// Sleeps for `milliseconds`.
pub fn sleep(milliseconds: u64) {
    delay(-(milliseconds as i64 * 10_000));
}

impl Dispatcher {
    /// Ends every wait that `object`'s state now satisfies, first come first served; who goes on is `increment` more urgent for a while.
    pub fn satisfy(&mut self, object: &Header, increment: u8) {
        let mut index = 0;
        while index < self.waiters.len() && object.signal() > 0 {
            let waiter = &self.waiters[index];
            let concerned = waiter.objects.iter().any(|waited| core::ptr::eq(*waited, object));
            let status = if concerned {
                satisfy(&waiter.objects, waiter.all, &waiter.thread)
            } else {
                None
            };
            match status {
                Some(status) => self.end_wait(index, status, increment, object.address()),
                None => index += 1,
            }
        }
    }

    fn end_wait(&mut self, index: usize, status: i32, increment: u8, by: u64) {
        let waiter = self.waiters.remove(index);
        for (block, object) in waiter.blocks.iter().zip(&waiter.objects) {
            block.unlink(&object.wait_list);
        }
        waiter.thread.wait_status.store(status, Relaxed);
        trace::note(
            Noted::WaitEnds,
            [waiter.thread.address(), u64::from(status as u32), by],
        );
        waiter.thread.boost(increment);
        self.ready(waiter.thread, false);
    }

    /// The earliest limit of a wait, and the waiter's index.
    pub(super) fn next_limit(&self) -> Option<(u64, usize)> {
        let limits = self.waiters.iter().enumerate();
        limits
            .filter_map(|(index, waiter)| Some((waiter.deadline?, index)))
            .min()
    }

    /// Ends the wait at `index`, whose time is over.
    pub(super) fn time_out(&mut self, index: usize) {
        self.end_wait(index, STATUS_TIMEOUT, 0, 0);
    }

    /// The waiters, for the watchdog.
    pub fn waiters_mut(&mut self) -> &mut [Waiter] {
        &mut self.waiters
    }
}
