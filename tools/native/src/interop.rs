//! One side waits, others release: on one word, in one wait block.
//!
//! The stress engine's holders and owner, where each holder's acquire and release, and the owner's wait, are an
//! [`Arm`] each. A watchdog looks after the wait: a releaser that is wrong leaves its waiter asleep for ever, and that
//! is a finding, not the end of the program.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread,
    time::{Duration, Instant},
};

use ex_rundown::{DISPATCH_LEVEL, Parity, State, WayOut};
use rundown_stress::{Arm as _, ArmOf, Level, Reference, Role, Run, Tally, Ticket, Workload};
use serde::Serialize;

use crate::{
    Arm, Counts, Settings, Word,
    block::Block,
    engine::{Gates, Heap, HostThread},
    event::KEvent,
};

/// The ways out that take a while, each with the settings that lead there.
pub const WAYS_OUT: [WayOut; 4] = [WayOut::Event, WayOut::Pause, WayOut::Monitorx, WayOut::Dispatch];

/// The machine on which waits take this way out.
#[must_use]
pub fn settings(way_out: WayOut) -> Settings {
    // A spin that ends by its hand-over, however busy the host is: at most 2^32 cycles, a second or two.
    let patient = Settings {
        spin_cycles: u32::MAX,
        cycles_per_yield: 1,
        ..Settings::DEFAULT
    };
    match way_out {
        WayOut::Monitorx => Settings {
            monitorx: true,
            ..patient
        },
        WayOut::Dispatch => Settings {
            irql: DISPATCH_LEVEL,
            ..Settings::DEFAULT
        },
        // No spin where there is one processor.
        WayOut::Event | WayOut::Late => Settings {
            unparked_processors: 1,
            ..Settings::DEFAULT
        },
        _ => patient,
    }
}

/// Who does what, and how often.
pub struct Plan<'a> {
    /// Each holder takes them in turn, with another one for the release than for the acquire when there are two.
    pub holders: &'a [&'a dyn Arm],
    /// Runs the object down.
    pub waiter: &'a dyn Arm,
    /// How many threads hold.
    pub threads: usize,
    /// The way out to take. The waiter's code has to be told its `ExpSpinCycleCount` beforehand.
    pub way_out: WayOut,
    /// How often.
    pub waits: u64,
    /// After so long it is over anyway.
    pub patience: Duration,
    /// A wait of so long hangs.
    pub hang: Duration,
    /// Seeds the times.
    pub seed: u64,
}

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Who waited.
    pub waiter: &'static str,
    /// Who held.
    pub holders: Vec<&'static str>,
    /// The way out that was to be taken.
    pub way_out: String,
    /// How often it was to be taken.
    pub wanted: u64,
    /// How often it was.
    pub taken: u64,
    /// All generations.
    pub generations: u64,
    /// Acquires that were granted.
    pub acquires: u64,
    /// Violations: waits that returned with a holder inside, and holders that saw a dead object.
    pub inside: u64,
    /// Violations: waits that never returned.
    pub hung: u64,
    /// `KeWaitForSingleObject` calls.
    pub ke_waits: u64,
    /// `KeSetEvent` calls, as many.
    pub ke_sets: u64,
    /// Violations: calls of either with a wrong argument or a wrong event.
    pub wrong_calls: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Whether it happened as often as wanted, without a violation.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.taken >= self.wanted && self.sound()
    }

    /// Whether there was no violation.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.inside == 0 && self.hung == 0 && self.wrong_calls == 0 && self.ke_waits == self.ke_sets
    }
}

/// The word, and who works on it.
struct Shared<'a> {
    word: Word,
    holders: &'a [&'a dyn Arm],
    waiter: &'a dyn Arm,
    /// Odd while a wait goes on.
    waits: &'a AtomicU64,
    acquires: AtomicUsize,
    releases: AtomicUsize,
}

impl Shared<'_> {
    fn holder(&self, turn: usize) -> &dyn Arm {
        self.holders[turn % self.holders.len()]
    }
}

impl Reference for &Shared<'_> {
    // One word, whoever works on it.
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, count: u32) -> bool {
        debug_assert_eq!(count, 1, "the plan's batch");
        // Counters, here and below; nothing is ordered by them.
        self.holder(self.acquires.fetch_add(1, Relaxed))
            .acquire(&self.word)
    }

    fn release(&self, _ticket: Ticket) {
        // Half as fast, so that all four pairs of two arms take their turns.
        let turn = self.releases.fetch_add(1, Relaxed) / self.holders.len();
        // SAFETY: the ticket stands for one reference that was granted, and is handed in once.
        unsafe { self.holder(turn).release(&self.word) };
    }

    fn run_down(&self) -> Option<WayOut> {
        // Pairs with the watchdog's loads.
        self.waits.fetch_add(1, Release);
        let way_out = self.waiter.wait(&self.word);
        self.waits.fetch_add(1, Release);
        Some(way_out)
    }

    fn complete(&self) {
        self.word.as_ours::<Parity>().completed();
    }

    fn reinitialize(&self) {
        self.word.as_ours::<Parity>().reinitialize();
    }

    fn word(&self) -> Option<usize> {
        Some(self.word.state().word())
    }
}

/// Runs a plan.
#[must_use]
pub fn run(plan: &Plan<'_>) -> Report {
    let counts = Arc::new(Counts::default());
    let waits = AtomicU64::new(0);
    let shared = Shared {
        // SAFETY: the engine has one owner, who waits, completes and re-initialises; a wrong release is what a test is to see.
        word: unsafe { Word::new() },
        holders: plan.holders,
        waiter: plan.waiter,
        waits: &waits,
        acquires: AtomicUsize::new(0),
        releases: AtomicUsize::new(0),
    };
    let times = rundown_stress::Plan {
        workload: Workload::Storm,
        waiter: match plan.way_out {
            WayOut::Dispatch => Level::Dispatch,
            _ => Level::Passive,
        },
        holders: plan.threads,
        hold_cycles: 100_000,
        gap_cycles: 50_000,
        batch: 1,
        false_sharing: false,
        // The watchdog below rescues what hangs.
        stall_cycles: u64::MAX,
        seed: plan.seed,
    };
    let Some(arm) = ArmOf::<_, Heap>::new(times, || Some(&shared)) else {
        unreachable!("a vector has memory or aborts");
    };
    let patience = u64::try_from(plan.patience.as_micros()).unwrap_or(u64::MAX);
    let Some(run) = Run::<_, _, Heap>::new(times, vec![arm], Gates::default(), 1, patience, 0) else {
        unreachable!("a vector has memory or aborts");
    };
    let over = AtomicBool::new(false);
    let start = Instant::now();
    let hung = thread::scope(|scope| {
        let (run, counts) = (&run, &counts);
        for index in 0..plan.threads {
            scope.spawn(move || counts.with(|| run.work(Role::Holder(index), &mut HostThread)));
        }
        let machine = Settings {
            // The engine raises it.
            irql: 0,
            ..settings(plan.way_out)
        };
        scope.spawn(move || counts.with(|| machine.with(|| run.work(Role::Owner, &mut HostThread))));
        let watchdog = scope.spawn(|| watch(&shared, plan.hang, &over, || run.stop()));
        scope.spawn(|| {
            // Pairs with the store when the turn is over.
            while !over.load(Acquire) {
                let tally = run.arms()[0].tally();
                let violated = tally.inside + tally.poisoned != 0;
                if violated || taken(&tally, plan.way_out) >= plan.waits {
                    run.stop();
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        run.conduct::<HostThread>(|_| {});
        over.store(true, Release);
        watchdog.join().unwrap_or(1)
    });
    let tally = run.arms()[0].tally();
    Report {
        waiter: plan.waiter.name(),
        holders: plan.holders.iter().map(|arm| arm.name()).collect(),
        way_out: format!("{:?}", plan.way_out),
        wanted: plan.waits,
        taken: taken(&tally, plan.way_out),
        generations: tally.generations,
        acquires: tally.acquires,
        inside: tally.inside + tally.poisoned,
        hung,
        // The threads have been joined.
        ke_waits: counts.waits.load(Relaxed),
        ke_sets: counts.sets.load(Relaxed),
        wrong_calls: counts.wrong.load(Relaxed),
        seconds: start.elapsed().as_secs_f64(),
    }
}

fn taken(tally: &Tally, way_out: WayOut) -> u64 {
    match way_out {
        WayOut::Drained => tally.waits.drained,
        WayOut::Monitorx => tally.waits.mwaitx,
        WayOut::Pause => tally.waits.pause,
        WayOut::Dispatch => tally.waits.dispatch,
        WayOut::Event => tally.waits.event,
        WayOut::Late => tally.waits.late,
        _ => 0,
    }
}

/// Ends waits that hang, and says how many.
fn watch(shared: &Shared<'_>, hang: Duration, over: &AtomicBool, stop: impl Fn()) -> u64 {
    let mut found = 0;
    let mut same = (0, Instant::now());
    // Pairs with the store when the owner is done.
    while !over.load(Acquire) {
        thread::sleep(hang.min(Duration::from_millis(20)));
        // Pairs with the additions around a wait.
        let waits = shared.waits.load(Acquire);
        if waits.is_multiple_of(2) || waits != same.0 {
            same = (waits, Instant::now());
        } else if same.1.elapsed() > hang {
            found += 1;
            stop();
            if let State::Waiting(block) = shared.word.state() {
                rescue(block);
            }
            same.1 = Instant::now();
        }
    }
    found
}

/// Lets a waiter go that nobody else will: hands over and sets the event.
fn rescue(block: usize) {
    // SAFETY: its waiter hangs, so the block is there, and stays until what follows.
    let block = unsafe { &*Block::at(block) };
    if block.spin_flag.fetch_and(!1, AcqRel) & 1 == 0 {
        // SAFETY: the waiter has cleared the flag, so it has initialised its event and sleeps.
        unsafe { KEvent::set(&raw const block.wake_event) };
    }
}
