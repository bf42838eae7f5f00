//! The two check policies, and the misuse that the checked one detects.

mod sealed {
    pub trait Sealed {}
}

/// Whether misuse is detected. A type parameter, because one driver needs both: [`Strict`] for itself, [`Parity`]
/// to be compared with NT in lock-step.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Check, Parity, RundownRef, Strict};
/// # type Nt = rundown_std::Std;
/// fn name<C: Check>(_: &RundownRef<Nt, C>) -> &'static str {
///     if C::CHECKED { "strict" } else { "parity" }
/// }
/// assert_eq!(name(&RundownRef::<Nt>::new()), "strict");
/// // SAFETY: it is not used.
/// assert_eq!(name(&unsafe { RundownRef::<Nt, Parity>::with_policy() }), "parity");
/// ```
pub trait Check: sealed::Sealed + 'static {
    /// Detect misuse, and leave `1` instead of a stale pointer.
    const CHECKED: bool;
}

/// Detects misuse; the word never holds a stale pointer. The default.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{RundownRef, State, Strict};
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt, Strict>::new();
/// reference.wait();
/// assert_eq!(reference.state(), State::RunDown);
/// ```
#[derive(Debug)]
pub struct Strict;

/// Leaves every word exactly as NT does, misuse included. It is for comparison with NT, and no more.
///
/// What hangs or corrupts memory in NT does so here: a second wait after a blocking one, two waits at a time, a
/// release too many. One crash is made a defined one: a release after [`completed`](crate::RundownRef::completed),
/// for which NT subtracts at address 0, ends in [`Platform::misuse`](crate::Platform::misuse) here as well.
///
/// # Rules
///
/// Under this policy methods are not safe that are safe under [`Strict`]. So a reference is only made by an unsafe function,
/// whose caller sees to it that everybody who reaches the reference keeps NT's rules:
///
/// 1. One thread at a time waits, completes or re-initialises, and only while no reference is out and nobody waits are
///    [`completed`](crate::RundownRef::completed) and [`reinitialize`](crate::RundownRef::reinitialize) called: the next
///    waiter's frame would go while a holder is left.
/// 2. A wait is followed by `completed` or `reinitialize` before the next wait.
/// 3. A counted acquire takes fewer than 2^31 references, of which the word counts no more than it can hold: a caller that
///    was granted more owns references that nobody waits for.
///
/// For the same reasons there are no guards, no [`Protection`](crate::Protection) and no [`Rundown`](crate::Rundown) under
/// this policy.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Parity, RundownRef};
/// # type Nt = rundown_std::Std;
/// // SAFETY: nobody waits for it.
/// let reference = unsafe { RundownRef::<Nt, Parity>::with_policy() };
/// // SAFETY: a release too many, whose outcome is NT's: the word goes negative, and nothing is touched.
/// unsafe { reference.release() };
/// assert_eq!(reference.state().word() as isize, -2);
/// ```
///
/// It cannot be made by safe code:
///
/// ```compile_fail,E0308
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Parity, RundownRef};
/// # type Nt = rundown_std::Std;
/// let reference: RundownRef<Nt, Parity> = RundownRef::new();
/// ```
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

/// What a caller did wrong: what [`Platform::misuse`](crate::Platform::misuse) is told, and a bugcheck's first
/// parameter in a driver.
///
/// Detected under [`Strict`], and under [`Parity`] where NT crashes as well. Under [`Strict`] a word is as it was found when
/// misuse of it is reported, but for what only a published wait block shows.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Misuse, RundownRef};
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt>::new();
/// // SAFETY: there is nothing to release, and Strict detects that. std's platform panics.
/// let released = std::panic::catch_unwind(|| unsafe { reference.release() });
/// assert!(released.is_err());
/// assert_eq!(Misuse::ReleaseWithoutAcquire as u32, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Misuse {
    /// A release of more references than are outstanding. NT's word becomes negative, and a later wait hangs.
    ReleaseWithoutAcquire = 1,
    /// A release after run-down was complete. NT subtracts at address 0, a bugcheck too.
    ReleaseAfterRundown = 2,
    /// A wait while another thread waits. In NT both hang.
    ConcurrentWait = 3,
    /// More releases than references during a wait. NT never wakes the waiter.
    ReleaseTooMany = 4,
    /// `completed` with references outstanding or a thread waiting. In NT their releases corrupt memory.
    CompletedInUse = 5,
    /// `reinitialize` with references outstanding or a thread waiting. In NT their releases underflow.
    ReinitializedInUse = 6,
    /// More references than a word may count: half of what it can hold.
    TooManyReferences = 7,
    /// A cache-aware wait that has to sleep, at `DISPATCH_LEVEL` or above. NT's fails in the scheduler.
    WaitAtDispatchLevel = 8,
    /// A C pointer that is null or misaligned, or memory that is too small. NT faults, or corrupts what follows.
    BadMemory = 9,
    /// `ExInitializeRundownProtectionCacheAwareEx` with flags. Microsoft documents none.
    UnknownFlags = 10,
}
