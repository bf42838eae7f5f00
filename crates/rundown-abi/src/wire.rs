//! Enumerations that travel as numbers.

/// Defines an enumeration of the protocol: a `u32` on the wire, of which only the listed values mean something.
macro_rules! wire_enum {
    ($(#[$doc:meta])+ pub enum $name:ident { $($(#[$variant_doc:meta])+ $variant:ident = $value:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$variant_doc])+ $variant = $value,)+
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

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
pub(crate) use wire_enum;

#[cfg(test)]
mod tests {
    use crate::{
        Arm, InteropCheck, ObjectKind, ObjectPhase, Operation, Pair, Pairing, RunState, SpinPath, WaitEnd,
        Waiter, WordState, Workload,
    };

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
