//! The two check policies, and the misuse that the checked one detects.

mod sealed {
    pub trait Sealed {}
}

/// Whether misuse is detected. A type parameter, because one driver needs both: [`Strict`] for itself, [`Parity`]
/// to be compared with NT in lock-step.
pub trait Check: sealed::Sealed + 'static {
    /// Detect misuse, and leave `1` instead of a stale pointer.
    const CHECKED: bool;
}

/// Detects misuse; the word never holds a stale pointer. The default.
#[derive(Debug)]
pub struct Strict;

/// Leaves every word exactly as NT does, misuse included.
///
/// What hangs or corrupts memory in NT does so here: a second wait after a blocking one, two waits at a time, a
/// release too many.
#[derive(Debug)]
pub struct Parity;

impl sealed::Sealed for Strict {}
impl sealed::Sealed for Parity {}

impl Check for Strict {
    const CHECKED: bool = true;
}

impl Check for Parity {
    const CHECKED: bool = false;
}

/// What a caller did wrong. Detected under [`Strict`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Misuse {
    /// A release with no reference outstanding. NT's word becomes -2, and a later wait hangs.
    ReleaseWithoutAcquire = 1,
    /// A release after run-down was complete. NT subtracts at address 0.
    ReleaseAfterRundown = 2,
    /// A wait while another thread waits. In NT both hang.
    ConcurrentWait = 3,
    /// More releases than references during a wait. NT never wakes the waiter.
    ReleaseTooMany = 4,
    /// `completed` with references outstanding or a thread waiting. In NT their releases corrupt memory.
    CompletedInUse = 5,
    /// `reinitialize` with references outstanding or a thread waiting. In NT their releases underflow.
    ReinitializedInUse = 6,
}
