//! The arms of a run, each of its own type.

use ex_rundown::{
    AllocatedCacheAwareRundownRef, DispatchRundownRef, RundownRef, WideCacheAwareRundownRef, WideRundownRef,
};
use rundown_abi::Arm as Name;
use rundown_stress::{Arm, ArmOf, EmptyCall, Latency, LockXadd, Plan, Stage, Tally, Thread, Waiting};

use super::references::{Native, New, Ours};
use crate::kernel::{NativeCacheAware, NativeRundown, Nt, Pool};

/// Defines the arms, and does for each what the engine asks of an arm.
macro_rules! arms {
    ($($name:ident: $reference:ty,)+) => {
        /// An arm.
        pub(super) enum AnyArm {
            $($name(ArmOf<$reference, Pool>),)+
        }

        impl AnyArm {
            /// Makes an arm; `None` when there is no pool left.
            ///
            /// # IRQL
            /// `<= APC_LEVEL`.
            pub(super) fn new(name: Name, plan: Plan) -> Option<Self> {
                Some(match name {
                    $(Name::$name => Self::$name(ArmOf::new(plan, <$reference as New>::new)?),)+
                })
            }

            /// How many bytes of pool an arm takes.
            ///
            /// # IRQL
            /// `<= APC_LEVEL`.
            pub(super) fn bytes(name: Name, plan: &Plan) -> usize {
                match name {
                    $(Name::$name => {
                        let references = ArmOf::<$reference, Pool>::references(plan);
                        ArmOf::<$reference, Pool>::bytes(plan)
                            .saturating_add(references.saturating_mul(<$reference as New>::bytes()))
                    })+
                }
            }

            /// Which arm it is.
            pub(super) const fn name(&self) -> Name {
                match self {
                    $(Self::$name(_) => Name::$name,)+
                }
            }
        }

        impl Arm for AnyArm {
            fn hold<T: Thread>(&self, stage: &Stage, index: usize, thread: &mut T) {
                match self {
                    $(Self::$name(arm) => arm.hold(stage, index, thread),)+
                }
            }

            fn own<T: Thread>(&self, stage: &Stage, thread: &mut T) {
                match self {
                    $(Self::$name(arm) => arm.own(stage, thread),)+
                }
            }

            fn tally(&self) -> Tally {
                match self {
                    $(Self::$name(arm) => arm.tally(),)+
                }
            }

            fn operation(&self) -> Latency {
                match self {
                    $(Self::$name(arm) => arm.operation(),)+
                }
            }

            fn hand_over(&self) -> Latency {
                match self {
                    $(Self::$name(arm) => arm.hand_over(),)+
                }
            }

            fn waiting(&self) -> Option<Waiting> {
                match self {
                    $(Self::$name(arm) => arm.waiting(),)+
                }
            }
        }
    };
}

arms! {
    Ours: Ours<RundownRef<Nt>>,
    OursWide: Ours<WideRundownRef<Nt>>,
    OursCacheAware: Ours<AllocatedCacheAwareRundownRef<Nt>>,
    Native: Native<NativeRundown>,
    NativeCacheAware: Native<NativeCacheAware>,
    EmptyCall: EmptyCall,
    LockXadd: LockXadd,
    OursWideCacheAware: Ours<WideCacheAwareRundownRef<Nt>>,
    OursDispatch: Ours<DispatchRundownRef<Nt>>,
}
