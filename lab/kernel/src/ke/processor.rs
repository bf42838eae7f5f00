//! Processors and affinity. There is one group.

use super::sched::{DISPATCHER, Reason, reschedule};
use crate::config;
use crate::hal::MAX_PROCESSORS;
use crate::ke::thread;
use core::sync::atomic::Ordering::Relaxed;

/// How many processors run.
pub fn count() -> usize {
    config::get().cpus
}

/// One bit per processor that runs.
pub fn all() -> u64 {
    u64::MAX >> (MAX_PROCESSORS - count())
}

/// Restricts the running thread to `affinity`, moving it if need be; the affinity before.
pub fn set_affinity(affinity: u64) -> u64 {
    let dispatcher = DISPATCHER.lock();
    let old = thread::current().affinity.swap(affinity, Relaxed);
    reschedule(dispatcher, Reason::Preempt);
    old
}
