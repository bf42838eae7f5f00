//! Stress: starts a run, tells how far it is, stops it. One at a time per device.

mod active_run;
mod answer;
mod arms;
mod crew;
mod references;

use ex_rundown::AtMostApcLevel;
use rundown_abi::{
    Arm, Header, Refusal, StressArmQuery, StressArmResult, StressQuery, StressResult, StressStart,
    StressStarted, StressTurns, StressTurnsQuery, Waiter, Workload,
};
use wdk_sys::{NTSTATUS, WDFOBJECT};

use self::{active_run::ActiveRun, crew::Crew};
use crate::kernel::{PoolArc, WaitLock, clock, parameters, processors, verifier};

/// The device's run.
pub(crate) struct Stress(WaitLock<Slot>);

/// The run, and the number of the last one.
struct Slot {
    last: u64,
    run: Option<ActiveRun>,
    /// The device is gone.
    removed: bool,
}

impl Stress {
    /// No run, in a lock that is deleted with `device`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// What the framework answers.
    pub(crate) fn new(device: WDFOBJECT) -> Result<Self, NTSTATUS> {
        let slot = Slot {
            last: 0,
            run: None,
            removed: false,
        };
        WaitLock::new(device, slot).map(Self)
    }

    /// Starts a run, in the place of the one before. Refused, it changes nothing.
    pub(crate) fn start(
        &self,
        level: &AtMostApcLevel,
        file: WDFOBJECT,
        start: &StressStart,
    ) -> Result<StressStarted, Refusal> {
        // Measured before the lock, and anew for each run: a machine that slept may have restarted the counter.
        let cycle_frequency = clock::cycle_frequency();
        let limits = parameters::limits(cycle_frequency);
        start.check_against(&limits)?;
        let mut slot = self.0.lock(level);
        slot.present()?;
        check_machine(start)?;
        let plan = crew::plan(start, cycle_frequency)?;
        if crew::bytes(start, &plan) > limits.bytes as usize {
            return Err(Refusal::Bytes);
        }
        if slot.run.as_ref().is_some_and(|run| run.crew.is_at_work()) {
            return Err(Refusal::Busy);
        }
        let number = slot.last + 1;
        // Before the crew, with which the run begins: from then on nothing may fail.
        let room = PoolArc::room().ok_or(Refusal::Resources)?;
        let crew = room.fill(Crew::start(number, start, plan, cycle_frequency)?);
        slot.last = number;
        slot.run = Some(ActiveRun {
            number,
            file,
            arms: start.arms,
            stopped: false,
            crew,
        });
        Ok(StressStarted {
            header: Header::of::<StressStarted>(),
            run: number,
        })
    }

    /// How far a run is, and the sums over its arms.
    pub(crate) fn result(
        &self,
        level: &AtMostApcLevel,
        file: WDFOBJECT,
        query: &StressQuery,
    ) -> Result<StressResult, Refusal> {
        let mut slot = self.0.lock(level);
        slot.find(file, query.run).map(|run| answer::result(run))
    }

    /// One arm's figures.
    pub(crate) fn arm(
        &self,
        level: &AtMostApcLevel,
        file: WDFOBJECT,
        query: &StressArmQuery,
    ) -> Result<StressArmResult, Refusal> {
        let arm = Arm::from_wire(query.arm).ok_or(Refusal::Arm)?;
        let mut slot = self.0.lock(level);
        answer::arm(slot.find(file, query.run)?, arm).ok_or(Refusal::Arm)
    }

    /// The turns that are over.
    pub(crate) fn turns(
        &self,
        level: &AtMostApcLevel,
        file: WDFOBJECT,
        query: &StressTurnsQuery,
    ) -> Result<StressTurns, Refusal> {
        let mut slot = self.0.lock(level);
        slot.find(file, query.run)
            .map(|run| answer::turns(run, query.first))
    }

    /// Stops a run and waits for its threads; its counters stay.
    pub(crate) fn stop(
        &self,
        level: &AtMostApcLevel,
        file: WDFOBJECT,
        query: &StressQuery,
    ) -> Result<(), Refusal> {
        let crew = {
            let mut slot = self.0.lock(level);
            let run = slot.find(file, query.run)?;
            run.stopped |= run.crew.is_at_work();
            run.stop()
        };
        // Without the lock: a wait that never ends is to be seen by another request.
        crew.join();
        Ok(())
    }

    /// A handle is closed: the run that it started ends.
    pub(crate) fn close(&self, level: &AtMostApcLevel, file: WDFOBJECT) {
        self.end(level, |run| run.file == file);
    }

    /// The device is gone: its run ends, whoever started it, and none starts any more.
    pub(crate) fn remove(&self, level: &AtMostApcLevel) {
        // A start under way holds the lock until its run can be found below.
        self.0.lock(level).removed = true;
        self.end(level, |_| true);
    }

    fn end(&self, level: &AtMostApcLevel, concerned: impl FnOnce(&ActiveRun) -> bool) {
        let (number, crew) = {
            let slot = self.0.lock(level);
            match &slot.run {
                Some(run) if concerned(run) => (run.number, run.stop()),
                _ => return,
            }
        };
        // Without the lock, see `stop`. Until its threads are gone the run is there, and another is refused.
        crew.join();
        let mut slot = self.0.lock(level);
        if slot.run.as_ref().is_some_and(|run| run.number == number) {
            slot.run = None;
        }
    }
}

impl Slot {
    /// Refused when the device was removed.
    fn present(&self) -> Result<(), Refusal> {
        if self.removed {
            Err(Refusal::Removed)
        } else {
            Ok(())
        }
    }

    fn find(&mut self, file: WDFOBJECT, number: u64) -> Result<&mut ActiveRun, Refusal> {
        self.present()?;
        self.run
            .as_mut()
            .filter(|run| run.file == file && run.number == number)
            .ok_or(Refusal::NoSuchRun)
    }
}

/// What only the machine can judge about a start.
fn check_machine(start: &StressStart) -> Result<(), Refusal> {
    let has_owner = Workload::from_wire(start.workload).is_some_and(Workload::has_owner);
    let at_dispatch = has_owner && start.waiter == Waiter::Dispatch as u32;
    let native = Arm::of_set(start.arms).any(Arm::is_native);
    if at_dispatch && native && verifier::checks_this_driver() {
        return Err(Refusal::NativeUnderVerifier);
    }
    if (at_dispatch || start.workload == Workload::Dpcs as u32) && processors::active() < 2 {
        return Err(Refusal::OneProcessor);
    }
    Ok(())
}
