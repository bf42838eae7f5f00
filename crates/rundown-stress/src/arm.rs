//! One arm: an implementation's objects, its counters, and its part in a turn.

use core::sync::atomic::AtomicU64;

use crate::{
    Histogram, Latency, Memory, Plan, Reference, Stage, Tally, Thread, Waiting, Workload, batches,
    canary::Canary,
    counters::{Holder, Owner},
    hand_off,
    objects::Objects,
    owner, pairs,
    random::Random,
    storm,
};

/// An arm of a run, whatever implements its references.
pub trait Arm: Send + Sync {
    /// The work of holder number `index` in a turn.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    ///
    /// # Panics
    /// When there is no such holder.
    fn hold<T: Thread>(&self, stage: &Stage, index: usize, thread: &mut T);

    /// The work of the owner in a turn of a [workload that has one](Workload::has_owner).
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn own<T: Thread>(&self, stage: &Stage, thread: &mut T);

    /// The counters at this moment. They are exact when the threads are gone.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn tally(&self) -> Tally;

    /// What operations take without the hold, in cycles: an acquire and its release, or a refusal.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn operation(&self) -> Latency;

    /// From the moment before the last release until the wait has returned, in cycles, of waits that found a holder.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn hand_over(&self) -> Latency;

    /// The wait that is going on.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn waiting(&self) -> Option<Waiting>;
}

/// An arm over references of type `R`.
pub struct ArmOf<R: Send + Sync, M: Memory> {
    pub(crate) plan: Plan,
    pub(crate) objects: Objects<R, M>,
    pub(crate) holders: M::Slice<Holder>,
    pub(crate) owner: Owner,
    /// A histogram per holder, then the owner's.
    cells: M::Slice<AtomicU64>,
}

impl<R: Reference + Send, M: Memory> ArmOf<R, M> {
    /// An arm for `plan`, over as many references as that needs; `None` when memory is short, or `reference` gives none.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as the references'.
    pub fn new(plan: Plan, reference: impl FnMut() -> Option<R>) -> Option<Self> {
        let arm = Self {
            plan,
            objects: Objects::new(objects(&plan), plan.false_sharing, reference)?,
            holders: M::slice(plan.holders, |_| Some(Holder::new()))?,
            owner: Owner::new(),
            cells: M::slice(cells(&plan), |_| Some(AtomicU64::new(0)))?,
        };
        if plan.workload == Workload::Refused {
            let (reference, canary) = arm.object();
            reference.run_down();
            canary.poison();
        }
        Some(arm)
    }

    /// How many references an arm makes for `plan`.
    #[must_use]
    pub const fn references(plan: &Plan) -> usize {
        objects(plan)
    }

    /// How many bytes an arm allocates for `plan`, without what each reference allocates by itself.
    #[must_use]
    pub fn bytes(plan: &Plan) -> usize {
        size_of::<Self>()
            + Objects::<R, M>::bytes(objects(plan), plan.false_sharing)
            + plan.holders * size_of::<Holder>()
            + cells(plan) * size_of::<AtomicU64>()
    }

    /// The one object of workloads that share one.
    pub(crate) fn object(&self) -> (&R, &Canary) {
        self.objects.get(0)
    }

    /// The histogram of a holder's operations.
    pub(crate) fn operations(&self, holder: usize) -> Histogram<'_> {
        self.histogram(holder)
    }

    /// The histogram of the owner's waits.
    pub(crate) fn hand_overs(&self) -> Histogram<'_> {
        self.histogram(self.plan.holders)
    }

    fn histogram(&self, index: usize) -> Histogram<'_> {
        Histogram::new(&self.cells[index * Histogram::CELLS..][..Histogram::CELLS])
    }

    /// The random times of a holder in a turn; the owner's come after those of the last holder.
    pub(crate) fn random(&self, stage: &Stage, index: usize) -> Random {
        let stream = u64::from(stage.turn()) << 32 | index as u64;
        Random::new(self.plan.seed, stream)
    }

    /// Whether a holder is inside, or a reference is parked.
    pub(crate) fn is_held(&self) -> bool {
        self.holders.iter().any(Holder::is_inside)
    }

    /// Which holders are, a bit each; those beyond the 64th have none.
    fn inside(&self) -> u64 {
        let bits = self.holders.iter().zip((0..u64::BITS).map(|index| 1 << index));
        bits.filter(|(holder, _)| holder.is_inside())
            .fold(0, |set, (_, bit)| set | bit)
    }
}

/// How many objects a plan needs.
const fn objects(plan: &Plan) -> usize {
    match plan.workload {
        Workload::Uncontended => plan.holders,
        _ => 1,
    }
}

/// How many cells the histograms of a plan need.
const fn cells(plan: &Plan) -> usize {
    (plan.holders + 1) * Histogram::CELLS
}

impl<R: Reference + Send, M: Memory> Arm for ArmOf<R, M> {
    fn hold<T: Thread>(&self, stage: &Stage, index: usize, thread: &mut T) {
        match self.plan.workload {
            Workload::Uncontended => pairs::hold::<R, M, T>(self, stage, index, index),
            Workload::Contended | Workload::Refused => pairs::hold::<R, M, T>(self, stage, index, 0),
            Workload::Storm | Workload::Dpcs => storm::hold(self, stage, index, thread),
            Workload::HandOff => hand_off::hold(self, stage, index, thread),
            Workload::Batches => batches::hold(self, stage, index, thread),
        }
    }

    fn own<T: Thread>(&self, stage: &Stage, thread: &mut T) {
        owner::own(self, stage, thread);
    }

    fn tally(&self) -> Tally {
        let sum = |field: fn(&Holder) -> u64| self.holders.iter().map(field).sum();
        Tally {
            acquires: sum(|holder| holder.acquires.get()),
            refused: sum(|holder| holder.refused.get()),
            generations: self.owner.generations.get(),
            contested: self.owner.contested.get(),
            waits: self.owner.waits(),
            poisoned: sum(|holder| holder.poisoned.get()),
            inside: self.owner.inside.get(),
        }
    }

    fn operation(&self) -> Latency {
        Histogram::summarize(&(0..self.plan.holders).map(|index| self.operations(index)))
    }

    fn hand_over(&self) -> Latency {
        Histogram::summarize(&core::iter::once(self.hand_overs()))
    }

    fn waiting(&self) -> Option<Waiting> {
        let since = self.owner.waiting_since();
        let (reference, _) = self.object();
        (since != 0).then(|| Waiting {
            since,
            generation: self.owner.generations.get(),
            holders: self.inside(),
            object: core::ptr::from_ref(reference).addr(),
            word: reference.word(),
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{boxed::Box, sync::Mutex, vec::Vec};

    use ex_rundown::WayOut;

    use super::*;
    use crate::{
        Level, Ticket,
        script::{Clock, EMPTY_BELOW, Heap, PAUSES, PLACE, Place, now, plan},
    };

    /// A call of a reference: where, and when.
    type Call = (Place, u64);

    /// Notes its calls, and ends the turn after some.
    struct Subject {
        stage: Stage,
        grants: bool,
        /// Acquires and run-downs that are left.
        left: Mutex<u32>,
        acquires: Mutex<Vec<Call>>,
        releases: Mutex<Vec<Call>>,
        run_downs: Mutex<Vec<Call>>,
    }

    impl Subject {
        fn note(calls: &Mutex<Vec<Call>>) {
            calls.lock().unwrap().push((PLACE.get(), now()));
        }

        fn count_down(&self) {
            let mut left = self.left.lock().unwrap();
            *left -= 1;
            if *left == 0 {
                self.stage.end();
            }
        }

        fn places(calls: &Mutex<Vec<Call>>) -> Vec<Place> {
            let mut places: Vec<Place> = calls.lock().unwrap().iter().map(|(place, _)| *place).collect();
            places.dedup();
            places
        }
    }

    impl Reference for &'static Subject {
        const RELEASED_ANYWHERE: bool = true;

        fn acquire(&self, _count: u32) -> bool {
            Subject::note(&self.acquires);
            self.count_down();
            self.grants
        }
        fn release(&self, _ticket: Ticket) {
            Subject::note(&self.releases);
        }
        fn run_down(&self) -> Option<WayOut> {
            Subject::note(&self.run_downs);
            None
        }
        fn complete(&self) {}
        fn reinitialize(&self) {
            self.count_down();
        }
        fn word(&self) -> Option<usize> {
            Some(0x77)
        }
    }

    fn subject(grants: bool) -> &'static Subject {
        let subject = Subject {
            stage: Stage::new(),
            grants,
            left: Mutex::new(64),
            acquires: Mutex::default(),
            releases: Mutex::default(),
            run_downs: Mutex::default(),
        };
        subject.stage.begin(0);
        subject.stage.measure();
        Box::leak(Box::new(subject))
    }

    fn arm(plan: Plan, subject: &'static Subject) -> ArmOf<&'static Subject, Heap> {
        ArmOf::new(plan, || Some(subject)).unwrap()
    }

    /// The turn of one holder.
    fn held(plan: Plan, grants: bool) -> (&'static Subject, ArmOf<&'static Subject, Heap>) {
        let subject = subject(grants);
        let arm = arm(plan, subject);
        arm.hold(&subject.stage, 0, &mut Clock);
        (subject, arm)
    }

    const EVERY: [Workload; 7] = [
        Workload::Storm,
        Workload::Uncontended,
        Workload::Contended,
        Workload::Refused,
        Workload::HandOff,
        Workload::Batches,
        Workload::Dpcs,
    ];

    #[test]
    fn holders_and_owner_are_where_the_plan_has_them() {
        for workload in EVERY {
            for (waiter, place) in [
                (Level::Passive, Place::Passive),
                (Level::Apc, Place::Apc),
                (Level::Dispatch, Place::Dispatch),
            ] {
                let plan = Plan {
                    waiter,
                    ..plan(workload, 1)
                };
                let holders = match workload {
                    Workload::Dpcs => Place::Dpc,
                    _ if workload.has_owner() && waiter == Level::Dispatch => Place::Dispatch,
                    _ => Place::Passive,
                };
                let (subject, _) = held(plan, true);
                assert_eq!(Subject::places(&subject.acquires), [holders], "{plan:?}");
                if workload.has_owner() {
                    let subject = self::subject(true);
                    arm(plan, subject).own(&subject.stage, &mut Clock);
                    assert_eq!(Subject::places(&subject.run_downs), [place], "{plan:?}");
                }
            }
        }
    }

    /// The owner polls for it, and the neighbour may have no processor.
    #[test]
    fn no_holder_lowers_its_level_with_a_reference_that_is_out() {
        let plan = Plan {
            waiter: Level::Dispatch,
            ..plan(Workload::HandOff, 2)
        };
        let subject = subject(true);
        let arm: &'static _ = Box::leak(Box::new(arm(plan, subject)));
        arm.holders[1].open();
        EMPTY_BELOW.set(Some(&arm.holders[1]));
        arm.hold(&subject.stage, 0, &mut Clock);
        assert_eq!(arm.tally().acquires, 64);
        assert_eq!(subject.releases.lock().unwrap().len(), 64);
    }

    #[test]
    fn an_operation_is_measured_without_its_hold() {
        for (workload, grants, cycles) in [
            // From one look at the clock to the next, for each of the two operations.
            (Workload::Storm, true, 2),
            (Workload::Dpcs, true, 2),
            (Workload::Contended, true, 2),
            (Workload::Uncontended, true, 2),
            // The look when the holder leaves is in between.
            (Workload::Batches, true, 3),
            (Workload::Storm, false, 1),
            (Workload::Contended, false, 1),
            (Workload::Refused, false, 1),
            (Workload::Batches, false, 1),
        ] {
            let plan = Plan {
                hold_cycles: 100,
                ..plan(workload, 1)
            };
            let latency = held(plan, grants).1.operation();
            assert_eq!(
                (latency.samples, latency.max),
                (4, cycles),
                "{workload:?} {grants}"
            );
            assert_eq!(latency.sum, 4 * cycles, "{workload:?} {grants}");
        }
    }

    #[test]
    fn a_hold_lasts_for_a_while_or_not_at_all() {
        for workload in [
            Workload::Storm,
            Workload::Contended,
            Workload::Batches,
            Workload::Dpcs,
        ] {
            let longest = |hold_cycles| {
                let plan = Plan {
                    hold_cycles,
                    ..plan(workload, 1)
                };
                let (subject, _) = held(plan, true);
                let (acquires, releases) =
                    (subject.acquires.lock().unwrap(), subject.releases.lock().unwrap());
                let holds = acquires
                    .iter()
                    .zip(releases.iter())
                    .map(|((_, from), (_, to))| to - from);
                holds.max().unwrap()
            };
            assert!((80..110).contains(&longest(100)), "{workload:?}");
            assert!(longest(0) < 8, "{workload:?}");
        }
        let (subject, _) = held(plan(Workload::Contended, 1), true);
        let (acquires, releases) = (subject.acquires.lock().unwrap(), subject.releases.lock().unwrap());
        let at_once = |(from, to): (&Call, &Call)| from.1 == to.1;
        let looks = acquires
            .iter()
            .zip(releases.iter())
            .filter(|pair| !at_once(*pair))
            .count();
        assert_eq!(
            looks, 4,
            "nothing but what is measured lies between the two operations"
        );
    }

    #[test]
    fn each_turn_and_each_thread_has_times_of_its_own() {
        let subject = subject(true);
        let arm = arm(plan(Workload::Storm, 2), subject);
        let mut times = Vec::new();
        for turn in [0, 1, 7] {
            subject.stage.begin(turn);
            for index in 0..3 {
                times.push(arm.random(&subject.stage, index).up_to(u32::MAX));
            }
        }
        times.sort_unstable();
        times.dedup();
        assert_eq!(times.len(), 9);
    }

    #[test]
    fn the_times_of_a_seed_are_for_good() {
        let subject = subject(true);
        let arm = arm(plan(Workload::Storm, 3), subject);
        subject.stage.begin(5);
        let mut times = Random::new(arm.plan.seed, 5 << 32 | 2);
        assert_eq!(
            arm.random(&subject.stage, 2).up_to(u32::MAX),
            times.up_to(u32::MAX)
        );
    }

    #[test]
    fn an_arm_has_as_much_as_its_plan_needs() {
        for workload in EVERY {
            let plan = plan(workload, 3);
            let references = if workload == Workload::Uncontended { 3 } else { 1 };
            assert_eq!(ArmOf::<&'static Subject, Heap>::references(&plan), references);
            let mut made = 0;
            let subject = subject(true);
            let arm = ArmOf::<_, Heap>::new(plan, || {
                made += 1;
                Some(subject)
            });
            assert_eq!(
                (made, arm.unwrap().cells.len()),
                (references, 4 * Histogram::CELLS)
            );
        }
    }

    /// Who is refused has nothing to do until the object lives again; the others are not kept waiting.
    #[test]
    fn a_refused_holder_pauses() {
        for workload in EVERY {
            for (grants, pauses) in [(false, 64), (true, 0)] {
                let before = PAUSES.get();
                held(plan(workload, 1), grants);
                assert_eq!(PAUSES.get() - before, pauses, "{workload:?}, {grants}");
            }
        }
    }

    #[test]
    fn a_wait_tells_who_is_inside() {
        let subject = subject(true);
        let arm = arm(plan(Workload::HandOff, 70), subject);
        assert_eq!(arm.waiting(), None);
        arm.owner.wait_since(9);
        arm.owner.generations.count();
        assert_eq!(arm.waiting().unwrap().holders, 0);
        for holder in [0, 5, 63, 64] {
            arm.holders[holder].enter();
        }
        arm.holders[7].open();
        assert!(arm.holders[7].park());
        let waiting = arm.waiting().unwrap();
        assert_eq!(
            (waiting.since, waiting.generation, waiting.word),
            (9, 1, Some(0x77))
        );
        assert_eq!(
            waiting.holders,
            1 | 1 << 5 | 1 << 7 | 1 << 63,
            "the 65th has no bit"
        );
        assert_eq!(waiting.object, core::ptr::from_ref(arm.object().0).addr());
        arm.owner.wait_since(0);
        assert_eq!(arm.waiting(), None);
    }
}
