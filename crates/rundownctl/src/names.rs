//! The protocol's enumerations by the names that people type and read.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mirrors an enumeration of the protocol, with the traits of a command line and of JSON.
macro_rules! named {
    ($(#[$doc:meta])+ pub enum $name:ident { $($(#[$variant_doc:meta])+ $variant:ident($text:literal) = $number:literal,)+ }) => {
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
                self.wire().name()
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

rundown_abi::enumerations!(named);

impl Arm {
    /// The system's arm that this one of ours is compared with.
    #[must_use]
    pub const fn counterpart(self) -> Option<Self> {
        match self {
            Self::Ours | Self::OursWide => Some(Self::Native),
            Self::OursCacheAware | Self::OursWideCacheAware | Self::OursDispatch => {
                Some(Self::NativeCacheAware)
            }
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
    }
}
