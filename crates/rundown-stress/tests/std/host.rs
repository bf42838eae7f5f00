//! std's threads, locks and memory as the engine wants them.

use std::{
    cell::Cell,
    ops::Deref,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use ex_rundown::{APC_LEVEL, DISPATCH_LEVEL, Irql, Platform};
use rundown_std::{Settings, Std};
use rundown_stress::{Arm, Event, Memory, Plan, Role, Run, Signals, Tally, Thread, Waiting};

pub(crate) struct HostThread;

fn at<R>(irql: Irql, body: impl FnOnce() -> R) -> R {
    Settings {
        irql,
        ..Settings::current()
    }
    .with(body)
}

impl Thread for HostThread {
    fn cycles() -> u64 {
        Std::timestamp()
    }
    fn nanoseconds() -> u64 {
        Std::timestamp()
    }
    fn pause() {
        thread::yield_now();
    }
    fn give_way() {
        thread::yield_now();
    }
    fn at_apc_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        at(APC_LEVEL, body)
    }
    fn at_dispatch_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        at(DISPATCH_LEVEL, body)
    }
    fn in_dpc<R: Send>(&mut self, body: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| scope.spawn(|| at(DISPATCH_LEVEL, body)).join().unwrap())
    }
}

/// Vectors.
pub(crate) struct Heap;

impl Memory for Heap {
    type Slice<T: Send + Sync> = Vec<T>;

    fn slice<T: Send + Sync>(count: usize, make: impl FnMut(usize) -> Option<T>) -> Option<Vec<T>> {
        (0..count).map(make).collect()
    }
}

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Vectors, as long as there is memory.
pub(crate) struct Short;

impl Short {
    /// Runs `body` with memory for `allocations`.
    pub(crate) fn after<R>(allocations: usize, body: impl FnOnce() -> R) -> R {
        LEFT.set(allocations);
        body()
    }
}

impl Memory for Short {
    type Slice<T: Send + Sync> = Vec<T>;

    fn slice<T: Send + Sync>(count: usize, make: impl FnMut(usize) -> Option<T>) -> Option<Vec<T>> {
        LEFT.set(LEFT.get().checked_sub(1)?);
        Heap::slice(count, make)
    }
}

/// What is signalled.
#[derive(Default)]
struct Flags {
    /// Turns that were opened.
    opened: u32,
    /// Threads that have done the first turn.
    through: usize,
    arrived: bool,
    awake: bool,
}

#[derive(Clone, Default)]
pub(crate) struct HostSignals(Arc<(Mutex<Flags>, Condvar)>);

impl HostSignals {
    fn set(&self, change: impl FnOnce(&mut Flags)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// Waits for `flag`, up to `microseconds`; whether it came.
    fn wait(&self, microseconds: u64, flag: impl Fn(&mut Flags) -> bool) -> bool {
        let flags = self.0.0.lock().unwrap();
        let mut came = false;
        let _flags = self
            .0
            .1
            .wait_timeout_while(flags, Duration::from_micros(microseconds), |flags| {
                came = flag(flags);
                !came
            })
            .unwrap();
        came
    }
}

impl Signals for HostSignals {
    fn open(&self, turn: u32) {
        self.set(|flags| flags.opened = turn + 1);
    }
    fn pass(&self, turn: u32) {
        if turn == 1 {
            self.set(|flags| flags.through += 1);
        }
        assert!(
            self.wait(60_000_000, |flags| flags.opened > turn),
            "turn {turn} never came"
        );
    }
    fn all_arrived(&self) {
        self.set(|flags| flags.arrived = true);
    }
    fn await_arrival(&self, microseconds: u64) -> bool {
        self.wait(microseconds, |flags| std::mem::take(&mut flags.arrived))
    }
    fn wake(&self) {
        self.set(|flags| flags.awake = true);
    }
    fn sleep(&self, microseconds: u64) {
        self.wait(microseconds, |flags| flags.awake);
    }
}

/// A run on the host, with the plan that it was made for.
pub(crate) struct HostRun<A: Arm> {
    run: Run<A, HostSignals, Heap>,
    plan: Plan,
    signals: HostSignals,
}

impl<A: Arm> Deref for HostRun<A> {
    type Target = Run<A, HostSignals, Heap>;

    fn deref(&self) -> &Self::Target {
        &self.run
    }
}

impl<A: Arm> HostRun<A> {
    pub(crate) fn tally(&self, arm: usize) -> Tally {
        self.run.arms()[arm].tally()
    }

    /// Waits until `threads` have done the first turn.
    pub(crate) fn await_threads(&self, threads: usize) {
        assert!(self.signals.wait(60_000_000, |flags| flags.through >= threads));
    }
}

pub(crate) fn new<A: Arm>(
    plan: Plan,
    arms: Vec<A>,
    rounds: u32,
    turn: Duration,
    warm_up: Duration,
) -> HostRun<A> {
    let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap();
    let signals = HostSignals::default();
    let run = Run::new(
        plan,
        arms,
        signals.clone(),
        rounds,
        microseconds(turn),
        microseconds(warm_up),
    );
    HostRun {
        run: run.expect("memory"),
        plan,
        signals,
    }
}

/// One holder's thread.
pub(crate) fn hold<A: Arm>(run: &HostRun<A>, index: usize) {
    run.work(Role::Holder(index), &mut HostThread);
}

/// All threads of a run, to its end; the waits that stalled.
pub(crate) fn carry_out<A: Arm>(run: &HostRun<A>) -> Vec<Waiting> {
    let stalls = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for index in 0..run.plan.holders {
            scope.spawn(move || hold(run, index));
        }
        if run.plan.workload.has_owner() {
            scope.spawn(|| run.work(Role::Owner, &mut HostThread));
        }
        run.conduct::<HostThread>(|event| {
            if let Event::Stalled { waiting, .. } = event {
                stalls.lock().unwrap().push(*waiting);
            }
        });
    });
    stalls.into_inner().unwrap()
}

/// Makes a run without a warm-up and carries it out.
pub(crate) fn run<A: Arm>(plan: Plan, arms: Vec<A>, rounds: u32, turn: Duration) -> HostRun<A> {
    run_with_warm_up(plan, arms, rounds, turn, Duration::ZERO)
}

/// Makes a run and carries it out.
pub(crate) fn run_with_warm_up<A: Arm>(
    plan: Plan,
    arms: Vec<A>,
    rounds: u32,
    turn: Duration,
    warm_up: Duration,
) -> HostRun<A> {
    let run = new(plan, arms, rounds, turn, warm_up);
    carry_out(&run);
    run
}
