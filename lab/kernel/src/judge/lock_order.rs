//! The order in which the driver takes its spin locks and fast mutexes: two orders can deadlock, whether they do in this run or not.
//!
//! Whoever takes `b` while it holds `a` makes the edge `a -> b`. A cycle of edges is the offence; Driver Verifier's deadlock
//! detection calls it 0xC4 with 0x1001. A lock's edges go when it is initialised again or its memory is freed.

use crate::bug::{bugcheck, code};
use crate::config::{self, Rule};
use crate::ke::thread;
use crate::lock::IrqLock;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;

static EDGES: IrqLock<BTreeSet<(u64, u64)>> = IrqLock::new(BTreeSet::new());

/// The driver is about to take `lock`: checks the order before it can deadlock.
pub fn acquire(lock: u64) {
    let held = &thread::current().held;
    for above in held.locks() {
        if above == lock {
            // Taken twice, which the lock itself finds.
            continue;
        }
        let mut edges = EDGES.lock();
        let is_new = edges.insert((above, lock));
        if !is_new || !reaches(&edges, lock, above) || config::allows(Rule::LockOrder) {
            continue;
        }
        drop(edges);
        bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::LOCK_ORDER, lock, above, 0],
            format_args!(
                "the driver takes the lock {lock:#x} while it holds {above:#x}, and has taken them in the other order before, \
                 directly or by way of others: two threads can wait for each other"
            ),
        );
    }
    held.push(lock);
}

/// The driver has `lock` without having waited for it, which deadlocks with nobody.
pub fn taken(lock: u64) {
    thread::current().held.push(lock);
}

/// The driver gives `lock` back, in whatever order.
pub fn release(lock: u64) {
    thread::current().held.remove(lock);
}

/// The locks in this memory are no more.
pub fn forget(memory: Range<u64>) {
    EDGES
        .lock()
        .retain(|(above, below)| !memory.contains(above) && !memory.contains(below));
}

/// Whether edges lead from one lock to another.
fn reaches(edges: &BTreeSet<(u64, u64)>, from: u64, to: u64) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = Vec::from([from]);
    while let Some(lock) = next.pop() {
        if lock == to {
            return true;
        }
        if seen.insert(lock) {
            next.extend(edges.range((lock, 0)..=(lock, u64::MAX)).map(|edge| edge.1));
        }
    }
    false
}
