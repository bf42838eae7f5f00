//! Conformance: the same steps on ours and on the operating system's, compared after each.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Pair, Refusal, Request, object::limits};

/// Runs a seeded sequence of steps on a fresh pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ConformanceRun {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: a [`Pair`].
    pub pair: u32,
    /// Offset 0x0C: how many steps, 1 or more.
    pub steps: u32,
    /// Offset 0x10: seeds the sequence; the same seed gives the same steps.
    pub seed: u64,
}

impl ConformanceRun {
    /// A request for `steps` steps.
    #[must_use]
    pub const fn new(pair: Pair, steps: u32, seed: u64) -> Self {
        Self {
            header: Header::of::<Self>(),
            pair: pair as u32,
            steps,
            seed,
        }
    }
}

impl Request for ConformanceRun {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        if Pair::from_wire(self.pair).is_none() {
            return Err(Refusal::Pair);
        }
        if self.steps == 0 || self.steps > limits::STEPS {
            return Err(Refusal::Steps);
        }
        Ok(())
    }
}

/// What one side showed after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Observed {
    /// Offset 0x00: the word, or the sum over the slots; [`ObjectState::MASK`](crate::ObjectState::MASK) when it is a
    /// pointer.
    pub word: u64,
    /// Offset 0x08: references outstanding, as the word or the wait block says.
    pub references: u64,
    /// Offset 0x10: what the routine returned: 1 TRUE, 0 FALSE or nothing.
    pub returned: u32,
    /// Offset 0x14: 1 when a wait goes on.
    pub waiting: u32,
}

/// One step and what both sides showed after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct TraceStep {
    /// Offset 0x00: its number; the first is 0.
    pub step: u64,
    /// Offset 0x08: an [`Operation`](crate::Operation).
    pub operation: u32,
    /// Offset 0x0C: how many references, where the operation takes a count.
    pub count: u32,
    /// Offset 0x10: ours.
    pub ours: Observed,
    /// Offset 0x28: the operating system's.
    pub native: Observed,
}

const _: () = assert!(size_of::<TraceStep>() == 0x40);

/// How often each thing happened on both sides alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StepCounts {
    /// Offset 0x00: acquires, with and without a count, that were granted.
    pub granted: u64,
    /// Offset 0x08: acquires that were refused.
    pub refused: u64,
    /// Offset 0x10: releases on a live word.
    pub released: u64,
    /// Offset 0x18: releases while a wait went on.
    pub released_to_waiter: u64,
    /// Offset 0x20: waits that returned at once.
    pub waits_at_once: u64,
    /// Offset 0x28: waits that had to wait.
    pub waits: u64,
    /// Offset 0x30: completions.
    pub completed: u64,
    /// Offset 0x38: re-initialisations.
    pub reinitialized: u64,
}

/// The answer to [`ConformanceRun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ConformanceResult {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the sequence's seed.
    pub seed: u64,
    /// Offset 0x10: steps that were compared, the differing one included.
    pub steps: u64,
    /// Offset 0x18: 1 when the last step showed a difference, which ends the run; 0 when there was none.
    pub differences: u32,
    /// Offset 0x1C: steps in the trace: the last ones before the difference, and the differing one. 0 without one.
    pub trace_length: u32,
    /// Offset 0x20.
    pub counts: StepCounts,
    /// Offset 0x60: the trace, oldest first; zero beyond its length.
    pub trace: [TraceStep; ConformanceResult::TRACE],
}

impl ConformanceResult {
    /// Steps that the trace has room for.
    pub const TRACE: usize = 16;
}

const _: () = assert!(size_of::<ConformanceResult>() == 0x460);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn refusal(pair: u32, steps: u32) -> Result<(), Refusal> {
        let mut run = ConformanceRun::new(Pair::Plain, steps, 1);
        run.pair = pair;
        parse::<ConformanceRun>(run.as_bytes()).map(|_| ())
    }

    #[test]
    fn each_field_has_its_own_refusal() {
        for &pair in Pair::ALL {
            assert_eq!(Pair::from_wire(pair as u32), Some(pair));
            assert_eq!(refusal(pair as u32, 1), Ok(()));
            assert_eq!(refusal(pair as u32, limits::STEPS), Ok(()));
            assert_eq!(refusal(pair as u32, 0), Err(Refusal::Steps));
            assert_eq!(refusal(pair as u32, limits::STEPS + 1), Err(Refusal::Steps));
        }
        for pair in [0, 4, u32::MAX] {
            assert_eq!(refusal(pair, 1), Err(Refusal::Pair));
        }
    }
}
