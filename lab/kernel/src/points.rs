//! Fault injection at points that the host counts: fail the driver's n-th allocation or object creation from now on, or cancel,
//! close, kill or restart at its n-th call of an export.
//!
//! The host sweeps `n` over all of them, one after the other in one boot, and [`arm`] says each time how many there were and what
//! is left.

use crate::hal::cpu;
use crate::ke::{irql, thread, wait, worker};
use crate::lock::IrqLock;
use crate::mm::{PAGE, pool};
use crate::{chaos, creations};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use lab_wire::frame::Seen;

static CALLS: AtomicU64 = AtomicU64::new(0);
/// At which call, and what: written by [`arm`] only. A call that reads them too early acts at another point, which is as good.
static NTH: AtomicU64 = AtomicU64::new(0);
static WORK: IrqLock<Option<fn()>> = IrqLock::new(None);
/// Actions that are being carried out.
static UNDER_WAY: AtomicU64 = AtomicU64::new(0);

/// What a creation takes at most, pages, large allocations apart: a thread's stack.
const CREATION: u64 = thread::STACK_SIZE / PAGE;
/// Milliseconds that a thread of the driver's leaves to the action that its call set off.
const GIVE_WAY: u64 = 2;

/// What is to happen.
#[derive(Clone, Copy)]
pub enum Point {
    /// Nothing.
    Never,
    /// The n-th creation fails.
    Fails(u64),
    /// A worker does this, set off by the n-th call of an export, or at once if that is 0.
    Does(u64, fn()),
}

/// Waits until nothing happens and nothing is going to.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn disarm() {
    creations::disarm();
    NTH.store(0, Relaxed);
    *WORK.lock() = None;
    while UNDER_WAY.load(Relaxed) != 0 {
        wait::sleep(1);
    }
}

/// Arms the next point of a machine that was [disarmed](disarm), and says what was seen since the last one was armed.
pub fn arm(point: Point) -> Seen {
    let fails = if let Point::Fails(nth) = point { nth } else { 0 };
    let seen = Seen {
        creations: creations::arm(fails),
        calls: CALLS.swap(0, Relaxed),
        blocks: pool::count() as u64,
        threads: thread::live_driver_threads() as u64,
    };
    if let Point::Does(nth, work) = point {
        *WORK.lock() = Some(work);
        NTH.store(nth, Relaxed);
        if nth == 0 {
            act();
        }
    }
    seen
}

/// Counts a creation by the driver other than of pool; whether it has to fail, by the host's wish or for want of memory.
pub fn creation_fails() -> bool {
    creations::fails() || !pool::has_for_driver(CREATION)
}

/// Counts a call by the driver; the export's shim calls it, at any IRQL.
pub fn call() {
    let nth = CALLS.fetch_add(1, Relaxed) + 1;
    if NTH.load(Relaxed) != nth || !act() {
        return;
    }
    if irql::current() < irql::DISPATCH_LEVEL && cpu::interrupts_enabled() {
        wait::sleep(GIVE_WAY);
    } else {
        cpu::stall(chaos::LONGEST_DELAY);
    }
}

/// Has a worker do what is armed; whether there was anything to do.
fn act() -> bool {
    let Some(work) = *WORK.lock() else {
        return false;
    };
    UNDER_WAY.fetch_add(1, Relaxed);
    worker::queue(move || {
        work();
        UNDER_WAY.fetch_sub(1, Relaxed);
    });
    true
}
