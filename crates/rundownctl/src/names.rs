//! The protocol's enumerations by the names that people type and read.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mirrors an enumeration of the protocol. A variant that is missing here does not compile.
macro_rules! named {
    ($(#[$doc:meta])+ pub enum $name:ident { $($(#[$variant_doc:meta])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize, JsonSchema,
        )]
        pub enum $name {
            $(
                $(#[$variant_doc])+
                #[value(name = $text)]
                #[serde(rename = $text)]
                $variant,
            )+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name on the command line, in tables and in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The same on the wire.
            #[must_use]
            pub const fn wire(self) -> rundown_abi::$name {
                match self { $(Self::$variant => rundown_abi::$name::$variant),+ }
            }

            /// The name of what is on the wire.
            #[must_use]
            pub const fn of(wire: rundown_abi::$name) -> Self {
                match wire { $(rundown_abi::$name::$variant => Self::$variant),+ }
            }
        }
    };
}

named! {
    /// Whose run-down protection a run exercises, or the floor that it is measured from.
    pub enum Arm {
        /// Our plain reference, with its checks on
        Ours = "ours",
        /// Our wide reference
        OursWide = "ours-wide",
        /// Our cache-aware reference
        OursCacheAware = "ours-cache-aware",
        /// The system's `ExAcquireRundownProtection` and its relatives
        Native = "native",
        /// The system's `ExAcquireRundownProtectionCacheAware` and its relatives
        NativeCacheAware = "native-cache-aware",
        /// A floor: two calls of nothing
        EmptyCall = "empty-call",
        /// A floor: `lock xadd` of +2, then of -2
        LockXadd = "lock-xadd",
    }
}

named! {
    /// What the threads of a run do.
    pub enum Workload {
        /// Holders acquire, hold and release while an owner runs the object down again and again
        Storm = "storm",
        /// Each holder acquires and releases a reference of its own
        Uncontended = "uncontended",
        /// All holders acquire and release one reference
        Contended = "contended",
        /// All holders are refused by a reference that is run down
        Refused = "refused",
        /// As the storm, but what a holder acquired is released by its neighbour
        HandOff = "hand-off",
        /// As the storm, but a holder acquires a batch at once and releases it in two parts
        Batches = "batches",
        /// As the storm, but holders acquire, hold and release in DPCs on other processors
        Dpcs = "dpcs",
    }
}

named! {
    /// At which IRQL the owner waits for the run-down.
    pub enum Waiter {
        /// `PASSIVE_LEVEL`: it spins, then sleeps
        Passive = "passive",
        /// `APC_LEVEL`: the same, with asynchronous procedure calls off
        Apc = "apc",
        /// `DISPATCH_LEVEL`: it spins to the end, while its holders run on other processors
        Dispatch = "dispatch",
    }
}

named! {
    /// How far a run is.
    pub enum RunState {
        /// Its threads are at work; the counters are those so far
        Running = "running",
        /// It ended by itself; the counters are final
        Finished = "finished",
        /// It was stopped; the counters are final
        Stopped = "stopped",
    }
}

named! {
    /// How a wait below `DISPATCH_LEVEL` spins before it sleeps.
    pub enum SpinPath {
        /// It does not: at most one processor is unparked
        None = "none",
        /// `MONITORX` and `MWAITX` on the wait block's flag
        Monitorx = "monitorx",
        /// `PAUSE` between polls of the wait block's flag
        Pause = "pause",
    }
}

named! {
    /// What a reference's word says.
    pub enum WordState {
        /// Run-down has not begun
        Live = "live",
        /// Run down
        RunDown = "run-down",
        /// Run-down has begun, and the word points to the waiter's block
        Waiting = "waiting",
    }
}

named! {
    /// What an object is made of.
    pub enum ObjectKind {
        /// Our plain reference, with its checks on
        Ours = "ours",
        /// Our wide reference
        OursWide = "ours-wide",
        /// Our cache-aware reference
        OursCacheAware = "ours-cache-aware",
        /// The system's `EX_RUNDOWN_REF`
        Native = "native",
        /// The system's cache-aware reference
        NativeCacheAware = "native-cache-aware",
    }
}

named! {
    /// What an object's words say.
    pub enum ObjectPhase {
        /// Run-down has not begun
        Live = "live",
        /// Run-down has begun, and references are out
        Waiting = "waiting",
        /// Run down
        RunDown = "run down",
    }
}

named! {
    /// How a wait ended.
    pub enum WaitEnd {
        /// The system's routines do not tell
        Untold = "ended",
        /// No reference was outstanding
        Drained = "drained",
        /// Handed over while the waiter was in MWAITX
        Mwaitx = "handed over to MWAITX",
        /// Handed over while the waiter spun with PAUSE
        Pause = "handed over to PAUSE",
        /// Handed over while the waiter polled at `DISPATCH_LEVEL`
        Dispatch = "handed over at DISPATCH",
        /// The waiter slept on the event
        Event = "slept on the event",
        /// Handed over after the spin and before the sleep
        Late = "handed over before the sleep",
    }
}

named! {
    /// Which two references are compared.
    pub enum Pair {
        /// Our plain reference without its checks, and `EX_RUNDOWN_REF`: every word
        Plain = "plain",
        /// Our wide reference and `EX_RUNDOWN_REF`: results and counts
        Wide = "wide",
        /// The cache-aware references: results and sums
        CacheAware = "cache-aware",
    }
}

named! {
    /// What a step of a comparison does.
    pub enum Operation {
        /// `ExAcquireRundownProtection`
        Acquire = "acquire",
        /// `ExAcquireRundownProtectionEx`
        AcquireEx = "acquire-ex",
        /// `ExReleaseRundownProtection`
        Release = "release",
        /// `ExReleaseRundownProtectionEx`
        ReleaseEx = "release-ex",
        /// `ExWaitForRundownProtectionRelease`
        Wait = "wait",
        /// `ExRundownCompleted`
        Completed = "completed",
        /// `ExReInitializeRundownProtection`
        Reinitialize = "reinitialize",
    }
}

named! {
    /// Who does what on a shared word.
    pub enum Pairing {
        /// The system's routine acquires, ours releases
        NativeAcquiresOursReleases = "native-acquires-ours-releases",
        /// Ours acquires, the system's routine releases
        OursAcquiresNativeReleases = "ours-acquires-native-releases",
        /// Our waiter is drained by the system's releases
        OursWaitsNativeReleases = "ours-waits-native-releases",
        /// The system's waiter is drained by our releases
        NativeWaitsOursReleases = "native-waits-ours-releases",
    }
}

named! {
    /// What a check of an interoperation looks at.
    pub enum InteropCheck {
        /// Whether an acquire was granted
        Granted = "granted",
        /// References, as the live word says
        Word = "word",
        /// References, as the wait block says
        Count = "count",
        /// Whether the wait has ended
        Ended = "ended",
    }
}

impl Arm {
    /// The system's arm that this one of ours is compared with.
    #[must_use]
    pub const fn counterpart(self) -> Option<Self> {
        match self {
            Self::Ours | Self::OursWide => Some(Self::Native),
            Self::OursCacheAware => Some(Self::NativeCacheAware),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_wires() {
        for &arm in Arm::ALL {
            assert_eq!(Arm::of(arm.wire()), arm);
            assert_eq!(Arm::from_str(arm.name(), false), Ok(arm));
            assert_eq!(serde_json::to_value(arm).unwrap(), arm.name());
        }
        assert_eq!(Arm::ALL.len(), rundown_abi::Arm::ALL.len());
        assert_eq!(Workload::ALL.len(), rundown_abi::Workload::ALL.len());
    }
}
