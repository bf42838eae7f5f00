//! A stress run from its start to its end: poll, show, stop when asked to, fetch the figures.

use std::{thread::sleep, time::Duration};

use rundown_abi::StressResult;

use crate::{
    client::Client,
    error::Error,
    load::Load,
    names::{Arm, RunState, Workload},
    progress::Progress,
    record::{ArmFigures, Counters, Failure, FastPath, Machine, Record, SCHEMA, Turn, per_second},
    session::Session,
    show::count,
    target::{Access, Target},
};

/// How often the counters are fetched.
const POLL: Duration = Duration::from_millis(100);

/// A run that is about to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The arms, in the order in which they take turns.
    pub arms: Vec<Arm>,
    /// What the threads do.
    pub workload: Workload,
    /// What else is asked for.
    pub load: Load,
}

/// What came of a run.
pub struct Outcome {
    /// What is known of it: the last figures that the driver told, final unless there is an error.
    pub record: Record,
    /// What ended it early, or what the target found at its end.
    pub error: Option<Error>,
    /// The user stopped it.
    pub interrupted: bool,
}

/// Whoever looks on: the client and the run's number, to ask for more, and the sums so far.
pub type Observer<'a> = dyn FnMut(&mut Client<'_>, u64, &StressResult) -> Result<(), Error> + 'a;

impl Plan {
    /// Makes the run on a target of its own, and ends the target.
    #[must_use]
    pub fn carry_out(
        &self,
        mut target: Box<dyn Target>,
        session: &Session<'_>,
        progress: &Progress,
    ) -> Outcome {
        let mut observer = |_: &mut Client<'_>, _: u64, result: &StressResult| {
            self.show(result, progress);
            Ok(())
        };
        let mut outcome = match Client::open(&mut *target, Access::ReadWrite) {
            Ok(mut client) => {
                let mut outcome = self.carry_out_on(&mut client, session, &mut observer);
                if outcome.error.is_none() {
                    outcome.error = client.close().err();
                }
                outcome
            }
            Err(error) => Outcome::of_nothing(self, error),
        };
        if outcome.error.is_none() {
            outcome.error = target.finish().err();
        }
        outcome.record.error = outcome.error.as_ref().map(Failure::of);
        outcome
    }

    /// Makes the run through an open handle.
    pub fn carry_out_on(
        &self,
        client: &mut Client<'_>,
        session: &Session<'_>,
        observer: &mut Observer<'_>,
    ) -> Outcome {
        let mut outcome = Outcome {
            record: self.record(),
            error: None,
            interrupted: false,
        };
        outcome.error = self.follow(client, session, observer, &mut outcome).err();
        outcome.record.error = outcome.error.as_ref().map(Failure::of);
        outcome
    }

    fn record(&self) -> Record {
        let names: Vec<_> = self.arms.iter().map(|arm| arm.name()).collect();
        Record {
            schema: SCHEMA,
            command: crate::session::command_line(),
            arm: names.join(","),
            workload: self.workload,
            load: Load {
                hold: Some(self.load.hold_in(self.workload)),
                ..self.load.clone()
            },
            machine: None,
            lab: None,
            code: Vec::new(),
            counters: None,
            arms: Vec::new(),
            turns: Vec::new(),
            error: None,
        }
    }

    fn follow(
        &self,
        client: &mut Client<'_>,
        session: &Session<'_>,
        observer: &mut Observer<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        outcome.record.lab = client.lab_mode().map(str::to_owned);
        outcome.record.machine = Some(Machine::of(&client.info()?));
        for &arm in &self.arms {
            if let Some(kind) = session.code_behind(arm) {
                let code = client.code(kind)?;
                outcome.record.code.push(FastPath::of(arm, &code));
            }
        }
        let run = client.start(&self.load.start(&self.arms, self.workload))?;
        loop {
            if session.interrupted() && !outcome.interrupted {
                outcome.interrupted = true;
                client.stop(run)?;
            }
            let result = client.result(run)?;
            let counters = Counters::of(&result);
            let state = counters.state;
            outcome.record.counters = Some(counters);
            match state {
                Some(RunState::Running) => {}
                Some(RunState::Finished | RunState::Stopped) => break,
                None => {
                    return Err(Error::Protocol(format!(
                        "the driver calls the run's state {}",
                        result.state
                    )));
                }
            }
            observer(client, run, &result)?;
            sleep(POLL);
        }
        outcome.record.arms = self.figures(client, run)?;
        outcome.record.turns = turns(client, run)?;
        Ok(())
    }

    /// The figures of each arm, so far or final.
    ///
    /// # Errors
    /// As [`Client::arm`].
    pub fn figures(&self, client: &mut Client<'_>, run: u64) -> Result<Vec<ArmFigures>, Error> {
        let mut figures = Vec::with_capacity(self.arms.len());
        for &arm in &self.arms {
            figures.push(ArmFigures::of(arm, &client.arm(run, arm.wire())?));
        }
        Ok(figures)
    }

    /// Shows how far it is: rate, arm, round, time left.
    pub fn show(&self, result: &StressResult, progress: &Progress) {
        let duration = u64::from(self.load.duration) * 1000;
        progress.show(result.microseconds, duration, || {
            let turns_in_round = u32::try_from(self.arms.len() * 2).unwrap_or(u32::MAX);
            let round = result.turns_done / turns_in_round.max(1) + 1;
            let arm = rundown_abi::Arm::from_wire(result.arm).map_or("-", |arm| Arm::of(arm).name());
            format!(
                "{} {arm}: round {} of {}, {} acquires/s, {} generations, {} violations, {} s left",
                self.workload.name(),
                round.min(self.load.rounds),
                self.load.rounds,
                count(per_second(result.acquires, result.microseconds)),
                count(result.generations),
                result
                    .violations
                    .poisoned
                    .saturating_add(result.violations.inside),
                duration.saturating_sub(result.microseconds).div_ceil(1_000_000),
            )
        });
    }
}

impl Outcome {
    /// A run that never began.
    fn of_nothing(plan: &Plan, error: Error) -> Self {
        Self {
            record: plan.record(),
            error: Some(error),
            interrupted: false,
        }
    }
}

/// All turns that are over.
fn turns(client: &mut Client<'_>, run: u64) -> Result<Vec<Turn>, Error> {
    let mut turns = Vec::new();
    let mut first = 0;
    loop {
        let answer = client.turns(run, first)?;
        let told = answer
            .turns
            .get(..answer.count as usize)
            .ok_or_else(|| Error::Protocol(format!("the driver tells of {} turns at once", answer.count)))?;
        turns.extend(told.iter().filter_map(Turn::of));
        first += answer.count;
        if answer.count == 0 || first >= answer.done {
            return Ok(turns);
        }
    }
}
