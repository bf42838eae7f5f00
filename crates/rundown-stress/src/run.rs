//! One run: a reference, its object, its holders and its owner.

use core::{
    ops::Deref,
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use ex_rundown::WayOut;

use crate::{
    Reference, Tally, Thread,
    canary::Canary,
    random::Random,
    tally::{Holder, Owner},
};

/// How many gaps the owner waits for a holder before it runs the object down anyway.
const PATIENCE: u64 = 64;

/// How long things last, and at which IRQL. All times are drawn anew each time, evenly from 0 to the bound.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long a holder holds, at most, in cycles.
    pub hold_cycles: u32,
    /// How long a generation lives before it is run down, at most, in cycles.
    pub gap_cycles: u32,
    /// Wait at `DISPATCH_LEVEL`; holders then hold there too, on other processors.
    pub at_dispatch_level: bool,
    /// Seeds the times.
    pub seed: u64,
}

/// Keeps the reference's cache line to itself.
#[derive(Debug)]
#[repr(align(64))]
struct OwnLine<R>(R);

/// A run over the reference `R`, with its holders' counters in `H`. It lives in memory that is shared by its threads
/// and resident.
#[derive(Debug)]
pub struct Run<R, H> {
    reference: OwnLine<R>,
    plan: Plan,
    canary: Canary,
    over: AtomicBool,
    owner: Owner,
    holders: H,
}

impl<R: Reference, H: Deref<Target = [Holder]>> Run<R, H> {
    /// A run that has not begun, over a live reference, with as many holders as `holders` has room for.
    pub const fn new(reference: R, holders: H, plan: Plan) -> Self {
        Self {
            reference: OwnLine(reference),
            plan,
            canary: Canary::new(),
            over: AtomicBool::new(false),
            owner: Owner::new(),
            holders,
        }
    }

    /// Tells all threads to return soon.
    ///
    /// # IRQL
    /// Any.
    pub fn stop(&self) {
        // Pairs with the loads in `is_over`; nothing else travels with it.
        self.over.store(true, Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(Acquire)
    }

    /// The work of holder number `index`: acquires, touches, holds and releases until the run is over.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    ///
    /// # Panics
    /// When there is no such holder.
    pub fn hold<T: Thread>(&self, index: usize, thread: &mut T) {
        let slot = &self.holders[index];
        let mut random = Random::new(self.plan.seed, index as u64 + 1);
        while !self.is_over() {
            let cycles = random.up_to(self.plan.hold_cycles);
            let attempt = || self.reference.0.protect(|| self.inside::<T>(slot, cycles));
            let granted = if self.plan.at_dispatch_level {
                thread.at_dispatch_level(attempt)
            } else {
                attempt()
            };
            if granted {
                slot.acquires.count();
            } else {
                slot.refused.count();
                T::pause();
            }
        }
    }

    /// What a holder does under protection.
    fn inside<T: Thread>(&self, slot: &Holder, cycles: u64) {
        // Relaxed: like the canary's, these are ordered by the reference or not at all.
        slot.inside.store(true, Relaxed);
        let before = self.canary.generation();
        T::spin(cycles);
        let after = self.canary.generation();
        if before.is_none() || before != after {
            slot.poisoned.count();
        }
        slot.inside.store(false, Relaxed);
    }

    /// The work of the owner: generation after generation until `expired`, or until the run is
    /// [stopped](Self::stop). Ends the run.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn own<T: Thread>(&self, thread: &mut T, expired: impl Fn() -> bool) {
        let mut random = Random::new(self.plan.seed, 0);
        let mut generation = 0;
        while !self.is_over() && !expired() {
            T::spin(random.up_to(self.plan.gap_cycles));
            // Every other time on average, only with a holder inside: a wait that finds nobody is over at once.
            if random.up_to(1) == 1 {
                self.await_holder::<T>();
            }
            let held = self.is_held();
            let way_out = if self.plan.at_dispatch_level {
                thread.at_dispatch_level(|| self.reference.0.run_down())
            } else {
                self.reference.0.run_down()
            };
            if self.is_held() {
                self.owner.inside.count();
            }
            self.canary.poison();
            self.reference.0.complete();
            if let Some(way_out) = way_out {
                self.owner.way_out(way_out);
            }
            if way_out.map_or(held, |way_out| way_out != WayOut::Drained) {
                self.owner.contested.count();
            }
            // Dead for a while, so that a holder who should not be here has time to see it.
            T::spin(random.up_to(self.plan.gap_cycles / 4));
            generation += 1;
            self.canary.revive(generation);
            self.reference.0.reinitialize();
            self.owner.generations.count();
        }
        self.stop();
    }

    /// Waits for a holder to be inside, for a while: holders may be starved by what else the machine does.
    fn await_holder<T: Thread>(&self) {
        let patience = u64::from(self.plan.gap_cycles) * PATIENCE;
        let start = T::cycles();
        while !self.is_held() && !self.is_over() && T::cycles().wrapping_sub(start) < patience {
            T::pause();
        }
    }

    fn is_held(&self) -> bool {
        self.holders.iter().any(|slot| slot.inside.load(Relaxed))
    }

    /// The counters at this moment. They are exact when the run's threads have been joined.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn tally(&self) -> Tally {
        let sum = |field: fn(&Holder) -> u64| self.holders.iter().map(field).sum();
        Tally {
            acquires: sum(|slot| slot.acquires.get()),
            refused: sum(|slot| slot.refused.get()),
            generations: self.owner.generations.get(),
            contested: self.owner.contested.get(),
            waits: self.owner.waits(),
            poisoned: sum(|slot| slot.poisoned.get()),
            inside: self.owner.inside.get(),
        }
    }
}
