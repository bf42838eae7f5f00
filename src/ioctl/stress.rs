//! Stress: starts a run, tells how far it is, stops it. One at a time per device.

use alloc::vec::Vec;

use ex_rundown::RundownRef;
use rundown_abi::{
    Arm, Header, Refusal, RunState, Stall, StressArmQuery, StressArmResult, StressQuery, StressResult,
    StressStart, StressStarted, StressTurns, StressTurnsQuery, Violations, Waiter, WaysOut, Workload, flags,
    marks,
};
use rundown_stress::{Holder, Plan, Reference, Run, Tally};
use wdk_sys::WDFOBJECT;

use crate::kernel::{
    Body, CurrentThread, NativeRundown, Nt, PoolArc, PoolBox, SystemThread, clock::Stopwatch, hypervisor,
    processors, spin_budget, verifier,
};

/// The device's run, and the number of the next one.
pub(crate) struct Stress {
    last: u64,
    run: Option<ActiveRun>,
}

/// A run that was started and not yet replaced by another. Its threads may have ended.
struct ActiveRun {
    number: u64,
    /// The file object that started it; only ever compared.
    file: WDFOBJECT,
    arm: Arm,
    turns: u32,
    stopped: bool,
    crew: Crew,
}

/// The threads of a run and what they share. Dropping it ends them.
struct Crew {
    threads: Vec<SystemThread>,
    shared: PoolArc<Shared>,
}

/// What all threads of a run share, in resident memory.
struct Shared {
    run: AnyRun,
    milliseconds: u32,
    stopwatch: Stopwatch,
}

/// A run over either arm.
enum AnyRun {
    Ours(Run<RundownRef<Nt>, PoolBox<[Holder]>>),
    Native(Run<NativeRundown, PoolBox<[Holder]>>),
}

/// One thread's part.
struct Worker {
    shared: PoolArc<Shared>,
    role: Role,
    /// The processor that it stays on, when it matters.
    processor: Option<u32>,
}

#[derive(Clone, Copy)]
enum Role {
    Owner,
    Holder(usize),
}

/// The arm of a start that asks for what this driver does.
fn only_arm(start: &StressStart) -> Result<Arm, Refusal> {
    let mut arms = Arm::of_set(start.arms);
    let plain = start.workload == Workload::Storm as u32
        && start.waiter != Waiter::Apc as u32
        && start.rounds == 1
        && start.flags & flags::FALSE_SHARING == 0;
    match (arms.next(), arms.next()) {
        (Some(arm @ (Arm::Ours | Arm::Native)), None) if plain => Ok(arm),
        _ => Err(Refusal::NotImplemented),
    }
}

/// What makes figures unfit for comparison.
fn marks() -> u32 {
    let verifier = verifier::checks_this_driver().then_some(marks::VERIFIER);
    let hypervisor = hypervisor::vendor().map(|_| marks::HYPERVISOR);
    verifier.unwrap_or(0) | hypervisor.unwrap_or(0)
}

impl Stress {
    pub(crate) const fn new() -> Self {
        Self { last: 0, run: None }
    }

    /// Starts a run.
    pub(crate) fn start(&mut self, file: WDFOBJECT, start: &StressStart) -> Result<StressStarted, Refusal> {
        let arm = only_arm(start)?;
        let waiter = Waiter::from_wire(start.waiter).ok_or(Refusal::Waiter)?;
        let at_dispatch = waiter == Waiter::Dispatch;
        if at_dispatch && arm == Arm::Native && verifier::checks_this_driver() {
            return Err(Refusal::NativeUnderVerifier);
        }
        if at_dispatch && processors::active() < 2 {
            return Err(Refusal::OneProcessor);
        }
        if self.run.as_ref().is_some_and(|run| run.crew.is_at_work()) {
            return Err(Refusal::Busy);
        }
        // Joins the threads of the run before, which have done their work.
        self.run = None;

        spin_budget::set(start.spin_cycles);
        let crew = Crew::start(arm, waiter, start)?;
        self.last += 1;
        self.run = Some(ActiveRun {
            number: self.last,
            file,
            arm,
            turns: start.turns(),
            stopped: false,
            crew,
        });
        Ok(StressStarted {
            header: Header::of::<StressStarted>(),
            run: self.last,
        })
    }

    /// The counters of a run.
    pub(crate) fn result(&mut self, file: WDFOBJECT, query: &StressQuery) -> Result<StressResult, Refusal> {
        Ok(self.find(file, query.run)?.result())
    }

    /// One arm's figures.
    pub(crate) fn arm(
        &mut self,
        file: WDFOBJECT,
        query: &StressArmQuery,
    ) -> Result<StressArmResult, Refusal> {
        let arm = self.find(file, query.run)?.arm;
        if arm as u32 == query.arm {
            Err(Refusal::NotImplemented)
        } else {
            Err(Refusal::Arm)
        }
    }

    /// The turns that are over.
    pub(crate) fn turns(
        &mut self,
        file: WDFOBJECT,
        query: &StressTurnsQuery,
    ) -> Result<StressTurns, Refusal> {
        self.find(file, query.run)?;
        Err(Refusal::NotImplemented)
    }

    /// Stops a run and waits for its threads; its counters stay.
    pub(crate) fn stop(&mut self, file: WDFOBJECT, query: &StressQuery) -> Result<(), Refusal> {
        let run = self.find(file, query.run)?;
        run.stopped |= run.crew.is_at_work();
        run.crew.stop();
        Ok(())
    }

    /// A handle is closed: the run that it started ends.
    pub(crate) fn close(&mut self, file: WDFOBJECT) {
        if self.run.as_ref().is_some_and(|run| run.file == file) {
            self.run = None;
        }
    }

    /// The device is gone: the run ends, whoever started it.
    pub(crate) fn end(&mut self) {
        self.run = None;
    }

    fn find(&mut self, file: WDFOBJECT, number: u64) -> Result<&mut ActiveRun, Refusal> {
        self.run
            .as_mut()
            .filter(|run| run.file == file && run.number == number)
            .ok_or(Refusal::NoSuchRun)
    }
}

impl ActiveRun {
    fn result(&self) -> StressResult {
        // The state first: when the threads are done, what is read after it is final.
        let state = match (self.crew.is_at_work(), self.stopped) {
            (true, _) => RunState::Running,
            (false, false) => RunState::Finished,
            (false, true) => RunState::Stopped,
        };
        let shared = &self.crew.shared;
        let tally = shared.run.tally();
        StressResult {
            header: Header::of::<StressResult>(),
            run: self.number,
            state: state as u32,
            arms: self.arm.bit(),
            microseconds: shared.stopwatch.microseconds(),
            acquires: tally.acquires,
            refused: tally.refused,
            generations: tally.generations,
            contested: tally.contested,
            ways_out: WaysOut {
                drained: tally.waits.drained,
                mwaitx: tally.waits.mwaitx,
                pause: tally.waits.pause,
                dispatch: tally.waits.dispatch,
                event: tally.waits.event,
                late: tally.waits.late,
            },
            violations: Violations {
                poisoned: tally.poisoned,
                inside: tally.inside,
            },
            stall: Stall::default(),
            turns_done: if state == RunState::Running { 0 } else { self.turns },
            turns: self.turns,
            arm: if state == RunState::Running {
                self.arm as u32
            } else {
                0
            },
            marks: marks(),
        }
    }
}

impl Crew {
    fn start(arm: Arm, waiter: Waiter, start: &StressStart) -> Result<Self, Refusal> {
        let at_dispatch_level = waiter == Waiter::Dispatch;
        let holders = start.threads as usize;
        let plan = Plan {
            hold_cycles: start.hold_cycles,
            gap_cycles: start.gap_cycles,
            at_dispatch_level,
            seed: start.seed,
        };
        let counters = PoolBox::from_fn(holders, |_| Holder::new()).ok_or(Refusal::Resources)?;
        let run = match arm {
            Arm::Ours => AnyRun::Ours(Run::new(RundownRef::new(), counters, plan)),
            Arm::Native => AnyRun::Native(Run::new(NativeRundown::new(), counters, plan)),
            _ => return Err(Refusal::NotImplemented),
        };
        let shared = Shared {
            run,
            milliseconds: start.milliseconds,
            stopwatch: Stopwatch::start(),
        };
        let shared = PoolArc::new(shared).ok_or(Refusal::Resources)?;

        let mut threads = Vec::new();
        threads
            .try_reserve_exact(holders + 1)
            .map_err(|_| Refusal::Resources)?;
        let mut crew = Self { threads, shared };
        // At DISPATCH_LEVEL the waiter has processor 0 to itself; otherwise the scheduler decides.
        let others = processors::active().saturating_sub(1).max(1);
        let stay = |processor| at_dispatch_level.then_some(processor);
        crew.add(Role::Owner, stay(0))?;
        for (index, number) in (0..start.threads).enumerate() {
            crew.add(Role::Holder(index), stay(1 + number % others))?;
        }
        Ok(crew)
    }

    /// Starts one thread. When that fails, dropping the crew ends those that run.
    fn add(&mut self, role: Role, processor: Option<u32>) -> Result<(), Refusal> {
        let worker = Worker {
            shared: self.shared.clone(),
            role,
            processor,
        };
        self.threads
            .push(SystemThread::start(worker).ok_or(Refusal::Resources)?);
        Ok(())
    }

    fn is_at_work(&self) -> bool {
        self.threads.iter().any(SystemThread::is_running)
    }

    /// Tells the threads to return, and waits until they are gone.
    fn stop(&mut self) {
        self.shared.run.stop();
        self.threads.clear();
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop();
    }
}

impl AnyRun {
    fn stop(&self) {
        match self {
            Self::Ours(run) => run.stop(),
            Self::Native(run) => run.stop(),
        }
    }

    fn tally(&self) -> Tally {
        match self {
            Self::Ours(run) => run.tally(),
            Self::Native(run) => run.tally(),
        }
    }
}

impl Body for Worker {
    fn run(&self, thread: &mut CurrentThread) {
        if let Some(processor) = self.processor {
            CurrentThread::stay_on(processor);
        }
        match &self.shared.run {
            AnyRun::Ours(run) => self.work(run, thread),
            AnyRun::Native(run) => self.work(run, thread),
        }
    }
}

impl Worker {
    fn work<R: Reference>(&self, run: &Run<R, PoolBox<[Holder]>>, thread: &mut CurrentThread) {
        match self.role {
            Role::Holder(index) => run.hold(index, thread),
            Role::Owner => {
                let limit = u64::from(self.shared.milliseconds) * 1_000;
                run.own(thread, || self.shared.stopwatch.microseconds() >= limit);
                self.shared.stopwatch.stop();
            }
        }
    }
}
