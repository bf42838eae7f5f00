//! The kernel layer: IRQLs, threads, the dispatcher and its objects, DPCs, timers, spin locks.

pub mod critical_region;
pub mod dpc;
pub mod event;
pub mod held;
pub mod irql;
pub mod object;
pub mod processor;
pub mod sched;
pub mod spawn;
pub mod spinlock;
pub mod stay;
pub mod thread;
pub mod timer;
pub mod wait;
pub mod wait_list;
pub mod waiter;
pub mod worker;
