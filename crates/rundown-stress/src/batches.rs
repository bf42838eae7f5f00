//! Many references at once, given back in two parts.

use crate::{ArmOf, Level, Memory, Reference, Stage, Thread, Ticket, sampler::Sampler, storm::look};

/// A holder's work until the turn is over.
pub(crate) fn hold<R: Reference + Send, M: Memory, T: Thread>(
    arm: &ArmOf<R, M>,
    stage: &Stage,
    index: usize,
    thread: &mut T,
) {
    let (reference, canary) = arm.object();
    let slot = &arm.holders[index];
    let histogram = arm.operations(index);
    let mut random = arm.random(stage, index);
    let mut sampler = Sampler::new();
    while !stage.is_over() {
        let hold = random.up_to(arm.plan.hold_cycles);
        #[expect(clippy::cast_possible_truncation, reason = "at most the batch, a u32")]
        let first = random.up_to(arm.plan.batch) as u32;
        let measured = sampler.next(stage);
        let work = || {
            let start = T::cycles();
            let ticket = Ticket::take(reference, arm.plan.batch);
            let mut cycles = T::cycles().wrapping_sub(start);
            let granted = ticket.is_some();
            if let Some(ticket) = ticket {
                slot.enter();
                let (one, other) = ticket.split(first);
                let mut leaving = 0;
                // Between the two parts it is the same object still.
                look(canary, slot, || {
                    stage.spin::<T>(hold);
                    leaving = T::cycles();
                    if let Some(other) = other {
                        reference.release(other);
                    }
                });
                slot.leave(T::cycles());
                reference.release(one);
                cycles = cycles.wrapping_add(T::cycles().wrapping_sub(leaving));
            }
            if measured {
                histogram.record(cycles);
            }
            granted
        };
        let granted = match arm.plan.waiter {
            Level::Dispatch => thread.at_dispatch_level(work),
            Level::Passive | Level::Apc => work(),
        };
        slot.count(granted);
        if !granted {
            T::pause();
        }
    }
}
