//! Acquire here, release there.
//!
//! Each holder has a place in which its neighbour parks a reference, and releases what it finds there. So the last
//! release of a generation comes from a thread that has not acquired it, on a processor whose caches know nothing of it.

use crate::{
    ArmOf, Level, Memory, Reference, Stage, Thread, Ticket, canary::Canary, counters::Holder, storm::look,
};

/// A holder's work until the turn is over, and until nothing is parked any more.
pub(crate) fn hold<R: Reference + Send, M: Memory, T: Thread>(
    arm: &ArmOf<R, M>,
    stage: &Stage,
    index: usize,
    thread: &mut T,
) {
    let (reference, canary) = arm.object();
    let slot = &arm.holders[index];
    let neighbour = &arm.holders[(index + 1) % arm.holders.len()];
    let mut random = arm.random(stage, index);
    while !stage.is_over() {
        let hold = random.up_to(arm.plan.hold_cycles);
        let work = || {
            release_parked::<R, T>(reference, canary, slot);
            acquire::<R, T>(reference, canary, slot, neighbour, hold)
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
    stage.stop_acquiring();
    // The owner may wait for what the neighbour parks here last.
    while stage.is_anyone_acquiring() {
        release_parked::<R, T>(reference, canary, slot);
        T::pause();
    }
    release_parked::<R, T>(reference, canary, slot);
}

/// Acquires, and parks the reference with the neighbour, or releases it when there is no room.
fn acquire<R: Reference, T: Thread>(
    reference: &R,
    canary: &Canary,
    slot: &Holder,
    neighbour: &Holder,
    hold: u64,
) -> bool {
    let Some(ticket) = Ticket::take(reference, 1) else {
        return false;
    };
    slot.enter();
    look(canary, slot, || T::spin(hold));
    // Before it is parked: the neighbour may release it at once, and the owner would find this holder inside after its wait.
    slot.leave(T::cycles());
    if neighbour.park() {
        ticket.leave();
    } else {
        reference.release(ticket);
    }
    true
}

/// Releases the reference that lies in this holder's place, if there is one.
fn release_parked<R: Reference, T: Thread>(reference: &R, canary: &Canary, slot: &Holder) {
    if slot.has_parked() {
        slot.enter();
        look(canary, slot, || ());
        slot.leave(T::cycles());
        // Before the release: from then on nothing lies here.
        slot.unpark();
        reference.release(Ticket::found());
    }
}

#[cfg(test)]
mod tests {
    use ex_rundown::WayOut;

    use super::{Canary, Holder, Reference, Thread, Ticket, acquire};

    static NEIGHBOUR: Holder = Holder::new();

    struct Grants;

    impl Reference for Grants {
        fn acquire(&self, _count: u32) -> bool {
            true
        }
        fn release(&self, _ticket: Ticket) {}
        fn run_down(&self) -> Option<WayOut> {
            None
        }
        fn complete(&self) {}
        fn reinitialize(&self) {}
        fn word(&self) -> Option<usize> {
            None
        }
    }

    struct Clock;

    impl Thread for Clock {
        fn cycles() -> u64 {
            assert!(!NEIGHBOUR.has_parked(), "it leaves after it has parked");
            7
        }
        fn nanoseconds() -> u64 {
            0
        }
        fn pause() {}
        fn at_apc_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
            body()
        }
        fn at_dispatch_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
            body()
        }
        fn in_dpc<R: Send>(&mut self, body: impl FnOnce() -> R + Send) -> R {
            body()
        }
    }

    /// Otherwise the neighbour could release it, and the owner find this holder inside after its wait.
    #[test]
    fn a_holder_has_left_before_its_reference_is_parked() {
        let slot = Holder::new();
        assert!(acquire::<_, Clock>(&Grants, &Canary::new(), &slot, &NEIGHBOUR, 0));
        assert!(NEIGHBOUR.has_parked());
        assert!(!slot.is_inside());
        assert_eq!(slot.left(), 7);
    }
}
