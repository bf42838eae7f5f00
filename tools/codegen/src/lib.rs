//! The machine code of the references' fast paths, and what it may be.
//!
//! `crates/rundown-probes` has a function for each operation, type and check policy. The tests here build it twice, for the host and as a
//! driver, and hold the code of [both](image) against the same [rules]. In `rundown.sys`, where the operations are inlined into whatever
//! uses them, a [rule of its own](inlined) holds.

pub mod image;
pub mod inlined;
pub mod path;
pub mod rules;
