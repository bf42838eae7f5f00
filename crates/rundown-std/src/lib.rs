//! The platform of `ex-rundown` over std's threads: for tests and benchmarks on any system.
//!
//! It is a file of that crate's, whose examples need it where this crate is not.
#![deny(unsafe_code)]

mod platform;
#[path = "../../ex-rundown/doc/std.rs"]
mod std;

#[doc(hidden)]
pub use ex_rundown;

#[cfg(target_pointer_width = "64")]
pub use crate::std::Raised;
pub use crate::std::{Settings, Std};
