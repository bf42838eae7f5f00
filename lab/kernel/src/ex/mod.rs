//! The executive: NT's own run-down routines, where the user has brought some, and what is counted of theirs or the reference's.

pub mod counters;
pub mod native;
