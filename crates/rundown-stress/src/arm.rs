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
