//! Starting a run: arms, workload, parameters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Limits;
use crate::{Arm, Header, Refusal, Request, Waiter, Workload};

impl Arm {
    /// The set of all arms.
    pub const EVERY: u32 = (1 << Self::ALL.len()) - 1;

    /// The set of this arm alone; sets are united by `|`.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << (self as u32 - 1)
    }

    /// The arms of a set, in the order of their numbers.
    #[must_use]
    pub fn of_set(set: u32) -> impl DoubleEndedIterator<Item = Self> + Clone {
        Self::ALL.iter().copied().filter(move |arm| set & arm.bit() != 0)
    }

    /// Whether it protects nothing and is only there to be measured from.
    #[must_use]
    pub const fn is_floor(self) -> bool {
        matches!(self, Self::EmptyCall | Self::LockXadd)
    }

    /// Whether its wait needs to be below `DISPATCH_LEVEL`: a cache-aware reference's always sleeps, and the one for `DISPATCH_LEVEL` goes
    /// from processor to processor.
    #[must_use]
    pub const fn waits_below_dispatch(self) -> bool {
        matches!(
            self,
            Self::OursCacheAware | Self::NativeCacheAware | Self::OursDispatch
        )
    }

    /// Whether it is the system's.
    #[must_use]
    pub const fn is_native(self) -> bool {
        matches!(self, Self::Native | Self::NativeCacheAware)
    }
}

impl Workload {
    /// Whether there is an owner that runs the object down again and again.
    #[must_use]
    pub const fn has_owner(self) -> bool {
        matches!(self, Self::Storm | Self::HandOff | Self::Batches | Self::Dpcs)
    }

    /// Whether a floor can take part.
    #[must_use]
    pub const fn allows_floors(self) -> bool {
        matches!(self, Self::Uncontended | Self::Contended)
    }
}

/// The flags of [`StressStart`].
pub mod flags {
    /// References, and what they protect, share cache lines with their neighbours.
    pub const FALSE_SHARING: u32 = 1;
    /// Let the system's routine wait at `DISPATCH_LEVEL`, where its documentation does not allow it.
    pub const FORCE_NATIVE_AT_DISPATCH: u32 = 2;
    /// All flags.
    pub const EVERY: u32 = FALSE_SHARING | FORCE_NATIVE_AT_DISPATCH;
}

/// Starts a run.
///
/// The arms take turns, in rounds that go forth and back (`A B C C B A`), so that whatever drifts during the run
/// weighs on each alike. All turns last equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressStart {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: a set of [`Arm`]s, by [`Arm::bit`].
    pub arms: u32,
    /// Offset 0x0C: a [`Workload`].
    pub workload: u32,
    /// Offset 0x10: holder threads; a [`Workload::HandOff`] takes two at least.
    pub threads: u32,
    /// Offset 0x14: duration of the whole run in milliseconds. Holds and gaps end with their turn, and nobody waits for
    /// another thread; but a turn is over only when each of its threads has had a processor once more.
    pub milliseconds: u32,
    /// Offset 0x18: rounds, each of two turns per arm.
    pub rounds: u32,
    /// Offset 0x1C: how much of each turn, from its beginning, does not count for latencies and for [`Turn`]s, in
    /// milliseconds.
    ///
    /// [`Turn`]: crate::Turn
    pub warm_up_milliseconds: u32,
    /// Offset 0x20: each hold lasts a random time of up to this many TSC cycles.
    pub hold_cycles: u32,
    /// Offset 0x24: the owner lets each generation live for a random time of up to this many TSC cycles.
    pub gap_cycles: u32,
    /// Offset 0x28: a [`Waiter`].
    pub waiter: u32,
    /// Offset 0x2C: the spin budget of our waiters below `DISPATCH_LEVEL` in TSC cycles; 0 keeps the driver's.
    pub spin_cycles: u32,
    /// Offset 0x30: references per batch of [`Workload::Batches`]; 1 for the other workloads.
    pub batch: u32,
    /// Offset 0x34: a wait that lasts longer, in milliseconds, is reported as stalled; 0 keeps the driver's.
    pub stall_milliseconds: u32,
    /// Offset 0x38: of [`flags`].
    pub flags: u32,
    /// Offset 0x3C: zero.
    pub reserved: u32,
    /// Offset 0x40: seeds the random times.
    pub seed: u64,
}

const _: () = assert!(size_of::<StressStart>() == 0x48);

impl StressStart {
    /// A storm of one arm with short holds, to be changed as needed.
    #[must_use]
    pub const fn storm(arm: Arm, threads: u32, milliseconds: u32) -> Self {
        Self {
            header: Header::of::<Self>(),
            arms: arm.bit(),
            workload: Workload::Storm as u32,
            threads,
            milliseconds,
            rounds: 1,
            warm_up_milliseconds: 0,
            hold_cycles: 2_000,
            gap_cycles: 20_000,
            waiter: Waiter::Passive as u32,
            spin_cycles: 0,
            batch: 1,
            stall_milliseconds: 0,
            flags: 0,
            reserved: 0,
            seed: 1,
        }
    }

    /// How many turns its arms take together.
    #[must_use]
    pub const fn turns(&self) -> u32 {
        self.rounds
            .saturating_mul(2)
            .saturating_mul(self.arms.count_ones())
    }

    /// How long each turn lasts, in microseconds; 0 when there are no turns.
    #[must_use]
    pub fn turn_microseconds(&self) -> u64 {
        (u64::from(self.milliseconds) * 1_000)
            .checked_div(self.turns().into())
            .unwrap_or(0)
    }

    /// Checks it against the limits that a driver enforces.
    ///
    /// # Errors
    /// The first field that is wrong, in the order of [`Refusal::ALL`].
    pub fn check_against(&self, limits: &Limits) -> Result<(), Refusal> {
        let refuse_unless = |sound: bool, refusal| if sound { Ok(()) } else { Err(refusal) };
        let within = |value: u32, most: u32, refusal| refuse_unless(value <= most, refusal);
        let at_least_one =
            |value: u32, most: u32, refusal| refuse_unless(value >= 1 && value <= most, refusal);

        refuse_unless(self.arms != 0 && self.arms & !Arm::EVERY == 0, Refusal::Arm)?;
        let workload = Workload::from_wire(self.workload).ok_or(Refusal::Workload)?;
        at_least_one(self.threads, limits.threads, Refusal::Threads)?;
        refuse_unless(
            workload != Workload::HandOff || self.threads >= 2,
            Refusal::Threads,
        )?;
        at_least_one(self.milliseconds, limits.milliseconds, Refusal::Milliseconds)?;
        at_least_one(self.rounds, limits.turns, Refusal::Rounds)?;
        refuse_unless(
            self.turns() <= limits.turns && self.turn_microseconds() >= 1_000,
            Refusal::Rounds,
        )?;
        refuse_unless(
            u64::from(self.warm_up_milliseconds) * 1_000 < self.turn_microseconds(),
            Refusal::WarmUp,
        )?;
        let waiter = Waiter::from_wire(self.waiter).ok_or(Refusal::Waiter)?;
        // Without an owner there is no waiter whose level the holders would follow.
        let waits_at_dispatch = workload.has_owner() && waiter == Waiter::Dispatch;
        let hold = if waits_at_dispatch || workload == Workload::Dpcs {
            limits.dispatch_hold_cycles
        } else {
            limits.hold_cycles
        };
        within(self.hold_cycles, hold, Refusal::Hold)?;
        within(self.gap_cycles, limits.gap_cycles, Refusal::Gap)?;
        within(self.spin_cycles, limits.spin_cycles, Refusal::Spin)?;
        let batch = if workload == Workload::Batches {
            limits.batch
        } else {
            1
        };
        at_least_one(self.batch, batch, Refusal::Batch)?;
        refuse_unless(
            self.flags & !flags::EVERY == 0 && self.reserved == 0,
            Refusal::Reserved,
        )?;
        let any = |property: fn(Arm) -> bool| Arm::of_set(self.arms).any(property);
        refuse_unless(
            workload.allows_floors() || !any(Arm::is_floor),
            Refusal::FloorWorkload,
        )?;
        if waits_at_dispatch {
            refuse_unless(!any(Arm::waits_below_dispatch), Refusal::CacheAwareAtDispatch)?;
            refuse_unless(
                !any(Arm::is_native) || self.flags & flags::FORCE_NATIVE_AT_DISPATCH != 0,
                Refusal::NativeAtDispatch,
            )?;
        }
        Ok(())
    }
}

impl Request for StressStart {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        self.check_against(&Limits::DEFAULT)
    }
}

/// The answer to [`StressStart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StressStarted {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the run's number, for [`StressQuery`](crate::StressQuery) and its relatives.
    pub run: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const LIMITS: Limits = Limits::DEFAULT;

    fn refusal(change: impl FnOnce(&mut StressStart)) -> Result<(), Refusal> {
        let mut start = StressStart::storm(Arm::Ours, 3, 100);
        change(&mut start);
        parse::<StressStart>(start.as_bytes()).map(|_| ())
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        assert_eq!(refusal(|_| ()), Ok(()));
        assert_eq!(refusal(|s| s.threads = LIMITS.threads), Ok(()));
        assert_eq!(refusal(|s| s.milliseconds = LIMITS.milliseconds), Ok(()));
        assert_eq!(refusal(|s| s.hold_cycles = LIMITS.hold_cycles), Ok(()));
        assert_eq!(refusal(|s| s.gap_cycles = LIMITS.gap_cycles), Ok(()));
        assert_eq!(refusal(|s| s.spin_cycles = LIMITS.spin_cycles), Ok(()));
        assert_eq!(refusal(|s| s.stall_milliseconds = u32::MAX), Ok(()));
        assert_eq!(refusal(|s| s.warm_up_milliseconds = 49), Ok(()));
        assert_eq!(refusal(|s| s.rounds = 50), Ok(()));
        let batch = |s: &mut StressStart| {
            s.workload = Workload::Batches as u32;
            s.batch = LIMITS.batch;
        };
        assert_eq!(refusal(batch), Ok(()));
        let turns = |s: &mut StressStart| {
            s.milliseconds = LIMITS.turns;
            s.rounds = LIMITS.turns / 2;
        };
        assert_eq!(refusal(turns), Ok(()));
    }

    #[test]
    fn each_field_has_its_own_refusal() {
        for arms in [0, 1 << Arm::ALL.len(), u32::MAX] {
            assert_eq!(refusal(|s| s.arms = arms), Err(Refusal::Arm));
        }
        for workload in [0, 8, u32::MAX] {
            assert_eq!(refusal(|s| s.workload = workload), Err(Refusal::Workload));
        }
        for threads in [0, LIMITS.threads + 1, u32::MAX] {
            assert_eq!(refusal(|s| s.threads = threads), Err(Refusal::Threads));
        }
        for milliseconds in [0, LIMITS.milliseconds + 1] {
            assert_eq!(
                refusal(|s| s.milliseconds = milliseconds),
                Err(Refusal::Milliseconds)
            );
        }
        // 51 rounds of two turns do not fit into 100 ms.
        for rounds in [0, 51, LIMITS.turns / 2 + 1, u32::MAX] {
            assert_eq!(refusal(|s| s.rounds = rounds), Err(Refusal::Rounds));
        }
        for warm_up in [50, u32::MAX] {
            assert_eq!(
                refusal(|s| s.warm_up_milliseconds = warm_up),
                Err(Refusal::WarmUp)
            );
        }
        for waiter in [0, 4] {
            assert_eq!(refusal(|s| s.waiter = waiter), Err(Refusal::Waiter));
        }
        assert_eq!(
            refusal(|s| s.hold_cycles = LIMITS.hold_cycles + 1),
            Err(Refusal::Hold)
        );
        assert_eq!(
            refusal(|s| s.gap_cycles = LIMITS.gap_cycles + 1),
            Err(Refusal::Gap)
        );
        assert_eq!(
            refusal(|s| s.spin_cycles = LIMITS.spin_cycles + 1),
            Err(Refusal::Spin)
        );
        for batch in [0, 2] {
            assert_eq!(refusal(|s| s.batch = batch), Err(Refusal::Batch));
        }
        assert_eq!(refusal(|s| s.flags = 4), Err(Refusal::Reserved));
        assert_eq!(refusal(|s| s.reserved = 1), Err(Refusal::Reserved));
    }

    #[test]
    fn batches_are_limited() {
        let batches = |batch| {
            refusal(|s| {
                s.workload = Workload::Batches as u32;
                s.batch = batch;
            })
        };
        assert_eq!(batches(0), Err(Refusal::Batch));
        assert_eq!(batches(LIMITS.batch + 1), Err(Refusal::Batch));
    }

    #[test]
    fn a_hand_off_needs_a_neighbour() {
        let hand_off = |threads| {
            refusal(|s| {
                s.workload = Workload::HandOff as u32;
                s.threads = threads;
            })
        };
        assert_eq!(hand_off(1), Err(Refusal::Threads));
        assert_eq!(hand_off(2), Ok(()));
    }

    #[test]
    fn holds_at_dispatch_level_are_shorter() {
        let over = LIMITS.dispatch_hold_cycles + 1;
        assert_eq!(refusal(|s| s.hold_cycles = over), Ok(()));
        for change in [
            |s: &mut StressStart| s.waiter = Waiter::Dispatch as u32,
            |s: &mut StressStart| s.workload = Workload::Dpcs as u32,
        ] {
            let long = |s: &mut StressStart| {
                change(s);
                s.hold_cycles = over;
            };
            assert_eq!(refusal(long), Err(Refusal::Hold));
        }
    }

    /// Two fields are wrong: the one that the document lists first is named.
    #[test]
    fn refusals_come_in_the_order_of_the_document() {
        type Change = fn(&mut StressStart);
        let wrong: [(Refusal, Change); 13] = [
            (Refusal::Arm, |s| s.arms = 0),
            (Refusal::Workload, |s| s.workload = 0),
            (Refusal::Threads, |s| s.threads = 0),
            (Refusal::Milliseconds, |s| s.milliseconds = 0),
            (Refusal::Rounds, |s| s.rounds = 0),
            (Refusal::WarmUp, |s| s.warm_up_milliseconds = u32::MAX),
            (Refusal::Waiter, |s| s.waiter = 0),
            (Refusal::Hold, |s| s.hold_cycles = u32::MAX),
            (Refusal::Gap, |s| s.gap_cycles = u32::MAX),
            (Refusal::Spin, |s| s.spin_cycles = u32::MAX),
            (Refusal::Batch, |s| s.batch = 0),
            (Refusal::Reserved, |s| s.reserved = 1),
            (Refusal::FloorWorkload, |s| s.arms |= Arm::LockXadd.bit()),
        ];
        let listed = |refusal: Refusal| Refusal::ALL.iter().position(|&listed| listed == refusal);
        for (index, (first, change)) in wrong.iter().enumerate() {
            for (second, another) in &wrong[index + 1..] {
                assert!(listed(*first) < listed(*second), "{first:?} {second:?}");
                let both = |s: &mut StressStart| {
                    another(s);
                    change(s);
                };
                assert_eq!(refusal(both), Err(*first), "{second:?} is wrong too");
            }
        }
    }

    #[test]
    fn the_level_of_a_waiter_that_there_is_not_does_not_matter() {
        for &workload in Workload::ALL.iter().filter(|workload| !workload.has_owner()) {
            for &waiter in Waiter::ALL {
                let longest = |s: &mut StressStart| {
                    s.workload = workload as u32;
                    s.waiter = waiter as u32;
                    s.hold_cycles = LIMITS.hold_cycles;
                    s.arms = Arm::ALL
                        .iter()
                        .filter(|arm| !arm.is_floor() || workload.allows_floors())
                        .fold(0, |set, arm| set | arm.bit());
                };
                assert_eq!(refusal(longest), Ok(()), "{workload:?} {waiter:?}");
            }
        }
    }

    #[test]
    fn floors_have_no_run_down() {
        for &workload in Workload::ALL {
            for &arm in Arm::ALL {
                let expected = if arm.is_floor() && !workload.allows_floors() {
                    Err(Refusal::FloorWorkload)
                } else {
                    Ok(())
                };
                let change = |s: &mut StressStart| {
                    s.workload = workload as u32;
                    s.arms = Arm::Ours.bit() | arm.bit();
                };
                assert_eq!(refusal(change), expected, "{arm:?} {workload:?}");
            }
        }
    }

    #[test]
    fn not_every_arm_waits_at_dispatch_level() {
        let at_dispatch = |arm: Arm, flags| {
            refusal(|s| {
                s.arms = arm.bit();
                s.waiter = Waiter::Dispatch as u32;
                s.flags = flags;
            })
        };
        let force = flags::FORCE_NATIVE_AT_DISPATCH;
        assert_eq!(at_dispatch(Arm::Ours, 0), Ok(()));
        assert_eq!(at_dispatch(Arm::OursWide, 0), Ok(()));
        assert_eq!(at_dispatch(Arm::Native, 0), Err(Refusal::NativeAtDispatch));
        assert_eq!(at_dispatch(Arm::Native, force), Ok(()));
        assert_eq!(at_dispatch(Arm::OursWideCacheAware, 0), Ok(()));
        for arm in [Arm::OursCacheAware, Arm::NativeCacheAware, Arm::OursDispatch] {
            assert_eq!(at_dispatch(arm, force), Err(Refusal::CacheAwareAtDispatch));
        }
    }

    #[test]
    fn sets_hold_their_arms() {
        assert_eq!(Arm::of_set(Arm::EVERY).count(), Arm::ALL.len());
        for &arm in Arm::ALL {
            assert!(Arm::of_set(arm.bit()).eq([arm]));
        }
        assert!(Arm::of_set(Arm::Native.bit() | Arm::Ours.bit()).eq([Arm::Ours, Arm::Native]));
    }

    #[test]
    fn turns_share_the_time() {
        let mut start = StressStart::storm(Arm::Ours, 1, 1_000);
        assert_eq!((start.turns(), start.turn_microseconds()), (2, 500_000));
        start.arms |= Arm::Native.bit() | Arm::LockXadd.bit();
        start.rounds = 3;
        assert_eq!((start.turns(), start.turn_microseconds()), (18, 55_555));
        start.arms = 0;
        assert_eq!((start.turns(), start.turn_microseconds()), (0, 0));
    }
}
