//! Run-down after run-down.

use ex_rundown::WayOut;

use crate::{ArmOf, Level, Memory, Reference, Stage, Thread, counters::Holder};

/// How many gaps the owner waits for a holder before it runs the object down anyway.
const PATIENCE: u64 = 64;
/// How long it looks for one before it lets the threads of its processor run, who may be the holders, in cycles.
const GLANCE: u64 = 10_000;

/// Generation after generation until the turn is over. The object is live at the beginning and at the end.
pub(crate) fn own<R: Reference + Send, M: Memory, T: Thread>(
    arm: &ArmOf<R, M>,
    stage: &Stage,
    thread: &mut T,
) {
    let (reference, canary) = arm.object();
    let owner = &arm.owner;
    let mut random = arm.random(stage, arm.plan.holders);
    while !stage.is_over() {
        stage.spin::<T>(random.up_to(arm.plan.gap_cycles));
        // Every other time on average, only with a holder inside: a wait that finds nobody is over at once.
        if random.up_to(1) == 1 {
            await_holder::<R, M, T>(arm, stage);
        }
        let held = arm.is_held();
        let start = T::cycles();
        // Zero means that it does not wait.
        owner.wait_since(start.max(1));
        let way_out = match arm.plan.waiter {
            Level::Passive => reference.run_down(),
            Level::Apc => thread.at_apc_level(|| reference.run_down()),
            Level::Dispatch => thread.at_dispatch_level(|| reference.run_down()),
        };
        let end = T::cycles();
        owner.wait_since(0);
        if arm.is_held() {
            owner.inside.count();
        }
        canary.poison();
        reference.complete();
        if let Some(way_out) = way_out {
            owner.way_out(way_out);
        }
        if way_out.map_or(held, |way_out| way_out != WayOut::Drained) {
            owner.contested.count();
            let left = arm.holders.iter().map(Holder::left).max().unwrap_or(0);
            // Who left before the wait began has handed nothing over.
            if left >= start && stage.is_measured() {
                arm.hand_overs().record(end.saturating_sub(left));
            }
        }
        // Dead for a while, so that a holder who should not be here has time to see it.
        stage.spin::<T>(random.up_to(arm.plan.gap_cycles / 4));
        canary.revive(owner.generations.get() + 1);
        owner.renew(|| reference.reinitialize());
        owner.generations.count();
    }
}

/// Waits for a holder to be inside, for a while: holders may be starved by what else the machine does.
fn await_holder<R: Reference + Send, M: Memory, T: Thread>(arm: &ArmOf<R, M>, stage: &Stage) {
    let patience = u64::from(arm.plan.gap_cycles) * PATIENCE;
    let start = T::cycles();
    let mut glance = start;
    loop {
        let now = T::cycles();
        if arm.is_held() || stage.is_over() || now.wrapping_sub(start) >= patience {
            return;
        }
        if now.wrapping_sub(glance) < GLANCE {
            T::pause();
        } else {
            T::give_way();
            glance = T::cycles();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{sync::Mutex, vec::Vec};

    use super::*;
    use crate::{
        Arm, Ticket, Workload,
        script::{Clock, GIVEN_WAY, Heap, plan},
    };

    /// What happens while the owner calls the reference, and when it did.
    struct Subject {
        stage: Stage,
        /// How many generations there are to be.
        generations: usize,
        /// When each generation was completed, and when it was live again.
        deaths: Mutex<Vec<(u64, u64)>>,
    }

    impl Reference for &'static Subject {
        const RELEASED_ANYWHERE: bool = true;

        fn acquire(&self, _count: u32) -> bool {
            false
        }
        fn release(&self, _ticket: Ticket) {}
        fn run_down(&self) -> Option<WayOut> {
            Some(WayOut::Event)
        }
        fn complete(&self) {
            self.deaths.lock().unwrap().push((Clock::cycles(), 0));
        }
        fn reinitialize(&self) {
            let mut deaths = self.deaths.lock().unwrap();
            deaths.last_mut().unwrap().1 = Clock::cycles();
            if deaths.len() == self.generations {
                self.stage.end();
            }
        }
        fn word(&self) -> Option<usize> {
            None
        }
    }

    fn subject(generations: usize) -> &'static Subject {
        let subject = std::boxed::Box::leak(std::boxed::Box::new(Subject {
            stage: Stage::new(),
            generations,
            deaths: Mutex::default(),
        }));
        subject.stage.begin(0);
        subject
    }

    /// An arm whose owner has had its turn.
    fn owned(subject: &'static Subject) -> ArmOf<&'static Subject, Heap> {
        let arm = ArmOf::new(plan(Workload::Storm, 1), || Some(subject)).unwrap();
        own(&arm, &subject.stage, &mut Clock);
        arm
    }

    #[test]
    fn each_generation_is_another_and_dies_for_a_while() {
        let subject = subject(50);
        let arm = owned(subject);
        assert_eq!(arm.tally().generations, 50);
        assert_eq!(arm.object().1.generation(), Some(50));
        let dead: Vec<u64> = subject
            .deaths
            .lock()
            .unwrap()
            .iter()
            .map(|(from, to)| to - from)
            .collect();
        // A quarter of the gap, and the looks at the clock around it.
        let (shortest, longest) = (dead.iter().min().unwrap(), dead.iter().max().unwrap());
        assert!((50..110).contains(longest) && *shortest < 50, "{dead:?}");
    }

    #[test]
    fn the_first_generation_is_not_the_one_before() {
        assert_eq!(owned(subject(1)).object().1.generation(), Some(1));
    }

    #[test]
    fn nobody_is_awaited_for_ever() {
        let subject = subject(1);
        let arm: ArmOf<_, Heap> = ArmOf::new(plan(Workload::Storm, 1), || Some(subject)).unwrap();
        let lasts = || {
            let begin = Clock::cycles();
            GIVEN_WAY.set(0);
            await_holder::<_, _, Clock>(&arm, &subject.stage);
            (Clock::cycles() - begin, GIVEN_WAY.get())
        };
        let patience = 400 * PATIENCE;
        let (cycles, given_way) = lasts();
        assert!((patience..patience + 10).contains(&cycles), "{cycles}");
        assert_eq!(given_way, 2, "once per glance");
        arm.holders[0].enter();
        assert!(lasts().0 < 5, "a holder is inside");
        arm.holders[0].leave(0);
        subject.stage.end();
        assert!(lasts().0 < 5, "the turn is over");
    }
}
