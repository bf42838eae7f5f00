//! The executive: NT's own run-down routines, where the user has brought some, what is counted of theirs or the reference's, and whether
//! the driver keeps their rules; callback objects.

pub mod callback;
pub mod counters;
pub mod native;
pub mod references;
