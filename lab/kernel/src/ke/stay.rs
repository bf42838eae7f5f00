//! How long a processor stays at `DISPATCH_LEVEL` in the driver.
//!
//! The measure is the clock's periods, not the time-stamp counter, which runs on while the host keeps a virtual processor
//! waiting, or while QEMU translates code that runs for the first time. A period counts if its interrupt came in time, so that
//! the processor ran all through it; and a stay lasts as many periods as *every* processor had inside it, the one that stays as
//! well as the one that it waits for. So the figure is a lower bound: a busy host can only make it smaller.
//!
//! A stay begins when an export returns at `DISPATCH_LEVEL`, with a DPC routine, or, for a callback that the lab calls there,
//! with the first interrupt. It ends when an export or a callback returns below `DISPATCH_LEVEL`.

use super::irql::{self, DISPATCH_LEVEL};
use crate::config;
use crate::hal::pcr::{self, Pcr};
use crate::hal::{MAX_PROCESSORS, clock, cpu};
use crate::lock::IrqLock;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What a processor knows of the stay that it is in. Others read `beats` only.
struct Stay {
    /// Periods that counted.
    beats: AtomicU64,
    /// The time-stamp counter when the present period began.
    started: AtomicU64,
    /// Whether `since` is this stay's.
    begun: AtomicBool,
    /// Every processor's `beats` at the first one inside the stay.
    since: [AtomicU64; MAX_PROCESSORS],
}

impl Stay {
    /// No stay, and no interrupt yet.
    const fn new() -> Self {
        Self {
            beats: AtomicU64::new(0),
            started: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            since: [const { AtomicU64::new(0) }; MAX_PROCESSORS],
        }
    }
}

static STAYS: [Stay; MAX_PROCESSORS] = [const { Stay::new() }; MAX_PROCESSORS];

fn stay_of(pcr: &Pcr) -> &'static Stay {
    &STAYS[pcr.number()]
}

/// The longest stay of the run.
#[derive(Clone, Copy, Debug)]
pub struct Longest {
    /// It lasted at least so long; a multiple of the clock's period.
    pub microseconds: u64,
    /// Who raised the IRQL: a return address, or a routine.
    pub raiser: u64,
}

/// How late an interrupt may be for its period to count, microseconds: less than QEMU takes to translate a page of code.
const LATEST: u64 = 50;

static LONGEST: IrqLock<Longest> = IrqLock::new(Longest {
    microseconds: 0,
    raiser: 0,
});

/// The longest stay so far.
pub fn longest() -> Longest {
    LONGEST.try_lock().map_or(
        Longest {
            microseconds: 0,
            raiser: 0,
        },
        |longest| *longest,
    )
}

/// The driver has control again: a stay goes on or begins at `DISPATCH_LEVEL` and above, and ends below.
pub fn returned(raiser: u64) {
    if irql::current() < DISPATCH_LEVEL {
        // One instruction: the thread may be moved to another processor here.
        pcr::clear_raiser();
        return;
    }
    let this = pcr::this();
    if this.raiser.load(Relaxed) == 0 {
        begin(this, raiser);
    }
}

fn begin(this: &Pcr, raiser: u64) {
    stay_of(this).begun.store(false, Relaxed);
    this.raiser.store(raiser, Relaxed);
}

/// Runs a DPC routine as a stay of its own. At `DISPATCH_LEVEL`.
pub fn during_dpc(routine: u64, call: impl FnOnce()) {
    begin(pcr::this(), routine);
    call();
    pcr::clear_raiser();
}

/// The clock's period begins anew on this processor.
pub fn start_period() {
    stay_of(pcr::this()).started.store(cpu::rdtsc(), Relaxed);
}

/// The clock's part on every processor; `raised` says whether it interrupted code at `DISPATCH_LEVEL` or above, `interrupted`
/// where in the driver.
pub fn beat(raised: bool, interrupted: impl FnOnce() -> u64) {
    let this = pcr::this();
    let stay = stay_of(this);
    let period = config::get().clock;
    let latest = (period + LATEST) * clock::cycles_per_second() / 1_000_000;
    if cpu::rdtsc().wrapping_sub(stay.started.load(Relaxed)) <= latest {
        stay.beats.fetch_add(1, Relaxed);
    }
    if !raised {
        this.raiser.store(0, Relaxed);
        return;
    }
    if this.raiser.load(Relaxed) == 0 {
        begin(this, interrupted());
    }
    let processors = || pcr::online().zip(&stay.since);
    if !stay.begun.swap(true, Relaxed) {
        processors().for_each(|(pcr, since)| since.store(stay_of(pcr).beats.load(Relaxed), Relaxed));
        return;
    }
    let periods = processors().map(|(pcr, since)| stay_of(pcr).beats.load(Relaxed) - since.load(Relaxed));
    let microseconds = periods.min().unwrap_or(0) * period;
    let mut longest = LONGEST.lock();
    let raiser = this.raiser.load(Relaxed);
    // Without a raiser it is the lab's own code.
    if raiser != 0 && microseconds > longest.microseconds {
        *longest = Longest { microseconds, raiser };
    }
}
