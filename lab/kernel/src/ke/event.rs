//! Events, semaphores and mutexes: what changes a dispatcher object's state. Also for the lab's own Rust code.

use super::object::{Header, Kind, Mutant, Semaphore};
use super::sched::DISPATCHER;
use super::thread::{self, current_address};
use super::wait;
use core::sync::atomic::Ordering::Relaxed;

/// By how much the next owner of a mutex is more urgent for a while: one level (Microsoft Learn, "Priority Boosts").
const MUTEX_INCREMENT: u8 = 1;

/// Signals an event, whose waiters go on `increment` more urgent; its state before. The event is not touched once its waiter can run:
/// that needs the dispatcher lock.
pub fn set(event: &Header, increment: u8) -> i32 {
    let mut dispatcher = DISPATCHER.lock();
    let before = event.set_signal(1);
    dispatcher.satisfy(event, increment);
    before
}

/// Makes an event not signalled; its state before.
pub fn reset(event: &Header) -> i32 {
    let _dispatcher = DISPATCHER.lock();
    event.set_signal(0)
}

/// Adds to a semaphore's count; the count before, or `None` if that would exceed its limit.
pub fn release_semaphore(semaphore: &'static Semaphore, count: i32, increment: u8) -> Option<i32> {
    let mut dispatcher = DISPATCHER.lock();
    let before = semaphore.header.signal();
    let after = before
        .checked_add(count)
        .filter(|&after| count > 0 && after <= semaphore.limit.load(Relaxed))?;
    semaphore.header.set_signal(after);
    dispatcher.satisfy(&semaphore.header, increment);
    Some(before)
}

/// Gives a mutex back; its state before, or `None` if the caller does not own it.
pub fn release_mutex(mutant: &'static Mutant) -> Option<i32> {
    let mut dispatcher = DISPATCHER.lock();
    if mutant.owner.load(Relaxed) != current_address() {
        return None;
    }
    let before = mutant.header.signal();
    mutant.header.set_signal(before + 1);
    if before + 1 == 1 {
        mutant.owner.store(0, Relaxed);
        thread::current().released(mutant);
        dispatcher.satisfy(&mutant.header, MUTEX_INCREMENT);
    }
    Some(before)
}

/// An event for the lab's own code; it lives in a static, in a `Box` that is leaked, or in an `Arc` that its waiters hold.
pub struct Event(Header);

impl Event {
    /// An event that is not signalled. Its kind decides whether it lets one waiter through or all.
    pub const fn new(kind: Kind) -> Self {
        Self(Header::new(kind))
    }

    fn header(&self) -> &'static Header {
        // The list head names its own address, so it is linked where the event has come to rest.
        if self.0.kind().is_none() {
            let _dispatcher = DISPATCHER.lock();
            if self.0.kind().is_none() {
                self.0.relink();
            }
        }
        // SAFETY: a waiter borrows the event until its wait is over, and a setter until its call is.
        unsafe { Header::at(&raw const self.0) }
    }

    /// Signals it.
    pub fn set(&self) {
        set(self.header(), 0);
    }

    /// Makes it not signalled.
    pub fn reset(&self) {
        reset(self.header());
    }

    /// Whether it is signalled.
    pub fn is_set(&self) -> bool {
        self.0.signal() > 0
    }

    /// Waits for it. Below `DISPATCH_LEVEL`.
    pub fn wait(&self) {
        wait::wait(&[self.header()], false, None, false);
    }

    /// Waits for it, at most `milliseconds`; whether it came.
    pub fn wait_for(&self, milliseconds: u64) -> bool {
        self.wait_until(-(milliseconds as i64 * 10_000))
    }

    /// Waits for it, until a time as NT's routines take it: in 100 ns, from now on if negative; whether it came.
    pub fn wait_until(&self, time: i64) -> bool {
        wait::wait(&[self.header()], false, Some(time), false) == wait::STATUS_SUCCESS
    }
}
