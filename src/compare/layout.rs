//! Whether the system's wait block is the one that ours shares: a probe on a word of our own.

use ex_rundown::State;
use rundown_abi::Refusal;

use super::{
    waiter::Waiter,
    word::{Native, SharedWord},
};
use crate::kernel::{PoolArc, Routines, clock::Stopwatch, yield_thread};

/// Words of the block: `Count`, the event in three, `SpinFlag`.
const EVENT: usize = 1;
const EVENT_LIST: [usize; 2] = [2, 3];
const SPIN_FLAG: usize = 4;

/// How long a waiter may take to publish its block, and to fall asleep, in microseconds.
const PATIENCE: u64 = 10_000_000;
const REFERENCES: u32 = 3;

/// Has the native routine wait on a word with references, and looks at what it publishes. The references are acquired
/// and released by the native routines, so whatever is found, nothing is harmed.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Errors
/// [`Refusal::ForeignLayout`], [`Refusal::Resources`].
pub(super) fn probe() -> Result<(), Refusal> {
    let word = PoolArc::new(Native(PoolArc::new(SharedWord::new()).ok_or(Refusal::Resources)?))
        .ok_or(Refusal::Resources)?;
    let native = word.0.native();
    let waiter = Waiter::new(word.clone()).ok_or(Refusal::Resources)?;
    if !native.acquire(REFERENCES) {
        return Err(Refusal::ForeignLayout);
    }
    // SAFETY: a fresh word, on which nobody else waits.
    unsafe { waiter.begin() };
    let at_first = is_known(&word.0, &waiter, REFERENCES.into());
    // SAFETY: three are held, and this gives up one.
    unsafe { native.release(1) };
    let then = at_first && is_known(&word.0, &waiter, u64::from(REFERENCES) - 1);
    // SAFETY: the others. The waiter returns.
    unsafe { native.release(REFERENCES - 1) };
    waiter.join();
    if then { Ok(()) } else { Err(Refusal::ForeignLayout) }
}

/// Whether the word names a block in the waiter's stack that says what it should about `references`, once the waiter
/// sleeps.
fn is_known(word: &SharedWord, waiter: &Waiter<Native>, references: u64) -> bool {
    let stopwatch = Stopwatch::start();
    while stopwatch.microseconds() < PATIENCE {
        if let State::Waiting(block) = State::of(word.native().word()) {
            // SAFETY: references are out until this has returned, so the waiter waits, here and below.
            let at = |index| unsafe { waiter.block_word(block, index) };
            // KEVENT: a synchronization event of six dwords, not signalled, with a list of waiters, which may still be empty.
            let event = at(EVENT);
            let is_event = event & 0x00ff_00ff == 0x0006_0001 && event >> 32 == 0;
            let has_list = EVENT_LIST
                .map(at)
                .into_iter()
                .all(|link| link != 0 && link % 8 == 0);
            let asleep = at(SPIN_FLAG) == 0;
            if asleep && is_event && has_list {
                return at(0) == references;
            }
        }
        yield_thread();
    }
    false
}
