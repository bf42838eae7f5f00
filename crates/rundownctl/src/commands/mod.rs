//! The commands: one file each, with its options as the user types them and what it does.

pub mod completions;
pub mod info;
pub mod man;
pub mod raw;
pub mod stress;
