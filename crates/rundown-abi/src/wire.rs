//! Enumerations that travel as numbers.

/// Hands every enumeration of the protocol to the macro `$define`: each variant with its number on the wire, and with the name
/// that people type and read. So whoever has to give them traits of its own, as the client does, repeats none of them. (No
/// feature of this crate does that: Cargo would unify it into a driver that is built beside the client, and a driver has no `std`.)
#[macro_export]
macro_rules! enumerations {
    ($define:ident) => {
        $define! {
            /// How a wait below `DISPATCH_LEVEL` spins on this machine before it sleeps.
            pub enum SpinPath {
                /// It does not: at most one processor is unparked.
                None("none") = 1,
                /// `MONITORX` and `MWAITX` on the flag.
                Monitorx("monitorx") = 2,
                /// `PAUSE` between polls.
                Pause("pause") = 3,
            }
        }
        $define! {
            /// Whose run-down protection a run exercises, or the floor that it is measured from.
            pub enum Arm {
                /// Our plain reference, with its checks on.
                Ours("ours") = 1,
                /// Our wide reference, with its checks on.
                OursWide("ours-wide") = 2,
                /// Our cache-aware reference, with its checks on.
                OursCacheAware("ours-cache-aware") = 3,
                /// The system's `ExAcquireRundownProtection` and its relatives.
                Native("native") = 4,
                /// The system's `ExAcquireRundownProtectionCacheAware` and its relatives.
                NativeCacheAware("native-cache-aware") = 5,
                /// A floor: two calls of nothing.
                EmptyCall("empty-call") = 6,
                /// A floor: `lock xadd` of +2, then of -2.
                LockXadd("lock-xadd") = 7,
                /// Our wide reference with a word per processor.
                OursWideCacheAware("ours-wide-cache-aware") = 8,
                /// Our reference for `DISPATCH_LEVEL`, whose operations raise the IRQL for themselves.
                OursDispatch("ours-dispatch") = 9,
            }
        }
        $define! {
            /// What the threads of a run do.
            pub enum Workload {
                /// Holders acquire, hold and release while one owner runs the object down, waits, completes and re-initialises
                /// it, again and again.
                Storm("storm") = 1,
                /// Each holder acquires and releases a reference of its own.
                Uncontended("uncontended") = 2,
                /// All holders acquire and release one reference; nobody runs it down.
                Contended("contended") = 3,
                /// All holders are refused by a reference that is run down.
                Refused("refused") = 4,
                /// As the storm, but what a holder acquired is released by its neighbour. Where the owner waits at `DISPATCH_LEVEL`,
                /// a holder releases by itself what its neighbour, on another processor, does not take at once.
                HandOff("hand-off") = 5,
                /// As the storm, but a holder acquires a batch at once and releases it in two parts.
                Batches("batches") = 6,
                /// As the storm, but holders acquire, hold and release in DPCs on other processors than the owner's.
                Dpcs("dpcs") = 7,
            }
        }
        $define! {
            /// At which IRQL the owner waits for the run-down.
            pub enum Waiter {
                /// `PASSIVE_LEVEL`: spin for the budget, then sleep.
                Passive("passive") = 1,
                /// `APC_LEVEL`: the same, with asynchronous procedure calls off.
                Apc("apc") = 2,
                /// `DISPATCH_LEVEL`: spin until the end; holders hold at `DISPATCH_LEVEL` on other processors.
                Dispatch("dispatch") = 3,
            }
        }
        $define! {
            /// How far a run is.
            pub enum RunState {
                /// Its threads are at work; the counters are those so far.
                Running("running") = 1,
                /// It ended by itself; the counters are final.
                Finished("finished") = 2,
                /// It was stopped; the counters are final.
                Stopped("stopped") = 3,
            }
        }
        $define! {
            /// What a reference's word says.
            pub enum WordState {
                /// Live: run-down has not begun.
                Live("live") = 1,
                /// Run down.
                RunDown("run-down") = 2,
                /// Run-down has begun, and the word points to the waiter's block.
                Waiting("waiting") = 3,
            }
        }
        $define! {
            /// What an object is made of.
            pub enum ObjectKind {
                /// Our plain reference, an `EX_RUNDOWN_REF`, with its checks on.
                Ours("ours") = 1,
                /// Our wide reference, with its checks on.
                OursWide("ours-wide") = 2,
                /// Our cache-aware reference, with its checks on.
                OursCacheAware("ours-cache-aware") = 3,
                /// The system's `EX_RUNDOWN_REF`.
                Native("native") = 4,
                /// The system's cache-aware reference.
                NativeCacheAware("native-cache-aware") = 5,
            }
        }
        $define! {
            /// How a wait ended, where the routine tells.
            pub enum WaitEnd {
                /// The native routines do not tell.
                Untold("ended") = 1,
                /// No reference was outstanding, or the object had been run down before.
                Drained("drained") = 2,
                /// The last releaser handed over while the waiter spun with `MONITORX` and `MWAITX`.
                Mwaitx("handed over to MWAITX") = 3,
                /// The last releaser handed over while the waiter spun with `PAUSE`.
                Pause("handed over to PAUSE") = 4,
                /// The last releaser handed over while the waiter polled at `DISPATCH_LEVEL`.
                Dispatch("handed over at DISPATCH") = 5,
                /// The waiter slept, and the last releaser set the event.
                Event("slept on the event") = 6,
                /// The last releaser handed over after the spin had ended and before the waiter slept.
                Late("handed over before the sleep") = 7,
            }
        }
        $define! {
            /// What an object's words say.
            pub enum ObjectPhase {
                /// Run-down has not begun.
                Live("live") = 1,
                /// Run-down has begun, and references are out: somebody waits for them.
                Waiting("waiting") = 2,
                /// Run down: every acquire is refused.
                RunDown("run down") = 3,
            }
        }
        $define! {
            /// Which two references are compared.
            pub enum Pair {
                /// Our plain reference without its checks (`Parity`), and `EX_RUNDOWN_REF`: every word.
                Plain("plain") = 1,
                /// Our wide reference and `EX_RUNDOWN_REF`; there is no native wide one: results and counts.
                Wide("wide") = 2,
                /// Our cache-aware reference without its checks, and the system's: results and sums over the slots, since a
                /// thread may change processors between the two.
                CacheAware("cache-aware") = 3,
            }
        }
        $define! {
            /// What a step does. Steps that the native routine answers with a hang or a bugcheck do not occur.
            pub enum Operation {
                /// `ExAcquireRundownProtection`.
                Acquire("acquire") = 1,
                /// `ExAcquireRundownProtectionEx`.
                AcquireEx("acquire-ex") = 2,
                /// `ExReleaseRundownProtection`.
                Release("release") = 3,
                /// `ExReleaseRundownProtectionEx`.
                ReleaseEx("release-ex") = 4,
                /// `ExWaitForRundownProtectionRelease`, on a thread of its own.
                Wait("wait") = 5,
                /// `ExRundownCompleted`.
                Completed("completed") = 6,
                /// `ExReInitializeRundownProtection`.
                Reinitialize("reinitialize") = 7,
            }
        }
        $define! {
            /// Who does what on the shared word.
            pub enum Pairing {
                /// The native routine acquires, ours releases, on a live word.
                NativeAcquiresOursReleases("native-acquires-ours-releases") = 1,
                /// Ours acquires, the native routine releases, on a live word.
                OursAcquiresNativeReleases("ours-acquires-native-releases") = 2,
                /// Our waiter is drained by native releases.
                OursWaitsNativeReleases("ours-waits-native-releases") = 3,
                /// The native waiter is drained by our releases.
                NativeWaitsOursReleases("native-waits-ours-releases") = 4,
            }
        }
        $define! {
            /// What a check of a round looks at.
            pub enum InteropCheck {
                /// Whether an acquire was granted: 1 or 0.
                Granted("granted") = 1,
                /// References, as the live word says.
                Word("word") = 2,
                /// References, as the wait block says.
                Count("count") = 3,
                /// Whether the wait has ended: 1 or 0.
                Ended("ended") = 4,
            }
        }
    };
}

/// Defines an enumeration: a `u32` on the wire, of which only the listed values mean something.
macro_rules! wire_enum {
    ($(#[$doc:meta])+ pub enum $name:ident { $($(#[$variant_doc:meta])+ $variant:ident($text:literal) = $value:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$variant_doc])+ $variant = $value,)+
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that people type and read.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The one behind its number on the wire.
            #[must_use]
            pub const fn from_wire(value: u32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
enumerations!(wire_enum);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_of_the_listed_or_none() {
        macro_rules! check {
            ($($name:ident)+) => {$(
                for value in 0..10 {
                    let listed = $name::ALL.iter().copied().find(|&entry| entry as u32 == value);
                    assert_eq!($name::from_wire(value), listed);
                }
                assert_eq!($name::from_wire(u32::MAX), None);
            )+};
        }
        check!(Arm InteropCheck ObjectKind ObjectPhase Operation Pair Pairing RunState SpinPath WaitEnd Waiter WordState Workload);
    }
}
