//! How long a processor stays at `DISPATCH_LEVEL` in the driver: from the raise to the lowering, or as long as a DPC routine or
//! another callback runs that is called there.
//!
//! The measure is the time-stamp counter. In mode `counted` that is the number of instructions that all processors together have
//! carried out, whatever the host does meanwhile. What a processor does during its stay, and what others do that it waits for, is
//! among them; so processors that run side by side would need at most as long. What a processor does as the judge does not count: it pages
//! out what is pageable when the IRQL rises, and answers the others' requests to forget translations.

use super::irql::{self, DISPATCH_LEVEL};
use super::thread;
use crate::hal::{clock, cpu, pcr};
use crate::lock::IrqLock;
use crate::trace;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The longest stay of the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Longest {
    cycles: u64,
    /// Who raised the IRQL: a return address, or a routine.
    pub raiser: u64,
}

impl Longest {
    /// How long it lasted, rounded up.
    pub fn microseconds(&self) -> u64 {
        (self.cycles * 1_000_000).div_ceil(clock::cycles_per_second())
    }
}

static LONGEST: IrqLock<Longest> = IrqLock::new(Longest { cycles: 0, raiser: 0 });

/// The longest stay so far.
pub fn longest() -> Longest {
    LONGEST
        .try_lock()
        .map_or_else(Longest::default, |longest| *longest)
}

/// Raises the IRQL to `level` for the driver, which is in the export that does this.
pub fn raise(level: u8) {
    let below = irql::current() < DISPATCH_LEVEL;
    cpu::write_cr8(level);
    note(level);
    if below && level >= DISPATCH_LEVEL {
        begin(thread::current().caller());
    }
}

/// Lowers the IRQL to `level` for the driver.
pub fn lower(level: u8) {
    if level < DISPATCH_LEVEL && irql::current() >= DISPATCH_LEVEL {
        end();
    }
    note(level);
    cpu::write_cr8(level);
}

/// For the timeline: the driver has asked for this IRQL.
fn note(level: u8) {
    if trace::is_on() {
        trace::note(trace::Kind::Irql, [level.into(), thread::current().caller(), 0]);
    }
}

/// Calls `routine`, the driver's, by `call`: at `DISPATCH_LEVEL` a stay, unless one goes on.
pub fn during<R>(routine: u64, call: impl FnOnce() -> R) -> R {
    let begins = irql::current() >= DISPATCH_LEVEL && pcr::this().raiser.load(Relaxed) == 0;
    if begins {
        begin(routine);
    }
    let result = call();
    // Or it has lowered the IRQL by itself, and runs on any processor.
    if begins && irql::current() >= DISPATCH_LEVEL {
        end();
    }
    result
}

/// What the lab does on a processor on its own account: no part of the driver's stay.
pub fn apart(work: impl FnOnce()) {
    // Whoever stays at `DISPATCH_LEVEL` stays on its processor; what interrupts such work is a part of it.
    if irql::current() < DISPATCH_LEVEL || pcr::this().apart.swap(true, Relaxed) {
        return work();
    }
    let this = pcr::this();
    let start = cpu::rdtsc();
    work();
    let cycles = cpu::rdtsc().wrapping_sub(start);
    this.raised_at.fetch_add(cycles, Relaxed);
    this.apart.store(false, Relaxed);
}

/// At `DISPATCH_LEVEL`.
fn begin(raiser: u64) {
    let this = pcr::this();
    this.raised_at.store(cpu::rdtsc(), Relaxed);
    this.raiser.store(raiser, Relaxed);
}

/// How long ago that was. What interrupts this moves it on, by work [apart](apart) that the time before does not have in it.
fn since(raised_at: &AtomicU64) -> u64 {
    loop {
        let raised = raised_at.load(Relaxed);
        let now = cpu::rdtsc();
        if raised_at.load(Relaxed) == raised {
            return now.saturating_sub(raised);
        }
    }
}

/// At `DISPATCH_LEVEL`.
fn end() {
    let this = pcr::this();
    let raiser = this.raiser.swap(0, Relaxed);
    let cycles = since(&this.raised_at);
    // Without a raiser it is the lab's own code.
    if raiser == 0 {
        return;
    }
    let mut longest = LONGEST.lock();
    if cycles > longest.cycles {
        *longest = Longest { cycles, raiser };
    }
}
