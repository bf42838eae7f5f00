//! What a run tells: how far it is, its counters, its latencies, its turns.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Arm, Header, Refusal, Request};

/// Names a run, to fetch its result or to stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressQuery {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number.
    pub run: u64,
}

impl StressQuery {
    /// A request about run `run`.
    #[must_use]
    pub const fn new(run: u64) -> Self {
        Self {
            header: Header::of::<Self>(),
            run,
        }
    }
}

impl Request for StressQuery {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Waits by the way in which they ended. All zero for the native arms, which do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct WaysOut {
    /// Nobody held a reference, before the waiter had to wait.
    pub drained: u64,
    /// The last releaser handed over while the waiter spun with `MONITORX`/`MWAITX`.
    pub mwaitx: u64,
    /// The last releaser handed over while the waiter spun with `PAUSE`.
    pub pause: u64,
    /// The last releaser handed over while the waiter polled at `DISPATCH_LEVEL`.
    pub dispatch: u64,
    /// The waiter slept on the event.
    pub event: u64,
    /// The last releaser handed over after the spin had ended and before the waiter slept.
    pub late: u64,
}

/// Proofs that protection failed. One is a bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Violations {
    /// A holder read the canary while it was not that of a living object.
    pub poisoned: u64,
    /// A wait returned while holders were inside.
    pub inside: u64,
}

/// The longest wait that lasted longer than the run's threshold. A stalled wait is reported and left alone: what
/// would end it would hide its cause. The word's pointer is in the driver's trace, for a debugger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Stall {
    /// Offset 0x00: waits that stalled; the other fields are zero when none did.
    pub waits: u64,
    /// Offset 0x08: how long the longest has lasted, in milliseconds.
    pub milliseconds: u64,
    /// Offset 0x10: the generation of the arm's object that it waits for.
    pub generation: u64,
    /// Offset 0x18: the holders inside, a bit each by their number.
    pub holders: u64,
    /// Offset 0x20: the [`Arm`].
    pub arm: u32,
    /// Offset 0x24: a [`WordState`](crate::WordState); zero for a reference that is not one word.
    pub word: u32,
}

/// What makes a run's figures unfit for a comparison with those of another machine.
pub mod marks {
    /// Driver Verifier checks the driver, and interposes on the system's run-down routines.
    pub const VERIFIER: u32 = 1;
    /// A hypervisor runs the system.
    pub const HYPERVISOR: u32 = 2;
}

/// How far a run is, and the sums over its arms; so far or final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressResult {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number.
    pub run: u64,
    /// Offset 0x10: a [`RunState`](crate::RunState).
    pub state: u32,
    /// Offset 0x14: the set of the run's [`Arm`]s.
    pub arms: u32,
    /// Offset 0x18: time since the start, or of the whole run, in microseconds.
    pub microseconds: u64,
    /// Offset 0x20: acquires that were granted; a floor's operations.
    pub acquires: u64,
    /// Offset 0x28: acquires that were refused.
    pub refused: u64,
    /// Offset 0x30: times that the object was run down, waited for, completed and re-initialised.
    pub generations: u64,
    /// Offset 0x38: generations in which a holder was inside when the wait began.
    pub contested: u64,
    /// Offset 0x40.
    pub ways_out: WaysOut,
    /// Offset 0x70.
    pub violations: Violations,
    /// Offset 0x80.
    pub stall: Stall,
    /// Offset 0xA8: turns that are over.
    pub turns_done: u32,
    /// Offset 0xAC: turns of the whole run.
    pub turns: u32,
    /// Offset 0xB0: the [`Arm`] at work; 0 when the run is over.
    pub arm: u32,
    /// Offset 0xB4: of [`marks`].
    pub marks: u32,
}

const _: () = assert!(size_of::<StressResult>() == 0xB8);

/// Asks for an arm's [`StressArmResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressArmQuery {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number.
    pub run: u64,
    /// Offset 0x10: an [`Arm`] of the run.
    pub arm: u32,
    /// Offset 0x14: zero.
    pub reserved: u32,
}

impl StressArmQuery {
    /// A request about an arm of run `run`.
    #[must_use]
    pub const fn new(run: u64, arm: Arm) -> Self {
        Self {
            header: Header::of::<Self>(),
            run,
            arm: arm as u32,
            reserved: 0,
        }
    }
}

impl Request for StressArmQuery {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        if Arm::from_wire(self.arm).is_none() {
            return Err(Refusal::Arm);
        }
        if self.reserved != 0 {
            return Err(Refusal::Reserved);
        }
        Ok(())
    }
}

/// The shares of the samples, in ten-thousandths, whose quantiles a [`Latency`] tells.
pub const SHARES: [u16; 19] = [
    100, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 9500, 9750, 9900, 9950, 9975, 9990, 9995,
    9999,
];

/// A distribution of times in TSC cycles. The quantiles come from a log-linear histogram: each is the upper end of its
/// bucket, at most 1/32 above the exact one. All zero without samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Latency {
    /// Offset 0x00: how many were measured.
    pub samples: u64,
    /// Offset 0x08: the sum of all, for the mean.
    pub sum: u64,
    /// Offset 0x10: the longest, exactly.
    pub max: u64,
    /// Offset 0x18: what 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99 percent do not exceed.
    pub quantiles: [u64; 19],
}

impl Latency {
    /// What `share` ten-thousandths of the samples do not exceed; `None` for one that is not told ([`SHARES`]).
    #[must_use]
    pub fn quantile(&self, share: u16) -> Option<u64> {
        let place = SHARES.iter().position(|told| *told == share)?;
        Some(self.quantiles[place])
    }
}

/// One arm's counters and latencies, so far or final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressArmResult {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number.
    pub run: u64,
    /// Offset 0x10: the [`Arm`].
    pub arm: u32,
    /// Offset 0x14: its turns that are over.
    pub turns_done: u32,
    /// Offset 0x18: acquires that were granted; a floor's operations.
    pub acquires: u64,
    /// Offset 0x20: acquires that were refused.
    pub refused: u64,
    /// Offset 0x28: times that the object was run down, waited for, completed and re-initialised.
    pub generations: u64,
    /// Offset 0x30: generations in which a holder was inside when the wait began.
    pub contested: u64,
    /// Offset 0x38.
    pub ways_out: WaysOut,
    /// Offset 0x68.
    pub violations: Violations,
    /// Offset 0x78: what the operations themselves take, without the hold: an acquire and its release, or a refusal.
    /// Every 16th operation after the warm-up is measured, with the time stamp counter's own cost.
    pub operation: Latency,
    /// Offset 0x128: from the moment before the last release until the wait has returned, of waits that found a holder inside,
    /// after the warm-up.
    pub hand_over: Latency,
}

const _: () = assert!(size_of::<StressArmResult>() == 0x1D8);

/// Asks for [`StressTurns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressTurnsQuery {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number.
    pub run: u64,
    /// Offset 0x10: the first turn to tell of, from 0.
    pub first: u32,
    /// Offset 0x14: zero.
    pub reserved: u32,
}

impl StressTurnsQuery {
    /// A request about the turns of run `run`, from turn `first` on.
    #[must_use]
    pub const fn new(run: u64, first: u32) -> Self {
        Self {
            header: Header::of::<Self>(),
            run,
            first,
            reserved: 0,
        }
    }
}

impl Request for StressTurnsQuery {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.reserved != 0 {
            return Err(Refusal::Reserved);
        }
        Ok(())
    }
}

/// One turn of one arm, without its warm-up. `cycles * threads / operations` is what an operation took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Turn {
    /// Offset 0x00: the [`Arm`].
    pub arm: u32,
    /// Offset 0x04: the round, from 0.
    pub round: u32,
    /// Offset 0x08: acquires of all holders, granted or refused; a floor's operations.
    pub operations: u64,
    /// Offset 0x10: times that the object was run down.
    pub generations: u64,
    /// Offset 0x18: how long it lasted, in nanoseconds.
    pub nanoseconds: u64,
    /// Offset 0x20: how long it lasted, in TSC cycles.
    pub cycles: u64,
}

/// Turns per answer to [`StressTurnsQuery`].
pub const TURNS_PER_ANSWER: usize = 16;

/// Turns that are over, from the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressTurns {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number.
    pub run: u64,
    /// Offset 0x10: turns of the run that are over.
    pub done: u32,
    /// Offset 0x14: how many of the following are filled; the others are zero.
    pub count: u32,
    /// Offset 0x18.
    pub turns: [Turn; TURNS_PER_ANSWER],
}

const _: () = assert!(size_of::<StressTurns>() == 0x18 + TURNS_PER_ANSWER * 0x28);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn an_arm_query_names_an_arm() {
        let query = StressArmQuery::new(1, Arm::Native);
        assert_eq!(parse::<StressArmQuery>(query.as_bytes()), Ok(query));
        for arm in [0, 10, u32::MAX] {
            let query = StressArmQuery { arm, ..query };
            assert_eq!(parse::<StressArmQuery>(query.as_bytes()), Err(Refusal::Arm));
        }
    }

    #[test]
    fn reserved_fields_are_zero() {
        let query = StressArmQuery {
            reserved: 1,
            ..StressArmQuery::new(1, Arm::Ours)
        };
        assert_eq!(parse::<StressArmQuery>(query.as_bytes()), Err(Refusal::Reserved));
        let query = StressTurnsQuery {
            reserved: 1,
            ..StressTurnsQuery::new(1, 0)
        };
        assert_eq!(
            parse::<StressTurnsQuery>(query.as_bytes()),
            Err(Refusal::Reserved)
        );
    }
}
