//! The stress run: its parameters, its counters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Refusal, Request};

/// Whose run-down protection a run exercises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Arm {
    /// The crate `ex-rundown`, with its checks on.
    Ours = 1,
    /// The operating system's `ExAcquireRundownProtection` and its relatives.
    Native = 2,
}

impl Arm {
    /// The arm behind its number on the wire.
    #[must_use]
    pub const fn from_wire(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::Ours),
            2 => Some(Self::Native),
            _ => None,
        }
    }
}

/// At which IRQL the run-down is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Waiter {
    /// `PASSIVE_LEVEL`: spin for the budget, then sleep.
    Passive = 1,
    /// `DISPATCH_LEVEL`: spin until the end. Holders hold at `DISPATCH_LEVEL` on other processors.
    Dispatch = 2,
}

impl Waiter {
    /// The waiter behind its number on the wire.
    #[must_use]
    pub const fn from_wire(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::Passive),
            2 => Some(Self::Dispatch),
            _ => None,
        }
    }
}

/// What a run may ask for. The driver enforces its own; [`Info`](crate::Info) tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Limits {
    /// Offset 0x00: holder threads.
    pub threads: u32,
    /// Offset 0x04: duration in milliseconds.
    pub milliseconds: u32,
    /// Offset 0x08: hold time in TSC cycles for a passive waiter.
    pub hold_cycles: u32,
    /// Offset 0x0C: hold time in TSC cycles for a waiter at `DISPATCH_LEVEL`: about 100 us, far below the
    /// watchdog that bugchecks a processor for staying there.
    pub dispatch_hold_cycles: u32,
    /// Offset 0x10: time between run-downs in TSC cycles.
    pub gap_cycles: u32,
    /// Offset 0x14: spin budget in TSC cycles.
    pub spin_cycles: u32,
}

impl Limits {
    /// The limits of this version of the driver.
    pub const DEFAULT: Self = Self {
        threads: 64,
        milliseconds: 3_600_000,
        hold_cycles: 100_000_000,
        dispatch_hold_cycles: 300_000,
        gap_cycles: 100_000_000,
        spin_cycles: 100_000_000,
    };
}

/// Starts a run: `threads` holders acquire, hold and release while one owner runs the object down, waits,
/// completes and re-initialises it, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressStart {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: an [`Arm`].
    pub arm: u32,
    /// Offset 0x0C: holder threads.
    pub threads: u32,
    /// Offset 0x10: duration in milliseconds.
    pub milliseconds: u32,
    /// Offset 0x14: each hold lasts a random time of up to this many TSC cycles.
    pub hold_cycles: u32,
    /// Offset 0x18: the owner lets each generation live for a random time of up to this many TSC cycles.
    pub gap_cycles: u32,
    /// Offset 0x1C: a [`Waiter`].
    pub waiter: u32,
    /// Offset 0x20: the spin budget of a passive waiter of ours in TSC cycles; 0 keeps the driver's.
    pub spin_cycles: u32,
    /// Offset 0x24: zero.
    pub reserved: u32,
    /// Offset 0x28: seeds the random times.
    pub seed: u64,
}

const _: () = assert!(size_of::<StressStart>() == 0x30);

impl Request for StressStart {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        let limits = Limits::DEFAULT;
        if Arm::from_wire(self.arm).is_none() {
            return Err(Refusal::Arm);
        }
        if self.threads == 0 || self.threads > limits.threads {
            return Err(Refusal::Threads);
        }
        if self.milliseconds == 0 || self.milliseconds > limits.milliseconds {
            return Err(Refusal::Milliseconds);
        }
        let hold = match Waiter::from_wire(self.waiter).ok_or(Refusal::Waiter)? {
            Waiter::Passive => limits.hold_cycles,
            Waiter::Dispatch => limits.dispatch_hold_cycles,
        };
        if self.hold_cycles > hold {
            return Err(Refusal::Hold);
        }
        if self.gap_cycles > limits.gap_cycles {
            return Err(Refusal::Gap);
        }
        if self.spin_cycles > limits.spin_cycles {
            return Err(Refusal::Spin);
        }
        if self.reserved != 0 {
            return Err(Refusal::Reserved);
        }
        Ok(())
    }
}

/// The answer to [`StressStart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressStarted {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number, for [`StressQuery`].
    pub run: u64,
}

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

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RunState {
    /// Its threads are at work; the counters are those so far.
    Running = 1,
    /// It ended by itself; the counters are final.
    Finished = 2,
    /// It was stopped; the counters are final.
    Stopped = 3,
}

impl RunState {
    /// The state behind its number on the wire.
    #[must_use]
    pub const fn from_wire(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::Running),
            2 => Some(Self::Finished),
            3 => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// Waits by the way in which they ended. All zero for the native arm, which does not tell.
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

/// The counters of a run, so far or final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressResult {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number.
    pub run: u64,
    /// Offset 0x10: a [`RunState`].
    pub state: u32,
    /// Offset 0x14: an [`Arm`].
    pub arm: u32,
    /// Offset 0x18: time since the start, or of the whole run, in microseconds.
    pub microseconds: u64,
    /// Offset 0x20: acquires that were granted.
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
}

const _: () = assert!(size_of::<StressResult>() == 0x80);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn valid() -> StressStart {
        StressStart {
            header: Header::of::<StressStart>(),
            arm: Arm::Ours as u32,
            threads: 3,
            milliseconds: 100,
            hold_cycles: 1000,
            gap_cycles: 1000,
            waiter: Waiter::Passive as u32,
            spin_cycles: 0,
            reserved: 0,
            seed: 1,
        }
    }

    fn refusal(change: impl FnOnce(&mut StressStart)) -> Result<(), Refusal> {
        let mut start = valid();
        change(&mut start);
        parse::<StressStart>(start.as_bytes()).map(|_| ())
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let limits = Limits::DEFAULT;
        assert_eq!(refusal(|s| s.threads = limits.threads), Ok(()));
        assert_eq!(refusal(|s| s.milliseconds = limits.milliseconds), Ok(()));
        assert_eq!(refusal(|s| s.hold_cycles = limits.hold_cycles), Ok(()));
        assert_eq!(refusal(|s| s.gap_cycles = limits.gap_cycles), Ok(()));
        assert_eq!(refusal(|s| s.spin_cycles = limits.spin_cycles), Ok(()));
    }

    #[test]
    fn each_field_has_its_own_refusal() {
        let limits = Limits::DEFAULT;
        for arm in [0, 3, u32::MAX] {
            assert_eq!(refusal(|s| s.arm = arm), Err(Refusal::Arm));
        }
        for threads in [0, limits.threads + 1, u32::MAX] {
            assert_eq!(refusal(|s| s.threads = threads), Err(Refusal::Threads));
        }
        for milliseconds in [0, limits.milliseconds + 1] {
            assert_eq!(
                refusal(|s| s.milliseconds = milliseconds),
                Err(Refusal::Milliseconds)
            );
        }
        assert_eq!(
            refusal(|s| s.hold_cycles = limits.hold_cycles + 1),
            Err(Refusal::Hold)
        );
        assert_eq!(
            refusal(|s| s.gap_cycles = limits.gap_cycles + 1),
            Err(Refusal::Gap)
        );
        for waiter in [0, 3] {
            assert_eq!(refusal(|s| s.waiter = waiter), Err(Refusal::Waiter));
        }
        assert_eq!(
            refusal(|s| s.spin_cycles = limits.spin_cycles + 1),
            Err(Refusal::Spin)
        );
        assert_eq!(refusal(|s| s.reserved = 1), Err(Refusal::Reserved));
    }

    #[test]
    fn a_dispatch_waiter_allows_shorter_holds() {
        let over = Limits::DEFAULT.dispatch_hold_cycles + 1;
        assert_eq!(refusal(|s| s.hold_cycles = over), Ok(()));
        let change = |s: &mut StressStart| {
            s.hold_cycles = over;
            s.waiter = Waiter::Dispatch as u32;
        };
        assert_eq!(refusal(change), Err(Refusal::Hold));
    }
}
