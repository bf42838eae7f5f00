//! Timers.

use super::dpc::Dpc;
use super::object::{SetTimer, Timer};
use super::sched::{DISPATCHER, Dispatcher};
use super::wait_list::CORRUPT_LIST_ENTRY;
use super::{thread, wait};
use crate::bug::{self, code};
use crate::hal::clock;
use crate::trace::{self, Kind};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// Sets a timer; whether it was set already. One whose time is over expires in here, as on NT, and not at the next tick.
pub fn set(timer: &'static Timer, due: i64, period: u32, dpc: u64) -> bool {
    let mut dispatcher = DISPATCHER.lock();
    let was_set = cancel_locked(&mut dispatcher, timer);
    timer.header.set_signal(0);
    let due = wait::deadline(due);
    timer.due.store(due, Relaxed);
    timer.period.store(period, Relaxed);
    timer.dpc.store(dpc, Relaxed);
    timer.header.set_inserted(true);
    trace::note(Kind::TimerSet, [timer.header.address(), due, period.into()]);
    dispatcher.timers.push(SetTimer {
        timer,
        due,
        period,
        dpc,
        by: thread::current().caller(),
    });
    let now = clock::interrupt_time();
    if due <= now {
        let last = dispatcher.timers.len() - 1;
        expire_one(&mut dispatcher, last, now);
    }
    was_set
}

/// Cancels a timer; whether it was set.
pub fn cancel(timer: &'static Timer) -> bool {
    cancel_locked(&mut DISPATCHER.lock(), timer)
}

fn cancel_locked(dispatcher: &mut Dispatcher, timer: &'static Timer) -> bool {
    let index = dispatcher
        .timers
        .iter()
        .position(|set| core::ptr::eq(set.timer, timer));
    if let Some(index) = index {
        dispatcher.timers.remove(index);
        timer.header.set_inserted(false);
        trace::note(Kind::TimerCancelled, [timer.header.address(), 0, 0]);
    }
    index.is_some()
}

/// Signals every timer that is due and ends every wait whose time is over, in the order in which they are: a tick may come late, and
/// a wait's limit must not beat the timer that was to end the wait earlier.
pub(crate) fn expire(dispatcher: &mut Dispatcher) {
    let now = clock::interrupt_time();
    loop {
        let due = |(index, set): (usize, &SetTimer)| (set.due, index);
        let timer = dispatcher.timers.iter().enumerate().map(due).min();
        let timer = timer.filter(|&(due, _)| due <= now);
        let limit = dispatcher.next_limit().filter(|&(limit, _)| limit <= now);
        match (timer, limit) {
            (Some((due, index)), limit) if limit.is_none_or(|(limit, _)| due <= limit) => {
                expire_one(dispatcher, index, now);
            }
            (_, Some((_, index))) => dispatcher.time_out(index),
            (_, None) => break,
        }
    }
}

/// Signals the timer at `index`, and queues its DPC.
fn expire_one(dispatcher: &mut Dispatcher, index: usize, now: u64) {
    let set = &mut dispatcher.timers[index];
    let SetTimer {
        timer,
        period,
        dpc,
        by,
        ..
    } = *set;
    if !timer.is_set() {
        bug::bugcheck(
            code::KERNEL_SECURITY_CHECK_FAILURE,
            [CORRUPT_LIST_ENTRY, timer.header.address(), by, 0],
            format_args!(
                "the timer {:#x} is set, from {by:#x}, and damaged: somebody wrote over it",
                timer.header.address()
            ),
        );
    }
    if period == 0 {
        dispatcher.timers.remove(index);
        timer.header.set_inserted(false);
    } else {
        set.due = now + u64::from(period) * clock::UNITS_PER_SECOND / 1000;
        timer.due.store(set.due, Relaxed);
    }
    trace::note(Kind::TimerExpires, [timer.header.address(), dpc, 0]);
    timer.header.set_signal(1);
    dispatcher.satisfy(&timer.header, 0);
    if dpc != 0 {
        // SAFETY: `KeSetTimerEx` was given a KDPC, which stays until the timer is cancelled or has expired.
        unsafe { Dpc::initialized(dpc as *const Dpc) }.queue([0, 0]);
    }
}

/// How many timers are set.
pub fn pending() -> usize {
    DISPATCHER.lock().timers.len()
}

/// The addresses of the timers that are set.
pub fn addresses() -> alloc::vec::Vec<u64> {
    DISPATCHER
        .lock()
        .timers
        .iter()
        .map(|set| set.timer.header.address())
        .collect()
}

/// A timer that is set and lies within: its address, and who set it.
pub fn set_within(range: &Range<u64>) -> Option<(u64, u64)> {
    DISPATCHER
        .lock()
        .timers
        .iter()
        .map(|set| (set.timer.header.address(), set.by))
        .find(|(address, _)| range.contains(address))
}
