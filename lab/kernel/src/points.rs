//! Points: what the host wants to happen at the n-th creation, or at the n-th call of an export, that the driver makes from now on.
//!
//! A creation is whatever can fail for want of resources: a pool allocation, a thread, an object of the framework's. The host sweeps
//! `n` over all of them, one after the other in one boot, and [`arm`] says each time how many there were and what is left.

use crate::hal::cpu;
use crate::io::{client, service};
use crate::ke::{irql, thread, wait};
use crate::mm::{PAGE, pool, reserve};
use crate::{chaos, io::worker};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use lab_wire::frame::{Action, Seen};

static CREATIONS: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
/// When, and what: written by [`arm`] only. A call that reads one of them too early acts at another point, which is as good.
static NTH: AtomicU64 = AtomicU64::new(0);
static ACTION: AtomicU32 = AtomicU32::new(Action::Nothing as u32);
/// Actions that are being carried out.
static UNDER_WAY: AtomicU32 = AtomicU32::new(0);

/// What a creation takes at most, pages, large allocations apart: a thread's stack.
const CREATION: u64 = thread::STACK_SIZE / PAGE;
/// Milliseconds that a thread of the driver's leaves to the action that its call set off.
const GIVE_WAY: u64 = 2;

fn armed(nth: u64, action: Action) -> bool {
    ACTION.load(Relaxed) == action as u32 && NTH.load(Relaxed) == nth
}

/// Arms the next point, 0 for now, and says what was seen since the last one was: first everything that is under way is waited for.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn arm(nth: u64, action: Action) -> Seen {
    ACTION.store(Action::Nothing as u32, Relaxed);
    while UNDER_WAY.load(Relaxed) != 0 {
        wait::sleep(1);
    }
    client::wait_for_closes();
    let seen = Seen {
        creations: CREATIONS.swap(0, Relaxed),
        calls: CALLS.swap(0, Relaxed),
        blocks: pool::count() as u64,
        threads: thread::live_driver_threads() as u64,
    };
    NTH.store(nth, Relaxed);
    ACTION.store(action as u32, Relaxed);
    if nth == 0 {
        act(action);
    }
    seen
}

/// Counts a creation by the driver; whether it has to fail, by the host's wish or for want of memory.
pub fn creation_fails() -> bool {
    armed(CREATIONS.fetch_add(1, Relaxed) + 1, Action::Fail) || !reserve::has_for_driver(CREATION)
}

/// Counts a call by the driver; the export's shim calls it, at any IRQL.
pub fn call() {
    let nth = CALLS.fetch_add(1, Relaxed) + 1;
    if NTH.load(Relaxed) != nth {
        return;
    }
    let action = Action::of(ACTION.load(Relaxed)).unwrap_or(Action::Nothing);
    if !act(action) {
        return;
    }
    if irql::current() < irql::DISPATCH_LEVEL && cpu::interrupts_enabled() {
        wait::sleep(GIVE_WAY);
    } else {
        cpu::stall(chaos::LONGEST_DELAY);
    }
}

/// Has a worker carry the action out; whether there was anything to do.
fn act(action: Action) -> bool {
    let work: fn() = match action {
        Action::Nothing | Action::Fail => return false,
        Action::Cancel => client::cancel_all,
        Action::Close => client::close_all,
        Action::Die => client::die,
        Action::Restart => service::restart,
    };
    UNDER_WAY.fetch_add(1, Relaxed);
    worker::queue(move || {
        work();
        UNDER_WAY.fetch_sub(1, Relaxed);
    });
    true
}
