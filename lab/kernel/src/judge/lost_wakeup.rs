//! Lost wake-ups: a run-down wait that nobody can end any more.
//!
//! A run-down wait block has its event at +8: `Count` lies 8 bytes before the event, `SpinFlag` 0x18 behind its start. A thread
//! that sleeps on such an event with `Count == 0` and bit 0 of `SpinFlag` clear waits for a releaser that has already taken the
//! last reference. If that releaser is not inside `KeSetEvent` and the event stays unsignalled, it has walked away: its
//! test-and-clear and the waiter's both believed that the other would act. To be sure that the bytes are a wait block at all,
//! the run-down word is looked for in the driver's memory: while the wait lasts it holds the block's address with bit 0 set.
//! A word on the waiter's own stack is not looked for, since copies of it lie there.

use crate::bug::{bugcheck, code};
use crate::config;
use crate::hal::clock;
use crate::ke::sched::DISPATCHER;
use crate::ke::thread::{self, Origin, is_stack};
use crate::ldr::image;
use crate::mm::{heap, paging, pool};
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Waits by the driver on an event that lies on a kernel stack: the sleeping run-down waits.
pub static STACK_EVENT_WAITS: AtomicU64 = AtomicU64::new(0);
/// Calls of `KeSetEvent` by the driver for such an event.
pub static STACK_EVENT_SETS: AtomicU64 = AtomicU64::new(0);
/// Calls of `KeSetEvent` that are under way.
pub static SETTING: AtomicU32 = AtomicU32::new(0);

struct Suspect {
    event: u64,
    milliseconds: u64,
    low: u64,
    high: u64,
}

/// How often sleepers are looked at, clock ticks (milliseconds). The grace period is counted in them, so that a host that
/// stops the machine for a while makes no lost wake-up.
pub const INTERVAL: u64 = 128;

/// Looks at every sleeper on a stack event; the clock calls it, with interrupts disabled.
pub fn examine_sleepers() {
    let (grace, hang) = (config::get().grace, config::get().hang);
    let mut suspect = None;
    let mut hanging = None;
    let mut stuck = None;
    let mut dispatcher = DISPATCHER.lock();
    // Read under the lock: no waiter has begun later than now.
    let now = clock::interrupt_time();
    for waiter in dispatcher
        .waiters_mut()
        .iter_mut()
        .filter(|waiter| waiter.by_driver && !waiter.has_timeout())
    {
        let [event] = waiter.objects[..] else { continue };
        let milliseconds = now.saturating_sub(waiter.since) / 10_000;
        // The kernel's threads run the driver's callbacks, which its own threads' waits for work are not.
        if waiter.thread.origin == Origin::Kernel && milliseconds > hang {
            stuck = Some((event.address(), milliseconds));
        }
        if !is_stack(event.address()) {
            continue;
        }
        let (low, high) = waiter.thread.stack().unwrap_or((0, 0));
        let orphaned = SETTING.load(Relaxed) == 0 && event.signal() == 0 && looks_released(event.address());
        waiter.orphaned_ticks = if orphaned {
            waiter.orphaned_ticks.saturating_add(INTERVAL as u32)
        } else {
            0
        };
        if u64::from(waiter.orphaned_ticks) > grace && !waiter.examined {
            waiter.examined = true;
            suspect = Some(Suspect {
                event: event.address(),
                milliseconds,
                low,
                high,
            });
        }
        if milliseconds > hang {
            hanging = Some(Suspect {
                event: event.address(),
                milliseconds,
                low,
                high,
            });
        }
    }
    drop(dispatcher);
    if let Some(suspect) = suspect {
        examine(&suspect);
    }
    if let Some(hanging) = hanging {
        let (event, milliseconds) = (hanging.event, hanging.milliseconds);
        bugcheck(
            code::STACK_WAIT_TIMEOUT,
            [event, milliseconds, hang, 0],
            format_args!(
                "a thread of the driver's has waited {milliseconds} ms on an event on its stack ({event:#x}){}",
                Reason::of(&hanging)
            ),
        );
    }
    if let Some((object, milliseconds)) = stuck {
        bugcheck(
            code::CALLBACK_TIMEOUT,
            [object, milliseconds, hang, 0],
            format_args!(
                "a callback of the driver's has waited {milliseconds} ms on the object {object:#x}: it keeps the system's thread, and what \
                 follows it, for ever"
            ),
        );
    }
}

/// Why a wait on a stack event does not end, if it is a run-down wait: the block's count says it.
struct Reason {
    word: Option<u64>,
    count: i64,
}

impl Reason {
    fn of(hanging: &Suspect) -> Self {
        let block = hanging.event - 8;
        Self {
            word: find_word(block | 1, hanging),
            count: paging::peek(block).unwrap_or(0) as i64,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.word, self.count) {
            (Some(word), count @ 1..) => {
                write!(f, ": of the run-down reference {word:#x} {count} are still held")
            }
            (Some(word), count @ ..=-1) => write!(
                f,
                ": the run-down reference {word:#x} was released more often than it was acquired, by {}",
                count.unsigned_abs()
            ),
            _ => f.write_str(", which nobody sets"),
        }
    }
}

/// Whether what surrounds the event, taken for a wait block, has no reference left and no releaser that may still hand over.
fn looks_released(event: u64) -> bool {
    let (count, flag) = (paging::peek(event - 8), paging::peek(event + 0x18));
    count == Some(0) && flag.is_some_and(|flag| flag & 1 == 0)
}

fn examine(suspect: &Suspect) {
    let block = suspect.event - 8;
    let Some(word) = find_word(block | 1, suspect) else {
        return;
    };
    let (waits, sets) = (STACK_EVENT_WAITS.load(Relaxed), STACK_EVENT_SETS.load(Relaxed));
    bugcheck(
        code::LOST_WAKEUP,
        [suspect.event, word, suspect.milliseconds, sets],
        format_args!(
            "LOST_WAKEUP: the wait block {block:#x} of the run-down word {word:#x} has Count 0 and SpinFlag 0, its waiter sleeps for \
         {} ms, and nobody sets its event; {sets} events were set for {waits} sleeping waits of this boot ({})",
            suspect.milliseconds,
            if sets == 0 {
                "no sleeping wait was ever woken"
            } else {
                "earlier sleeping waits were woken"
            }
        ),
    );
}

/// The address of a word with this value in memory that the driver can have put it into.
fn find_word(value: u64, suspect: &Suspect) -> Option<u64> {
    let mut found = None;
    let mut search = |start: u64, bytes: u64| {
        let (mut address, end) = (start.next_multiple_of(8), start + bytes);
        while found.is_none() && address + 8 <= end {
            // SAFETY: pool blocks, image sections, the heap and live stacks are mapped; the callers hold their tables' locks.
            if unsafe { (address as *const u64).read_volatile() } == value {
                found = Some(address);
            }
            address += 8;
        }
    };
    // Paged pool may be out.
    pool::for_each_block(|block| {
        if !block.paged {
            search(block.address, block.size);
        }
    });
    image::for_each_writable(|&(start, bytes)| search(start, bytes));
    let (start, bytes) = heap::range();
    search(start, bytes);
    thread::for_each(|thread| {
        if let Some((low, high)) = thread
            .stack()
            .filter(|stack| *stack != (suspect.low, suspect.high))
        {
            search(low, high - low);
        }
    });
    found
}
