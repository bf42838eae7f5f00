//! Acquire here, release there.
//!
//! Each holder has a place in which its neighbour parks a reference, and releases what it finds there. So the last
//! release of a generation comes from a thread that has not acquired it, on a processor whose caches know nothing of it.
//!
//! Nobody waits for a neighbour. A holder whose turn is over closes its place, and what finds no place is released by who
//! acquired it. At `DISPATCH_LEVEL`, where the owner polls until the last release, a holder takes back what its neighbour
//! has not taken for a moment: the neighbour may have no processor.

use crate::{
    ArmOf, Level, Memory, Reference, Stage, Thread, Ticket, canary::Canary, counters::Holder, storm::look,
};

/// How long a holder at `DISPATCH_LEVEL` leaves a reference to its neighbour before it takes it back, in cycles: some 3 us.
const OFFER: u64 = 10_000;

/// One holder's part in a turn.
struct Hands<'a, R: Send + Sync, M: Memory> {
    arm: &'a ArmOf<R, M>,
    stage: &'a Stage,
    reference: &'a R,
    canary: &'a Canary,
    slot: &'a Holder,
    neighbour: &'a Holder,
}

/// A holder's work until the turn is over, and until nothing is parked with it any more.
pub(crate) fn hold<R: Reference + Send, M: Memory, T: Thread>(
    arm: &ArmOf<R, M>,
    stage: &Stage,
    index: usize,
    thread: &mut T,
) {
    let (reference, canary) = arm.object();
    let slot = &arm.holders[index];
    let hands = Hands {
        arm,
        stage,
        reference,
        canary,
        slot,
        neighbour: &arm.holders[(index + 1) % arm.holders.len()],
    };
    let mut random = arm.random(stage, index);
    slot.open();
    while !stage.is_over() {
        let hold = random.up_to(arm.plan.hold_cycles);
        let granted = match arm.plan.waiter {
            Level::Dispatch => thread.at_dispatch_level(|| hands.work::<T>(hold, OFFER)),
            Level::Passive | Level::Apc => hands.work::<T>(hold, u64::MAX),
        };
        slot.count(granted);
        if !granted {
            T::pause();
        }
    }
    let close = || {
        while !slot.close() {
            hands.release_parked::<T>();
        }
    };
    match arm.plan.waiter {
        Level::Dispatch => thread.at_dispatch_level(close),
        Level::Passive | Level::Apc => close(),
    }
}

impl<R: Reference + Send, M: Memory> Hands<'_, R, M> {
    /// Releases what is parked, acquires, and parks that; whether protection was granted.
    fn work<T: Thread>(&self, hold: u64, offer: u64) -> bool {
        self.release_parked::<T>();
        let Some(ticket) = Ticket::take(self.reference, 1) else {
            return false;
        };
        self.slot.enter();
        look(self.canary, self.slot, || self.stage.spin::<T>(hold));
        // Before it is parked: the neighbour may release it at once, and the owner would find this holder inside after its wait.
        self.slot.leave(T::cycles());
        if !self.may_cross() || !self.neighbour.park() {
            self.reference.release(ticket);
            return true;
        }
        ticket.leave();
        if offer < u64::MAX {
            self.await_neighbour::<T>(offer);
        }
        true
    }

    /// Whether a reference that was granted may be released on another processor.
    fn may_cross(&self) -> bool {
        R::RELEASED_ANYWHERE || !self.arm.owner.is_renewing()
    }

    /// Takes what was parked with the neighbour back and releases it, unless the neighbour takes it within `offer` cycles.
    fn await_neighbour<T: Thread>(&self, offer: u64) {
        let start = T::cycles();
        while self.neighbour.has_parked() && T::cycles().wrapping_sub(start) < offer {
            self.release_parked::<T>();
            T::pause();
        }
        if self.neighbour.take_back() {
            self.slot.enter();
            look(self.canary, self.slot, || ());
            self.slot.leave(T::cycles());
            self.reference.release(Ticket::found());
        }
    }

    /// Releases the reference that lies in this holder's place, if there is one.
    fn release_parked<T: Thread>(&self) {
        if self.slot.take() {
            look(self.canary, self.slot, || ());
            // Before the release: from then on nothing lies here.
            self.slot.clear(T::cycles());
            self.reference.release(Ticket::found());
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::boxed::Box;

    use ex_rundown::WayOut;

    use super::*;
    use crate::{
        Workload,
        script::{Clock, Heap, KEPT_EMPTY, plan},
    };

    /// Counts what is released.
    #[derive(Default)]
    struct Grants<const ANYWHERE: bool>(AtomicU64);

    impl<const ANYWHERE: bool> Reference for Grants<ANYWHERE> {
        const RELEASED_ANYWHERE: bool = ANYWHERE;

        fn acquire(&self, _count: u32) -> bool {
            true
        }
        fn release(&self, ticket: Ticket) {
            assert_eq!(ticket.count(), 1);
            self.0.fetch_add(1, Relaxed);
        }
        fn run_down(&self) -> Option<WayOut> {
            None
        }
        fn complete(&self) {}
        fn reinitialize(&self) {}
        fn word(&self) -> Option<usize> {
            None
        }
    }

    fn arm<const ANYWHERE: bool>() -> ArmOf<Grants<ANYWHERE>, Heap> {
        ArmOf::new(plan(Workload::HandOff, 2), || Some(Grants::default())).unwrap()
    }

    /// Holder `index` of `arm`.
    fn hands<'a, const ANYWHERE: bool>(
        arm: &'a ArmOf<Grants<ANYWHERE>, Heap>,
        stage: &'a Stage,
        index: usize,
    ) -> Hands<'a, Grants<ANYWHERE>, Heap> {
        let (reference, canary) = arm.object();
        Hands {
            arm,
            stage,
            reference,
            canary,
            slot: &arm.holders[index],
            neighbour: &arm.holders[1 - index],
        }
    }

    /// What was released, and where each of the two holders is.
    fn state<const ANYWHERE: bool>(arm: &ArmOf<Grants<ANYWHERE>, Heap>) -> (u64, [bool; 2]) {
        let released = arm.object().0.0.load(Relaxed);
        (released, [arm.holders[0].is_inside(), arm.holders[1].is_inside()])
    }

    #[test]
    fn a_reference_is_released_by_the_neighbour() {
        let (arm, stage) = (arm::<true>(), Stage::new());
        let [one, other] = [hands(&arm, &stage, 0), hands(&arm, &stage, 1)];
        other.slot.open();
        assert!(one.work::<Clock>(0, u64::MAX));
        assert_eq!(state(&arm), (0, [false, true]));
        other.release_parked::<Clock>();
        assert_eq!(state(&arm), (1, [false, false]));
        assert!(other.slot.left() > one.slot.left());
        other.release_parked::<Clock>();
        assert_eq!(state(&arm), (1, [false, false]), "once");
    }

    /// Otherwise the neighbour could release it, and the owner find this holder inside after its wait. A holder looks at the
    /// clock when it leaves.
    #[test]
    fn a_holder_has_left_before_its_reference_is_parked() {
        let arm: &'static _ = Box::leak(Box::new(arm::<true>()));
        let stage = Stage::new();
        arm.holders[1].open();
        KEPT_EMPTY.set(Some(&arm.holders[1]));
        assert!(hands(arm, &stage, 0).work::<Clock>(0, u64::MAX));
        assert_eq!(state(arm), (0, [false, true]));
    }

    #[test]
    fn a_place_has_room_for_one() {
        let (arm, stage) = (arm::<true>(), Stage::new());
        let [one, other] = [hands(&arm, &stage, 0), hands(&arm, &stage, 1)];
        other.slot.open();
        assert!(one.work::<Clock>(0, u64::MAX) && one.work::<Clock>(0, u64::MAX));
        assert_eq!(state(&arm), (1, [false, true]));
    }

    #[test]
    fn a_place_that_is_closed_takes_nothing() {
        let (arm, stage) = (arm::<true>(), Stage::new());
        let [one, other] = [hands(&arm, &stage, 0), hands(&arm, &stage, 1)];
        assert!(one.work::<Clock>(0, u64::MAX), "before the neighbour's turn");
        assert_eq!(state(&arm), (1, [false, false]));
        other.slot.open();
        assert!(one.work::<Clock>(0, u64::MAX));
        assert!(!other.slot.close(), "it has a reference to release first");
        other.release_parked::<Clock>();
        assert!(other.slot.close());
        assert!(one.work::<Clock>(0, u64::MAX), "after the neighbour's turn");
        assert_eq!(state(&arm), (3, [false, false]));
    }

    #[test]
    fn a_holder_leaves_nothing_behind_when_its_turn_is_over() {
        let (arm, stage) = (arm::<true>(), Stage::new());
        let other = hands(&arm, &stage, 1);
        other.slot.open();
        assert!(hands(&arm, &stage, 0).work::<Clock>(0, u64::MAX));
        assert!(stage.is_over());
        hold(&arm, &stage, 1, &mut Clock);
        assert_eq!(state(&arm), (1, [false, false]));
    }

    #[test]
    fn an_offer_is_taken_back() {
        let (arm, stage) = (arm::<true>(), Stage::new());
        let [one, other] = [hands(&arm, &stage, 0), hands(&arm, &stage, 1)];
        other.slot.open();
        let begin = Clock::cycles();
        assert!(one.work::<Clock>(0, 50));
        assert_eq!(state(&arm), (1, [false, false]));
        assert!(
            (50..100).contains(&(Clock::cycles() - begin)),
            "it waits for as long as it says"
        );
        other.release_parked::<Clock>();
        assert_eq!(state(&arm), (1, [false, false]), "there is nothing any more");
    }

    #[test]
    fn who_waits_for_the_neighbour_releases_what_lies_with_itself() {
        let (arm, stage) = (arm::<true>(), Stage::new());
        let [one, other] = [hands(&arm, &stage, 0), hands(&arm, &stage, 1)];
        one.slot.open();
        other.slot.open();
        assert!(one.work::<Clock>(0, u64::MAX));
        assert!(other.neighbour.park());
        one.await_neighbour::<Clock>(50);
        assert_eq!(state(&arm), (2, [false, false]));
    }

    #[test]
    fn what_is_granted_during_a_re_initialisation_is_released_where_it_was_acquired_if_need_be() {
        let stage = Stage::new();
        assert_eq!(during_a_re_initialisation::<true>(&stage), (0, [false, true]));
        assert_eq!(during_a_re_initialisation::<false>(&stage), (1, [false, false]));
    }

    fn during_a_re_initialisation<const ANYWHERE: bool>(stage: &Stage) -> (u64, [bool; 2]) {
        let arm = arm::<ANYWHERE>();
        let one = hands(&arm, stage, 0);
        arm.holders[1].open();
        arm.owner.renew(|| assert!(one.work::<Clock>(0, u64::MAX)));
        let meanwhile = state(&arm);
        if !ANYWHERE {
            assert!(
                one.work::<Clock>(0, u64::MAX) && arm.holders[1].has_parked(),
                "afterwards"
            );
        }
        meanwhile
    }
}
