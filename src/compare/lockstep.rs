//! Conformance: ours and the system's take the same steps, and are compared after each.

use ex_rundown::Parity;
use rundown_abi::{
    ConformanceResult, ConformanceRun, Header, ObjectKind, ObjectState, Observed, Operation as WireOperation,
    Pair, Refusal, StepCounts, TraceStep,
};
use rundown_stress::conformance::{
    Comparison, Counts, Family, Generator, Operation, Shown, Side, Step, Taken, Word, compare,
};

use super::{layout, waiter::Waiter};
use crate::{
    etw,
    kernel::{PoolArc, clock::Stopwatch, yield_thread},
    reference::{AnyReference, Permit, Reading},
};

/// How long a waiter may take to show itself, in microseconds. What it shows then is compared, and differs.
const PATIENCE: u64 = 10_000_000;

/// Compares a fresh pair, and writes down what came of it.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Errors
/// [`Refusal::TooManyWaits`], [`Refusal::ForeignLayout`], [`Refusal::Resources`].
// Not inlined: the trace in its frame is not to lie in its caller's, which serves other requests as well.
#[inline(never)]
pub(crate) fn run(run: &ConformanceRun, result: &mut ConformanceResult) -> Result<(), Refusal> {
    let pair = Pair::from_wire(run.pair).ok_or(Refusal::Pair)?;
    // Each side may have a thread that waits.
    let _permits = [Permit::take()?, Permit::take()?];
    layout::probe()?;
    let (ours, native, family) = match pair {
        Pair::Plain => (ObjectKind::Ours, ObjectKind::Native, Family::Plain),
        Pair::Wide => (ObjectKind::OursWide, ObjectKind::Native, Family::Plain),
        Pair::CacheAware => (
            ObjectKind::OursCacheAware,
            ObjectKind::NativeCacheAware,
            Family::CacheAware,
        ),
    };
    // A wide reference leaves no pointer: there the two outcomes of a wait are one.
    let leaves_pointer = pair != Pair::Wide;
    let mut ours = Comparand::new(ours, leaves_pointer).ok_or(Refusal::Resources)?;
    let mut native = Comparand::new(native, leaves_pointer).ok_or(Refusal::Resources)?;
    let mut generator = Generator::new(run.seed, family);
    let comparison =
        compare(&mut ours, &mut native, &mut generator, run.steps.into()).ok_or(Refusal::Resources)?;
    write(result, run.seed, &comparison);
    etw::conformance_ended(run, result);
    Ok(())
}

/// One side: a reference, and whoever waits for it.
struct Comparand {
    reference: PoolArc<AnyReference<Parity>>,
    // INVARIANT: references that were granted and not given back.
    held: u32,
    waiter: Waiter<AnyReference<Parity>>,
    /// A wait goes on. Then references are held.
    waits: bool,
    leaves_pointer: bool,
}

impl Comparand {
    fn new(kind: ObjectKind, leaves_pointer: bool) -> Option<Self> {
        let reference = PoolArc::new(AnyReference::new(kind)?)?;
        Some(Self {
            waiter: Waiter::new(reference.clone())?,
            reference,
            held: 0,
            waits: false,
            leaves_pointer,
        })
    }

    fn acquire(&mut self, count: u32) -> bool {
        let granted = self.reference.acquire(count);
        if granted {
            self.held += count;
        }
        granted
    }

    fn release(&mut self, count: u32) -> Option<()> {
        // The generator releases what was granted. Were it wrong, the comparison would end here.
        let left = self.held.checked_sub(count).filter(|_| count > 0)?;
        // SAFETY: by the invariant, so many are held.
        unsafe { self.reference.release(count) };
        self.held = left;
        if left == 0 && self.waits {
            self.waiter.join();
            self.waits = false;
        }
        Some(())
    }

    fn wait(&mut self) {
        if self.held == 0 {
            // SAFETY: nobody waits, and the generator knows which waits would not return.
            let _ = unsafe { self.reference.wait() };
            return;
        }
        // SAFETY: as above; the next wait comes after this one has ended.
        unsafe { self.waiter.begin() };
        self.waits = true;
        let stopwatch = Stopwatch::start();
        while self.word() != Word::Waiting(self.held.into()) && stopwatch.microseconds() < PATIENCE {
            yield_thread();
        }
    }

    fn word(&self) -> Word {
        match (self.reference.words().reading, self.waits) {
            (Reading::Live(references), _) => Word::Live(references as u64),
            // SAFETY: references are held while a wait goes on, so the waiter cannot return.
            (Reading::Block(block), true) => Word::Waiting(unsafe { self.waiter.count_of(block) }),
            (Reading::Block(_), false) if self.leaves_pointer => Word::Stale,
            (Reading::RunDown, _) | (Reading::Block(_), false) => Word::RunDown,
        }
    }
}

impl Side for Comparand {
    fn take(&mut self, step: &Step) -> Option<Shown> {
        let count = step.count();
        let mut returned = false;
        match step.operation() {
            Operation::Acquire | Operation::AcquireEx => returned = self.acquire(count),
            Operation::Release | Operation::ReleaseEx => self.release(count)?,
            Operation::Wait => self.wait(),
            // SAFETY: the generator takes these two only when nobody waits and no reference is out.
            Operation::Completed => unsafe { self.reference.completed() },
            // SAFETY: as above.
            Operation::Reinitialize => unsafe { self.reference.reinitialize() },
        }
        Some(Shown {
            returned,
            word: self.word(),
        })
    }
}

impl Drop for Comparand {
    fn drop(&mut self) {
        if self.held != 0 {
            // SAFETY: by the invariant. A wait ends by this; its thread is joined when the fields are dropped.
            unsafe { self.reference.release(self.held) };
        }
    }
}

/// Fills a result that is zero.
fn write(result: &mut ConformanceResult, seed: u64, comparison: &Comparison) {
    result.header = Header::of::<ConformanceResult>();
    result.seed = seed;
    result.steps = comparison.steps;
    result.differences = u32::from(comparison.differs);
    result.counts = counts(&comparison.counts);
    if comparison.differs {
        for (slot, taken) in result.trace.iter_mut().zip(comparison.trace()) {
            *slot = trace_step(taken);
            result.trace_length += 1;
        }
    }
}

const fn counts(counts: &Counts) -> StepCounts {
    StepCounts {
        granted: counts.granted,
        refused: counts.refused,
        released: counts.released,
        released_to_waiter: counts.released_to_waiter,
        waits_at_once: counts.waits_at_once,
        waits: counts.waits,
        completed: counts.completed,
        reinitialized: counts.reinitialized,
    }
}

fn trace_step(taken: &Taken) -> TraceStep {
    let operation = match taken.step.operation() {
        Operation::Acquire => WireOperation::Acquire,
        Operation::AcquireEx => WireOperation::AcquireEx,
        Operation::Release => WireOperation::Release,
        Operation::ReleaseEx => WireOperation::ReleaseEx,
        Operation::Wait => WireOperation::Wait,
        Operation::Completed => WireOperation::Completed,
        Operation::Reinitialize => WireOperation::Reinitialize,
    };
    TraceStep {
        step: taken.number,
        operation: operation as u32,
        count: taken.step.count(),
        ours: observed(&taken.ours),
        native: observed(&taken.native),
    }
}

fn observed(shown: &Shown) -> Observed {
    let (word, references, waiting) = match shown.word {
        Word::Live(references) => (references.wrapping_mul(2), references, false),
        Word::RunDown => (1, 0, false),
        Word::Waiting(references) => (ObjectState::MASK, references, true),
        Word::Stale => (ObjectState::MASK, 0, false),
    };
    Observed {
        word,
        references,
        returned: u32::from(shown.returned),
        waiting: u32::from(waiting),
    }
}
