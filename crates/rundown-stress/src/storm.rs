//! Acquire, hold, release, against an owner that runs the object down.

use crate::{
    ArmOf, Histogram, Level, Memory, Reference, Stage, Thread, Ticket, Workload, canary::Canary,
    counters::Holder, sampler::Sampler,
};

/// One attempt of a holder, wherever it runs.
struct Attempt<'a, R> {
    stage: &'a Stage,
    reference: &'a R,
    canary: &'a Canary,
    slot: &'a Holder,
    histogram: Histogram<'a>,
    hold: u64,
    measured: bool,
}

/// A holder's work until the turn is over.
pub(crate) fn hold<R: Reference + Send, M: Memory, T: Thread>(
    arm: &ArmOf<R, M>,
    stage: &Stage,
    index: usize,
    thread: &mut T,
) {
    let (reference, canary) = arm.object();
    let slot = &arm.holders[index];
    let mut random = arm.random(stage, index);
    let mut sampler = Sampler::new();
    while !stage.is_over() {
        let attempt = Attempt {
            stage,
            reference,
            canary,
            slot,
            histogram: arm.operations(index),
            hold: random.up_to(arm.plan.hold_cycles),
            measured: sampler.next(stage),
        };
        let granted = match (arm.plan.workload, arm.plan.waiter) {
            (Workload::Dpcs, _) => thread.in_dpc(|| attempt.make::<T>()),
            (_, Level::Dispatch) => thread.at_dispatch_level(|| attempt.make::<T>()),
            _ => attempt.make::<T>(),
        };
        slot.count(granted);
        if !granted {
            T::pause();
        }
    }
}

impl<R: Reference> Attempt<'_, R> {
    /// Makes it; whether protection was granted.
    fn make<T: Thread>(&self) -> bool {
        let start = self.stamp::<T>();
        let ticket = Ticket::take(self.reference, 1);
        let acquired = self.stamp::<T>();
        let mut cycles = acquired.wrapping_sub(start);
        let granted = ticket.is_some();
        if let Some(ticket) = ticket {
            self.slot.enter();
            look(self.canary, self.slot, || self.stage.spin::<T>(self.hold));
            let leaving = T::cycles();
            self.slot.leave(leaving);
            self.reference.release(ticket);
            cycles = cycles.wrapping_add(self.stamp::<T>().wrapping_sub(leaving));
        }
        if self.measured {
            self.histogram.record(cycles);
        }
        granted
    }

    fn stamp<T: Thread>(&self) -> u64 {
        if self.measured { T::cycles() } else { 0 }
    }
}

/// Looks at the canary before and after `hold`: both times it has to be that of one living object.
pub(crate) fn look(canary: &Canary, slot: &Holder, hold: impl FnOnce()) {
    let before = canary.generation();
    hold();
    let after = canary.generation();
    if before.is_none() || before != after {
        slot.poisoned.count();
    }
}
