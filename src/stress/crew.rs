//! The threads of a run and what they share.

use alloc::vec::Vec;
use core::cell::Cell;

use rundown_abi::{Arm as Name, Refusal, StressStart};
use rundown_stress::{Arm, Event, Level, Memory, Plan, Role, Run, Tally, Workload, protocol};

use super::arms::AnyArm;
use crate::{
    etw,
    kernel::{
        Body, CurrentThread, Events, Pool, PoolArc, RemoteProcessor, SystemThread, Turnstile,
        clock::Stopwatch, processors, spin_budget, trace,
    },
};

/// What all threads of a run share, in resident memory.
pub(super) struct Shared {
    pub(super) number: u64,
    pub(super) run: Run<AnyArm, Events, Pool>,
    pub(super) stopwatch: Stopwatch,
    /// As measured when the run was started.
    pub(super) cycles_per_millisecond: u64,
}

/// The threads of a run. Dropping it ends them.
pub(super) struct Crew {
    threads: Vec<SystemThread>,
    pub(super) shared: PoolArc<Shared>,
}

/// A holder or the owner.
struct Worker {
    shared: PoolArc<Shared>,
    role: Role,
    /// The processor that it stays on.
    processor: u32,
    /// What it does its work with when that is to be done in DPCs; the thread takes it.
    remote: Cell<Option<RemoteProcessor>>,
}

/// Leads the others from turn to turn, and tells of it.
struct Conductor {
    shared: PoolArc<Shared>,
    start: StressStart,
}

/// What the engine is to do.
pub(super) fn plan(start: &StressStart, cycle_frequency: u64) -> Result<Plan, Refusal> {
    protocol::plan(start, cycle_frequency / 1_000)
}

/// How many bytes of pool the arms of a run take.
///
/// # IRQL
/// `<= APC_LEVEL`.
pub(super) fn bytes(start: &StressStart, plan: &Plan) -> usize {
    Name::of_set(start.arms).fold(0, |sum: usize, name| {
        sum.saturating_add(AnyArm::bytes(name, plan))
    })
}

/// Processors besides the owner's, which is 0; at least one.
fn others() -> u32 {
    processors::active().saturating_sub(1).max(1)
}

/// The processor that a holder stays on. Holders are spread over all, from the one after the owner's on; but an owner that
/// waits at `DISPATCH_LEVEL`, and one whose holders hold there, in DPCs, has its processor to itself: on that one they
/// could not hold while it waits.
fn holder_processor(plan: &Plan, holder: u32) -> u32 {
    let all = processors::active().max(1);
    if !plan.workload.has_owner() {
        holder % all
    } else if plan.waiter == Level::Dispatch || plan.workload == Workload::Dpcs {
        1 + holder % others()
    } else {
        (1 + holder) % all
    }
}

/// The turnstile before `processor`; `None` when there is no pool left.
fn turnstile(turnstiles: &mut Vec<(u32, Turnstile)>, processor: u32) -> Option<Turnstile> {
    let found = turnstiles.iter().find(|(before, _)| *before == processor);
    if let Some((_, turnstile)) = found {
        return Some(turnstile.clone());
    }
    let turnstile = Turnstile::new()?;
    turnstiles.try_reserve(1).ok()?;
    turnstiles.push((processor, turnstile.clone()));
    Some(turnstile)
}

impl Crew {
    /// Starts a run. It begins with the last step, after which nothing can fail.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(super) fn start(
        number: u64,
        start: &StressStart,
        plan: Plan,
        cycle_frequency: u64,
    ) -> Result<Self, Refusal> {
        let names = || Name::of_set(start.arms);
        let mut arms = names();
        let arms =
            Pool::slice(names().count(), |_| AnyArm::new(arms.next()?, plan)).ok_or(Refusal::Resources)?;
        let run = Events::new().and_then(|events| {
            Run::new(
                plan,
                arms,
                events,
                start.rounds,
                start.turn_microseconds(),
                u64::from(start.warm_up_milliseconds) * 1_000,
            )
        });
        let shared = PoolArc::new(Shared {
            number,
            run: run.ok_or(Refusal::Resources)?,
            stopwatch: Stopwatch::start(),
            cycles_per_millisecond: (cycle_frequency / 1_000).max(1),
        });

        let mut crew = Self {
            threads: Vec::new(),
            shared: shared.ok_or(Refusal::Resources)?,
        };
        match crew.add_all(start, &plan) {
            Ok(()) => Ok(crew),
            Err(refusal) => {
                // Nobody conducts those that were started.
                crew.shared.run.abandon();
                Err(refusal)
            }
        }
    }

    fn add_all(&mut self, start: &StressStart, plan: &Plan) -> Result<(), Refusal> {
        self.threads
            .try_reserve_exact(plan.holders + 2)
            .map_err(|_| Refusal::Resources)?;
        let mut turnstiles = Vec::new();
        for (index, number) in (0..start.threads).enumerate() {
            let processor = holder_processor(plan, number);
            let remote = if plan.workload == Workload::Dpcs {
                // From its own processor it asks the next one that is not the owner's.
                let next = 1 + processor % others();
                let turnstile = turnstile(&mut turnstiles, next).ok_or(Refusal::Resources)?;
                Some(RemoteProcessor::new(next, turnstile).ok_or(Refusal::Resources)?)
            } else {
                None
            };
            self.add(Role::Holder(index), processor, remote)?;
        }
        if plan.workload.has_owner() {
            self.add(Role::Owner, 0, None)?;
        }
        // Last: from then on nothing can fail, and the turns begin.
        let conductor = SystemThread::start(Conductor {
            shared: self.shared.clone(),
            start: *start,
        })
        .ok_or(Refusal::Resources)?;
        // It sleeps most of the time, and has to be on time when it wakes.
        conductor.raise_priority();
        self.threads.push(conductor);
        Ok(())
    }

    fn add(&mut self, role: Role, processor: u32, remote: Option<RemoteProcessor>) -> Result<(), Refusal> {
        let worker = Worker {
            shared: self.shared.clone(),
            role,
            processor,
            remote: Cell::new(remote),
        };
        self.threads
            .push(SystemThread::start(worker).ok_or(Refusal::Resources)?);
        Ok(())
    }

    /// Whether a thread is left.
    pub(super) fn is_at_work(&self) -> bool {
        self.threads.iter().any(SystemThread::is_running)
    }

    /// Tells the threads to return.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(super) fn stop(&self) {
        self.shared.run.stop();
    }

    /// Waits until the threads are gone.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(super) fn join(&self) {
        self.threads.iter().for_each(SystemThread::join);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Body for Worker {
    fn run(&self, thread: &mut CurrentThread) {
        CurrentThread::stay_on(self.processor);
        thread.attach(self.remote.take());
        self.shared.run.work(self.role, thread);
    }
}

impl Body for Conductor {
    fn run(&self, _thread: &mut CurrentThread) {
        let Shared { number, run, .. } = &*self.shared;
        // Here and not where the run was asked for: what is refused has no effect.
        spin_budget::set_for_run(self.start.spin_cycles);
        trace::record(
            trace::Event::RunBegins,
            [*number, self.start.arms.into(), self.start.workload.into(), 0],
        );
        etw::run_started(*number, &self.start);
        run.conduct::<CurrentThread>(|event| self.shared.tell(event));
        self.shared.stopwatch.stop();
        trace::record(trace::Event::RunEnds, [*number, run.turns_done().into(), 0, 0]);
        etw::run_finished(&self.shared.finish());
    }
}

impl Shared {
    /// Records the event in the trace ring and for ETW.
    fn tell(&self, event: &Event) {
        let run = self.number;
        let arm = |index: usize| self.run.arms().get(index).map_or(0, |arm| arm.name() as u32);
        match *event {
            Event::TurnBegins { turn, arm: index } => {
                trace::record(trace::Event::TurnBegins, [run, turn.into(), arm(index).into(), 0]);
            }
            Event::TurnEnds {
                turn,
                arm: index,
                tally,
            } => {
                trace::record(
                    trace::Event::TurnEnds,
                    [run, turn.into(), arm(index).into(), tally.acquires],
                );
                etw::turn_finished(run, turn, arm(index), &tally);
            }
            Event::Stalled {
                arm: index,
                waiting,
                cycles,
            } => {
                let word = waiting.word.unwrap_or(0);
                trace::record(
                    trace::Event::Stalled,
                    [
                        waiting.object as u64,
                        word as u64,
                        waiting.holders,
                        u64::from(arm(index)) << 56 | cycles,
                    ],
                );
                let milliseconds = cycles / self.cycles_per_millisecond;
                etw::wait_stalled(run, arm(index), waiting.holders, milliseconds);
            }
        }
    }

    /// How far the run came. All threads have arrived from the last turn, so the figures are final.
    fn finish(&self) -> etw::Finish {
        let run = &self.run;
        etw::Finish {
            run: self.number,
            turns_done: run.turns_done(),
            turns: run.schedule().turns(),
            microseconds: self.stopwatch.microseconds(),
            tally: run
                .arms()
                .iter()
                .fold(Tally::default(), |sum, arm| sum + arm.tally()),
            stalls: run.stall().waits,
        }
    }
}
