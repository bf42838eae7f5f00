//! Acquire and release, with nobody who runs the object down: alone, among others, and refused.

use crate::{ArmOf, Memory, Reference, Stage, Thread, Ticket, sampler::Sampler};

/// Holder `index` works on object `object` until the turn is over.
///
/// As little as possible stands beside the two operations, which are what is measured. The canary is looked at when
/// the object is run down: then nothing may be granted.
pub(crate) fn hold<R: Reference + Send, M: Memory, T: Thread>(
    arm: &ArmOf<R, M>,
    stage: &Stage,
    index: usize,
    object: usize,
) {
    let (reference, canary) = arm.objects.get(object);
    let slot = &arm.holders[index];
    let histogram = arm.operations(index);
    let mut random = arm.random(stage, index);
    let mut sampler = Sampler::new();
    while !stage.is_over() {
        let hold = match arm.plan.hold_cycles {
            0 => 0,
            most => random.up_to(most),
        };
        let measured = sampler.next(stage);
        let stamp = || if measured { T::cycles() } else { 0 };

        let start = stamp();
        let ticket = Ticket::take(reference, 1);
        let acquired = stamp();
        slot.count(ticket.is_some());
        let mut cycles = acquired.wrapping_sub(start);
        match ticket {
            Some(ticket) if canary.generation().is_none() => {
                slot.poisoned.count();
                // A reference that should not be granted is not one to give back.
                ticket.leave();
            }
            Some(ticket) => {
                if hold > 0 {
                    stage.spin::<T>(hold);
                }
                let leaving = stamp();
                reference.release(ticket);
                cycles = cycles.wrapping_add(stamp().wrapping_sub(leaving));
            }
            None => T::pause(),
        }
        if measured {
            histogram.record(cycles);
        }
    }
}
