//! Timers.

use super::dpc::Dpc;
use super::object::Timer;
use super::sched::{DISPATCHER, Dispatcher};
use super::wait;
use crate::hal::clock;
use core::sync::atomic::Ordering::Relaxed;

/// Sets a timer; whether it was set already.
pub fn set(timer: &'static Timer, due: i64, period: u32, dpc: u64) -> bool {
    let mut dispatcher = DISPATCHER.lock();
    let was_set = cancel_locked(&mut dispatcher, timer);
    timer.header.set_signal(0);
    timer.due.store(wait::deadline(due), Relaxed);
    timer.period.store(period, Relaxed);
    timer.dpc.store(dpc, Relaxed);
    timer.header.set_inserted(true);
    dispatcher.timers.push(timer);
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
        .position(|set| core::ptr::eq(*set, timer));
    if let Some(index) = index {
        dispatcher.timers.remove(index);
        timer.header.set_inserted(false);
    }
    index.is_some()
}

/// Signals every timer that is due, and queues their DPCs.
pub(crate) fn expire(dispatcher: &mut Dispatcher) {
    let now = clock::interrupt_time();
    let mut index = 0;
    while index < dispatcher.timers.len() {
        let timer = dispatcher.timers[index];
        if timer.due.load(Relaxed) > now {
            index += 1;
            continue;
        }
        // All that the timer holds is read before its waiter can run and free it.
        let dpc = timer.dpc.load(Relaxed);
        let period = u64::from(timer.period.load(Relaxed));
        if period == 0 {
            dispatcher.timers.remove(index);
            timer.header.set_inserted(false);
        } else {
            timer
                .due
                .store(now + period * clock::UNITS_PER_SECOND / 1000, Relaxed);
            index += 1;
        }
        timer.header.set_signal(1);
        dispatcher.satisfy(&timer.header);
        if dpc != 0 {
            // SAFETY: `KeSetTimerEx` was given a KDPC, which stays until the timer is cancelled or has expired.
            unsafe { Dpc::at(dpc as *const Dpc) }.queue([0, 0]);
        }
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
        .map(|timer| timer.header.address())
        .collect()
}
