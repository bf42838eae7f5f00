//! Provocation at exports: seeded delays, yields, and moves to another moment.

use crate::config::{self, Mode};
use crate::hal::cpu;
use crate::ke::{irql, sched};
use crate::rng;

/// The longest delay, TSC cycles: several times a run-down wait's spin budget of 10,240.
pub const LONGEST_DELAY: u64 = 60_000;

/// A place where anything may happen: a delay, or below `DISPATCH_LEVEL` another thread's turn.
pub fn delay_point() {
    let (rarely, below_dispatch) = match config::get().mode {
        Mode::Smp => (64, irql::current() < irql::DISPATCH_LEVEL),
        Mode::Chaos | Mode::Replay => (4, irql::current() < irql::DISPATCH_LEVEL),
        Mode::Counted => return,
    };
    if !rng::one_in(rarely) {
        return;
    }
    match rng::below(4) {
        0 | 1 if below_dispatch && cpu::interrupts_enabled() => sched::yield_now(),
        2 => cpu::stall(rng::below(LONGEST_DELAY)),
        _ => cpu::stall(rng::below(2_000)),
    }
}
