//! Conformance: the same seeded steps on two sides, compared after each.
//!
//! The [`Generator`] is a model of the contract: it knows how many references are out and whether somebody waits, and
//! never makes a step that NT answers with a hang or a bugcheck. A [`Side`] takes the steps on a reference; [`compare`]
//! has two sides take the same ones, and ends at the first that shows a difference, with the steps before it.
//!
//! A wait that has to wait blocks in a thread of the side, so that the steps go on while it does.

use crate::random::Random;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Takes one reference.
    Acquire,
    /// Takes several references, or none.
    AcquireEx,
    /// Gives one reference back.
    Release,
    /// Gives several references back.
    ReleaseEx,
    /// Runs it down and waits.
    Wait,
    /// Marks it as run down.
    Completed,
    /// Makes it live again.
    Reinitialize,
}

/// One step of a sequence. Only a [`Generator`] makes them: what is released was granted, if both sides are right so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    operation: Operation,
    count: u32,
    granted: bool,
}

impl Step {
    /// What it does.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// How many references it is about: 1 for those without a count, 0 for those that are about none.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }
}

/// What a reference's words say. The address of a wait block differs from side to side, its count does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Live, with so many references outstanding.
    Live(u64),
    /// Run down.
    RunDown,
    /// Somebody waits for so many references.
    Waiting(u64),
    /// The pointer that a finished wait has left behind.
    Stale,
}

/// What a side shows after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What an acquire returned; false for every other step.
    pub returned: bool,
    /// What the words say.
    pub word: Word,
}

/// A reference, and whoever waits for it.
pub trait Side {
    /// Takes a step.
    ///
    /// A wait with references out begins, and is left blocked; its block has been published and counted when this
    /// returns. The release of the last reference returns when the waiter has. `None` when there is no thread to be had.
    fn take(&mut self, step: &Step) -> Option<Shown>;
}

/// Which waits never end on the native side, so that they are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A wait on the pointer of a finished wait.
    Plain,
    /// Any wait on what is not live; and every wait leaves its pointer.
    CacheAware,
}

/// Where the model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Live,
    Waiting,
    /// A finished wait has left its pointer.
    Stale,
    RunDown,
}

/// Most references that the sequence has out.
const MOST: u32 = 1 << 30;
/// From here on the sequence rather releases.
const MANY: u32 = 6;

/// Makes a seeded sequence of steps.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    family: Family,
    phase: Phase,
    references: u32,
}

impl Generator {
    /// The sequence of a seed, for a fresh reference.
    #[must_use]
    pub fn new(seed: u64, family: Family) -> Self {
        Self {
            random: Random::new(seed, 0),
            family,
            phase: Phase::Live,
            references: 0,
        }
    }

    /// The next step.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless sequence; an iterator would wrap each step for nothing"
    )]
    pub fn next(&mut self) -> Step {
        let operation = self.choose();
        let count = match operation {
            Operation::Acquire | Operation::Release => 1,
            Operation::AcquireEx => self.count_to_acquire(),
            Operation::ReleaseEx => self.count_to_release(),
            Operation::Wait | Operation::Completed | Operation::Reinitialize => 0,
        };
        let granted =
            matches!(operation, Operation::Acquire | Operation::AcquireEx) && self.phase == Phase::Live;
        self.advance(operation, count);
        Step {
            operation,
            count,
            granted,
        }
    }

    /// Draws an operation that the contract allows, with a weight for each.
    fn choose(&mut self) -> Operation {
        let held = self.references > 0;
        let at_rest = u32::from(!held);
        let weights: [(Operation, u32); 7] = match self.phase {
            Phase::Live => {
                let release = match self.references {
                    0 => 0,
                    1..MANY => 40,
                    _ => 120,
                };
                [
                    (Operation::Acquire, if self.references < MOST { 40 } else { 0 }),
                    (Operation::AcquireEx, 20),
                    (Operation::Release, release),
                    (Operation::ReleaseEx, release / 2),
                    (Operation::Wait, 4),
                    (Operation::Completed, at_rest),
                    (Operation::Reinitialize, at_rest),
                ]
            }
            Phase::Waiting => [
                (Operation::Acquire, 20),
                (Operation::AcquireEx, 10),
                (Operation::Release, 40),
                (Operation::ReleaseEx, 30),
                (Operation::Wait, 0),
                (Operation::Completed, 0),
                (Operation::Reinitialize, 0),
            ],
            Phase::Stale | Phase::RunDown => [
                (Operation::Acquire, 40),
                (Operation::AcquireEx, 20),
                (Operation::Release, 0),
                (Operation::ReleaseEx, 0),
                (
                    Operation::Wait,
                    if self.phase == Phase::RunDown && self.family == Family::Plain {
                        20
                    } else {
                        0
                    },
                ),
                (Operation::Completed, 10),
                (Operation::Reinitialize, 20),
            ],
        };
        let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
        // Below `sum`, which is a small number.
        let mut draw = u32::try_from(self.random.up_to(sum - 1)).unwrap_or(0);
        for (operation, weight) in weights {
            if draw < weight {
                return operation;
            }
            draw -= weight;
        }
        Operation::Acquire
    }

    fn draw(&mut self, most: u32) -> u32 {
        // `up_to` stays within its bound.
        u32::try_from(self.random.up_to(most)).unwrap_or(most)
    }

    /// Mostly a few, 0 among them; now and then so many that the word's upper half is used.
    fn count_to_acquire(&mut self) -> u32 {
        let room = MOST - self.references;
        let most = if self.draw(255) == 0 { room } else { room.min(3) };
        self.draw(most)
    }

    /// At least 1: of 0 the native routine reaches into the block of a finished wait.
    fn count_to_release(&mut self) -> u32 {
        if self.draw(2) == 0 {
            self.references
        } else {
            1 + self.draw(self.references.min(3) - 1)
        }
    }

    fn advance(&mut self, operation: Operation, count: u32) {
        match operation {
            Operation::Acquire | Operation::AcquireEx => {
                if self.phase == Phase::Live {
                    self.references += count;
                }
            }
            Operation::Release | Operation::ReleaseEx => {
                self.references -= count;
                if self.phase == Phase::Waiting && self.references == 0 {
                    self.phase = Phase::Stale;
                }
            }
            Operation::Wait => {
                self.phase = match (self.references, self.family) {
                    (0, Family::Plain) => Phase::RunDown,
                    (0, Family::CacheAware) => Phase::Stale,
                    _ => Phase::Waiting,
                }
            }
            Operation::Completed => self.phase = Phase::RunDown,
            Operation::Reinitialize => self.phase = Phase::Live,
        }
    }
}

/// A step that was taken, and what both sides showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number; the first is 0.
    pub number: u64,
    /// The step.
    pub step: Step,
    /// What our side showed.
    pub ours: Shown,
    /// What the native side showed.
    pub native: Shown,
}

impl Taken {
    /// Whether the sides differ, or the native one differs from the contract: what follows would rest on a reference that
    /// nobody has.
    fn differs(&self) -> bool {
        self.ours != self.native || self.native.returned != self.step.granted
    }
}

/// How often each thing happened, on both sides alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Acquires that were granted.
    pub granted: u64,
    /// Acquires that were refused.
    pub refused: u64,
    /// Releases while nobody waited.
    pub released: u64,
    /// Releases while somebody waited, or that ended a wait.
    pub released_to_waiter: u64,
    /// Waits that returned at once.
    pub waits_at_once: u64,
    /// Waits that had to wait.
    pub waits: u64,
    /// Completions.
    pub completed: u64,
    /// Re-initialisations.
    pub reinitialized: u64,
}

impl Counts {
    fn count(&mut self, taken: &Taken) {
        let field = match (taken.step.operation, taken.native.word) {
            (Operation::Acquire | Operation::AcquireEx, _) if taken.native.returned => &mut self.granted,
            (Operation::Acquire | Operation::AcquireEx, _) => &mut self.refused,
            (Operation::Release | Operation::ReleaseEx, Word::Live(_)) => &mut self.released,
            (Operation::Release | Operation::ReleaseEx, _) => &mut self.released_to_waiter,
            (Operation::Wait, Word::Waiting(_)) => &mut self.waits,
            (Operation::Wait, _) => &mut self.waits_at_once,
            (Operation::Completed, _) => &mut self.completed,
            (Operation::Reinitialize, _) => &mut self.reinitialized,
        };
        *field += 1;
    }
}

/// Steps that a difference is reported with, itself included.
pub const TRACE: usize = 16;

/// What came of a comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Steps that were taken, the differing one included.
    pub steps: u64,
    /// What happened in those that showed no difference.
    pub counts: Counts,
    /// Whether the last step showed a difference.
    pub differs: bool,
    last: [Option<Taken>; TRACE],
}

impl Comparison {
    /// The last steps, oldest first.
    pub fn trace(&self) -> impl Iterator<Item = &Taken> {
        // The slot after the newest is the oldest.
        let next = usize::try_from(self.steps % TRACE as u64).unwrap_or(0);
        let (newer, older) = self.last.split_at(next);
        older.iter().chain(newer).flatten()
    }
}

/// Has both sides take so many steps, or as many as it takes to find a difference. `None` when a side cannot go on.
pub fn compare(
    ours: &mut impl Side,
    native: &mut impl Side,
    generator: &mut Generator,
    steps: u64,
) -> Option<Comparison> {
    let mut comparison = Comparison {
        steps: 0,
        counts: Counts::default(),
        differs: false,
        last: [None; TRACE],
    };
    while comparison.steps < steps && !comparison.differs {
        let step = generator.next();
        let taken = Taken {
            number: comparison.steps,
            step,
            ours: ours.take(&step)?,
            native: native.take(&step)?,
        };
        let slot = usize::try_from(taken.number % TRACE as u64).unwrap_or(0);
        comparison.last[slot] = Some(taken);
        comparison.steps += 1;
        comparison.differs = taken.differs();
        if !comparison.differs {
            comparison.counts.count(&taken);
        }
    }
    Some(comparison)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract as a table, and defects in it.
    struct Model {
        family: Family,
        word: Word,
        defect: fn(&Step, &mut Shown),
        taken: u64,
        /// The first step that the defect is in.
        from: u64,
    }

    impl Model {
        fn new(family: Family) -> Self {
            Self {
                family,
                word: Word::Live(0),
                defect: |_, _| {},
                taken: 0,
                from: 0,
            }
        }
    }

    impl Side for Model {
        fn take(&mut self, step: &Step) -> Option<Shown> {
            let count = u64::from(step.count());
            let mut returned = false;
            self.word = match (step.operation(), self.word) {
                (Operation::Acquire | Operation::AcquireEx, Word::Live(references)) => {
                    returned = true;
                    Word::Live(references + count)
                }
                (Operation::Acquire | Operation::AcquireEx, word) => word,
                (_, Word::Live(references)) if count > 0 => {
                    Word::Live(references.checked_sub(count).expect("released what was granted"))
                }
                (_, Word::Waiting(references)) if count > 0 => {
                    match references.checked_sub(count).expect("released what was granted") {
                        0 => Word::Stale,
                        left => Word::Waiting(left),
                    }
                }
                (Operation::Wait, Word::Live(0) | Word::RunDown) if self.family == Family::Plain => {
                    Word::RunDown
                }
                (Operation::Wait, Word::Live(0)) => Word::Stale,
                (Operation::Wait, Word::Live(references)) => Word::Waiting(references),
                (Operation::Completed, Word::Live(0) | Word::Stale | Word::RunDown) => Word::RunDown,
                (Operation::Reinitialize, Word::Live(0) | Word::Stale | Word::RunDown) => Word::Live(0),
                (operation, word) => panic!("{operation:?} in {word:?} hangs or crashes NT"),
            };
            let mut shown = Shown {
                returned,
                word: self.word,
            };
            self.taken += 1;
            if self.taken > self.from {
                (self.defect)(step, &mut shown);
            }
            Some(shown)
        }
    }

    #[test]
    fn every_step_is_within_the_contract_and_every_kind_occurs() {
        for family in [Family::Plain, Family::CacheAware] {
            for seed in 0..20 {
                let mut sides = [Model::new(family), Model::new(family)];
                let [ours, native] = &mut sides;
                let comparison = compare(ours, native, &mut Generator::new(seed, family), 20_000).unwrap();
                assert!(!comparison.differs);
                assert_eq!(comparison.steps, 20_000);
                let Counts {
                    granted,
                    refused,
                    released,
                    released_to_waiter,
                    waits_at_once,
                    waits,
                    completed,
                    reinitialized,
                } = comparison.counts;
                let counts = [
                    granted,
                    refused,
                    released,
                    released_to_waiter,
                    waits_at_once,
                    waits,
                    completed,
                    reinitialized,
                ];
                assert!(counts.iter().all(|&count| count > 10), "{:?}", comparison.counts);
                assert_eq!(counts.iter().sum::<u64>(), 20_000, "each step is counted once");
            }
        }
    }

    #[test]
    fn the_upper_half_of_the_word_is_used() {
        let mut generator = Generator::new(1, Family::Plain);
        let most = (0..100_000).map(|_| generator.next().count()).max();
        assert!(most > Some(MOST / 2) && most <= Some(MOST), "{most:?}");
    }

    #[test]
    fn a_seed_repeats_its_sequence() {
        let sequence = |seed| {
            let mut generator = Generator::new(seed, Family::Plain);
            core::array::from_fn::<Step, 100, _>(|_| generator.next())
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }

    /// A seed in a report means the same steps in every version.
    #[test]
    fn the_steps_of_a_seed_are_for_good() {
        // FNV-1a over operation, count and whether it is granted.
        let digest = |family| {
            let mut generator = Generator::new(3, family);
            (0..50_000).fold(0xCBF2_9CE4_8422_2325_u64, |digest, _| {
                let step = generator.next();
                [step.operation as u64, step.count.into(), step.granted.into()]
                    .into_iter()
                    .fold(digest, |digest, value| {
                        (digest ^ value).wrapping_mul(0x0100_0000_01B3)
                    })
            })
        };
        assert_eq!(
            [digest(Family::Plain), digest(Family::CacheAware)],
            [0x9A31_C90F_9CED_0DD3, 0xCF3F_EA5B_C8FD_F4C3]
        );
    }

    #[test]
    fn each_count_is_of_its_own_kind() {
        let mut sides = [Model::new(Family::Plain), Model::new(Family::Plain)];
        let [ours, native] = &mut sides;
        let comparison = compare(ours, native, &mut Generator::new(3, Family::Plain), 50_000).unwrap();
        let expected = Counts {
            granted: 21_205,
            refused: 5_861,
            released: 15_804,
            released_to_waiter: 1_968,
            waits_at_once: 1_549,
            waits: 954,
            completed: 940,
            reinitialized: 1_719,
        };
        assert_eq!(comparison.counts, expected);
    }

    #[test]
    fn with_as_many_references_as_there_may_be_none_is_acquired() {
        let mut generator = Generator {
            references: MOST,
            ..Generator::new(1, Family::Plain)
        };
        assert!((0..1_000).all(|_| generator.choose() != Operation::Acquire));
    }

    #[test]
    fn a_difference_ends_the_run_and_is_the_last_of_the_trace() {
        let defects: [fn(&Step, &mut Shown); 4] = [
            |_, shown| {
                if let Word::Live(references @ 1..) = &mut shown.word {
                    *references -= 1;
                }
            },
            |step, shown| {
                if step.operation() == Operation::AcquireEx && step.count() == 0 {
                    shown.returned = false;
                }
            },
            |_, shown| {
                if shown.word == Word::Stale {
                    shown.word = Word::RunDown;
                }
            },
            |step, shown| {
                if step.operation() == Operation::ReleaseEx
                    && let Word::Waiting(references) = &mut shown.word
                {
                    *references += 1;
                }
            },
        ];
        for defect in defects {
            let mut ours = Model::new(Family::Plain);
            ours.defect = defect;
            ours.from = 100;
            let mut native = Model::new(Family::Plain);
            let comparison = compare(
                &mut ours,
                &mut native,
                &mut Generator::new(3, Family::Plain),
                10_000,
            )
            .unwrap();
            assert!(comparison.differs);
            assert!(comparison.steps > 100 && comparison.steps < 10_000);
            let mut trace = comparison.trace();
            let first = trace.next().expect("the trace is not empty").number;
            assert_eq!(first, comparison.steps - TRACE as u64);
            assert_eq!(trace.count(), TRACE - 1);
            let last = comparison.trace().last().expect("the trace is not empty");
            assert_eq!(last.number, comparison.steps - 1);
            assert_ne!(last.ours, last.native);
            for taken in comparison.trace().take(TRACE - 1) {
                assert_eq!(taken.ours, taken.native, "only the last one differs");
            }
        }
    }

    #[test]
    fn two_sides_that_break_the_contract_alike_are_found() {
        let defect: fn(&Step, &mut Shown) = |_, shown| shown.returned = false;
        let mut sides = [Model::new(Family::Plain), Model::new(Family::Plain)];
        for side in &mut sides {
            side.defect = defect;
        }
        let [ours, native] = &mut sides;
        let comparison = compare(ours, native, &mut Generator::new(1, Family::Plain), 1000);
        assert!(comparison.unwrap().differs);
    }
}
