//! What a run may ask for, and what objects may cost in all.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a run may ask for, and what objects may cost in all. The driver enforces its own; [`Info`](crate::Info) tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Limits {
    /// Offset 0x00: holder threads.
    pub threads: u32,
    /// Offset 0x04: duration in milliseconds.
    pub milliseconds: u32,
    /// Offset 0x08: hold time in TSC cycles below `DISPATCH_LEVEL`.
    pub hold_cycles: u32,
    /// Offset 0x0C: hold time in TSC cycles at `DISPATCH_LEVEL`: at most 50 us, so that a processor stays there for 100 us at
    /// most, with all that is around a hold and with the wait for another's.
    pub dispatch_hold_cycles: u32,
    /// Offset 0x10: time between run-downs in TSC cycles.
    pub gap_cycles: u32,
    /// Offset 0x14: spin budget in TSC cycles.
    pub spin_cycles: u32,
    /// Offset 0x18: references that a holder takes at a time.
    pub batch: u32,
    /// Offset 0x1C: turns of all arms together: rounds, times two, times arms.
    pub turns: u32,
    /// Offset 0x20: bytes of pool for a run's counters and histograms.
    pub bytes: u32,
    /// Offset 0x24: bytes of pool for the objects of all handles together.
    pub object_bytes: u32,
}

const _: () = assert!(size_of::<Limits>() == 0x28);

impl Limits {
    /// The limits of this version of the driver. The registry may lower some, and the machine the hold time at
    /// `DISPATCH_LEVEL`; none is ever above.
    pub const DEFAULT: Self = Self {
        threads: 64,
        milliseconds: 3_600_000,
        hold_cycles: 100_000_000,
        dispatch_hold_cycles: 150_000,
        gap_cycles: 100_000_000,
        spin_cycles: 100_000_000,
        batch: 1_000_000,
        turns: 4_096,
        bytes: 16 << 20,
        object_bytes: 16 << 20,
    };
}
