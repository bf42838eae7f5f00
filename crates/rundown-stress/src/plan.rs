//! What a run does.

/// What the threads of a run do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Workload {
    /// Holders acquire, hold and release one object while the owner runs it down again and again.
    Storm,
    /// Each holder acquires and releases an object of its own.
    Uncontended,
    /// All holders acquire and release one object; nobody runs it down.
    Contended,
    /// All holders are refused by one object that is run down.
    Refused,
    /// As the storm, but what a holder acquired is released by its neighbour.
    HandOff,
    /// As the storm, but a holder acquires a batch at once and releases it in two parts.
    Batches,
    /// As the storm, but holders acquire, hold and release in DPCs on other processors than the owner's.
    Dpcs,
}

impl Workload {
    /// Whether an owner runs the object down again and again.
    #[must_use]
    pub const fn has_owner(self) -> bool {
        matches!(self, Self::Storm | Self::HandOff | Self::Batches | Self::Dpcs)
    }
}

/// The IRQL of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `PASSIVE_LEVEL`.
    Passive,
    /// `APC_LEVEL`.
    Apc,
    /// `DISPATCH_LEVEL`; holders then hold there too, on other processors.
    Dispatch,
}

/// The workload, how long things last, and at which IRQL. Times are drawn anew each time, evenly from 0 to the bound.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What the threads do.
    pub workload: Workload,
    /// Where the owner waits.
    pub waiter: Level,
    /// How many holders there are.
    pub holders: usize,
    /// How long a holder holds, at most, in cycles.
    pub hold_cycles: u32,
    /// How long a generation lives before it is run down, at most, in cycles.
    pub gap_cycles: u32,
    /// How many references a holder takes at a time, at least one.
    pub batch: u32,
    /// Whether references, and what they protect, share cache lines.
    pub false_sharing: bool,
    /// How long a wait may last before it is reported as stalled, in cycles.
    pub stall_cycles: u64,
    /// Seeds the times.
    pub seed: u64,
}
