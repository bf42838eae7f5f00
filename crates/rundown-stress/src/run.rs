//! A run: its arms, from turn to turn.

use core::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::{
    Arm, Memory, Plan, Schedule, Signals, Stage, Stall, Tally, Thread, Turn, Waiting, stall::Stalls,
    turns::Turns,
};

/// How often the conductor looks after waits, in microseconds.
const WATCH: u64 = 20_000;

/// What a thread of a run does, besides the conductor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs the object down, in workloads that have an owner.
    Owner,
    /// Acquires and releases.
    Holder(usize),
}

/// What happens in a run that is worth a line in a trace.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A turn begins.
    TurnBegins {
        /// Its number.
        turn: u32,
        /// The arm.
        arm: usize,
    },
    /// A turn is over.
    TurnEnds {
        /// Its number.
        turn: u32,
        /// The arm.
        arm: usize,
        /// The arm's counters.
        tally: Tally,
    },
    /// A wait has lasted too long; once per wait.
    Stalled {
        /// The arm.
        arm: usize,
        /// The wait.
        waiting: Waiting,
        /// How long it has lasted so far, in cycles.
        cycles: u64,
    },
}

/// How the time of a run is divided, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    turn: u64,
    warm_up: u64,
}

/// A run. It lives in memory that is shared by its threads, and resident.
///
/// [`Plan::holders`] threads [work](Self::work) as holders, one as the owner if the workload has one, and one
/// [conducts](Self::conduct). All return when the turns are over, or soon after [`stop`](Self::stop).
pub struct Run<A: Arm, S: Signals, M: Memory> {
    plan: Plan,
    schedule: Schedule,
    times: Times,
    arms: M::Slice<A>,
    turns: Turns<M>,
    stalls: Stalls,
    signals: S,
    stage: Stage,
    /// Threads that have finished the turn.
    arrived: AtomicU32,
    /// The run is to end before its time.
    stopped: AtomicBool,
    /// There are no turns any more.
    finished: AtomicBool,
}

impl<A: Arm, S: Signals, M: Memory> Run<A, S, M> {
    /// A run that has not begun: `rounds` rounds of turns that last `turn_microseconds` each, the first
    /// `warm_up_microseconds` of them not measured. `None` when memory is short.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn new(
        plan: Plan,
        arms: M::Slice<A>,
        signals: S,
        rounds: u32,
        turn_microseconds: u64,
        warm_up_microseconds: u64,
    ) -> Option<Self> {
        let schedule = Schedule::new(u32::try_from(arms.len()).ok()?, rounds);
        Some(Self {
            plan,
            schedule,
            times: Times {
                turn: turn_microseconds.saturating_mul(1_000),
                warm_up: warm_up_microseconds.saturating_mul(1_000),
            },
            arms,
            turns: Turns::new(schedule.turns())?,
            stalls: Stalls::new(),
            signals,
            stage: Stage::new(),
            arrived: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            finished: AtomicBool::new(false),
        })
    }

    /// How many threads work: the holders, and the owner if there is one.
    fn workers(&self) -> u32 {
        let holders = u32::try_from(self.plan.holders).unwrap_or(u32::MAX);
        holders.saturating_add(self.plan.workload.has_owner().into())
    }

    /// Tells all threads to return soon.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn stop(&self) {
        // Pairs with the load in `is_stopped`.
        self.stopped.store(true, Release);
        self.stage.end();
        self.signals.wake();
    }

    /// [Stops](Self::stop) a run that nobody conducts.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn abandon(&self) {
        self.stop();
        self.finish(0);
    }

    fn is_stopped(&self) -> bool {
        // Pairs with the store in `stop`.
        self.stopped.load(Acquire)
    }

    /// No turn comes after `turns`: lets the threads go.
    fn finish(&self, turns: u32) {
        // Relaxed: the gate publishes it.
        self.finished.store(true, Relaxed);
        self.signals.open(turns);
    }

    /// The work of a holder or of the owner, turn after turn.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    ///
    /// # Panics
    /// When there is no such holder.
    pub fn work<T: Thread>(&self, role: Role, thread: &mut T) {
        for turn in 0.. {
            self.signals.pass(turn);
            // Relaxed: see `finish`.
            if self.finished.load(Relaxed) {
                return;
            }
            let arm = &self.arms[self.schedule.arm(turn)];
            match role {
                Role::Owner => arm.own(&self.stage, thread),
                Role::Holder(index) => arm.hold(&self.stage, index, thread),
            }
            // AcqRel: the last one to arrive has what all did, and tells the conductor.
            if self.arrived.fetch_add(1, AcqRel) + 1 == self.workers() {
                self.signals.all_arrived();
            }
        }
    }

    /// Leads the threads from turn to turn, and looks after waits. `observe` is told what happens.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn conduct<T: Thread>(&self, observe: impl Fn(&Event)) {
        let mut turn = 0;
        while turn < self.schedule.turns() && !self.is_stopped() {
            self.take_turn::<T>(turn, &observe);
            turn += 1;
        }
        self.finish(turn);
    }

    fn take_turn<T: Thread>(&self, turn: u32, observe: &impl Fn(&Event)) {
        let index = self.schedule.arm(turn);
        let arm = &self.arms[index];
        observe(&Event::TurnBegins { turn, arm: index });
        // Relaxed: the gate publishes it; all threads have arrived from the turn before.
        self.arrived.store(0, Relaxed);
        self.stage.begin(turn);
        let begin = T::nanoseconds();
        self.signals.open(turn);
        self.pass_time::<T>(begin.saturating_add(self.times.warm_up), index, observe);

        self.stage.measure();
        let start = Reading::take::<A, T>(arm);
        self.pass_time::<T>(begin.saturating_add(self.times.turn), index, observe);
        let end = Reading::take::<A, T>(arm);
        self.stage.end();

        while !self.signals.await_arrival(WATCH) {
            self.watch::<T>(index, observe);
        }
        // A turn that was cut short is none.
        if !self.is_stopped() {
            self.turns.add(end.since(&start));
        }
        observe(&Event::TurnEnds {
            turn,
            arm: index,
            tally: arm.tally(),
        });
    }

    /// Sleeps until `deadline`, in nanoseconds, or until the run is stopped; and watches.
    fn pass_time<T: Thread>(&self, deadline: u64, arm: usize, observe: &impl Fn(&Event)) {
        loop {
            let left = deadline.saturating_sub(T::nanoseconds());
            if left == 0 || self.is_stopped() {
                return;
            }
            self.signals.sleep(left.div_ceil(1_000).min(WATCH));
            self.watch::<T>(arm, observe);
        }
    }

    /// Looks whether the arm's wait has lasted too long.
    fn watch<T: Thread>(&self, arm: usize, observe: &impl Fn(&Event)) {
        let Some(waiting) = self.arms[arm].waiting() else {
            return;
        };
        let cycles = T::cycles().saturating_sub(waiting.since);
        if cycles > self.plan.stall_cycles && self.stalls.note(arm, &waiting, cycles) {
            observe(&Event::Stalled { arm, waiting, cycles });
        }
    }

    /// The arms, in the order of their turns.
    pub fn arms(&self) -> &[A] {
        &self.arms
    }

    /// Whose turns come when.
    pub const fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// How many turns are over.
    ///
    /// # IRQL
    /// Any.
    pub fn turns_done(&self) -> u32 {
        self.turns.done()
    }

    /// The figures of a turn that is over; `None` for the others.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn turn(&self, turn: u32) -> Option<Turn> {
        self.turns.get(turn)
    }

    /// The longest of the waits that stalled.
    ///
    /// # IRQL
    /// Any.
    pub fn stall(&self) -> Stall {
        self.stalls.longest()
    }
}

/// Counters and clocks at one moment.
struct Reading {
    tally: Tally,
    nanoseconds: u64,
    cycles: u64,
}

impl Reading {
    fn take<A: Arm, T: Thread>(arm: &A) -> Self {
        Self {
            tally: arm.tally(),
            nanoseconds: T::nanoseconds(),
            cycles: T::cycles(),
        }
    }

    fn since(&self, start: &Self) -> Turn {
        let operations = |tally: &Tally| tally.operations();
        Turn {
            operations: operations(&self.tally).wrapping_sub(operations(&start.tally)),
            generations: self.tally.generations.wrapping_sub(start.tally.generations),
            nanoseconds: self.nanoseconds.saturating_sub(start.nanoseconds),
            cycles: self.cycles.saturating_sub(start.cycles),
        }
    }
}
