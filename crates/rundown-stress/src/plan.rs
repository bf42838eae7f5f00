//! What a run does.

pub use rundown_abi::{Waiter as Level, Workload};

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
