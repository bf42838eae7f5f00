//! Interoperation: ours and the operating system's routines on one word.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Pairing, Refusal, Request, object::limits};

/// Runs rounds of one pairing, after a probe has found the wait block of this system to be the one that ours shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct InteropRun {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: a [`Pairing`].
    pub pairing: u32,
    /// Offset 0x0C: how many rounds, 1 or more.
    pub rounds: u32,
    /// Offset 0x10: seeds the counts and their order.
    pub seed: u64,
}

impl InteropRun {
    /// A request for `rounds` rounds.
    #[must_use]
    pub const fn new(pairing: Pairing, rounds: u32, seed: u64) -> Self {
        Self {
            header: Header::of::<Self>(),
            pairing: pairing as u32,
            rounds,
            seed,
        }
    }
}

impl Request for InteropRun {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        if Pairing::from_wire(self.pairing).is_none() {
            return Err(Refusal::Pair);
        }
        if self.rounds == 0 || self.rounds > limits::STEPS {
            return Err(Refusal::Steps);
        }
        Ok(())
    }
}

/// The answer to [`InteropRun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct InteropResult {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the [`Pairing`].
    pub pairing: u32,
    /// Offset 0x0C: 1 when the last check failed, which ends the run; 0 when all held.
    pub differences: u32,
    /// Offset 0x10: rounds that were completed.
    pub rounds: u64,
    /// Offset 0x18: checks that were made.
    pub checks: u64,
    /// Offset 0x20: references that one side acquired and the other released.
    pub references: u64,
    /// Offset 0x28: the [`InteropCheck`](crate::InteropCheck) that failed; 0 when none did, and then the next three are 0 as well.
    pub failed: u32,
    /// Offset 0x2C: zero.
    pub reserved: u32,
    /// Offset 0x30: what should have been.
    pub expected: u64,
    /// Offset 0x38: what was; [`ObjectState::MASK`](crate::ObjectState::MASK) for anything beyond 32 bits, which may be a pointer.
    pub found: u64,
}

const _: () = assert!(size_of::<InteropResult>() == 0x40);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn refusal(pairing: u32, rounds: u32) -> Result<(), Refusal> {
        let mut run = InteropRun::new(Pairing::NativeAcquiresOursReleases, rounds, 1);
        run.pairing = pairing;
        parse::<InteropRun>(run.as_bytes()).map(|_| ())
    }

    #[test]
    fn each_field_has_its_own_refusal() {
        for &pairing in Pairing::ALL {
            assert_eq!(Pairing::from_wire(pairing as u32), Some(pairing));
            assert_eq!(refusal(pairing as u32, 1), Ok(()));
            assert_eq!(refusal(pairing as u32, 0), Err(Refusal::Steps));
            assert_eq!(refusal(pairing as u32, limits::STEPS + 1), Err(Refusal::Steps));
        }
        for pairing in [0, 5, u32::MAX] {
            assert_eq!(refusal(pairing, 1), Err(Refusal::Pair));
        }
    }
}
