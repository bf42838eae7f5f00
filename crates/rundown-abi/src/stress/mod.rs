//! The stress run: what it may be asked for, its parameters, its counters.

mod limits;
mod result;
mod start;

pub use limits::Limits;
pub use result::{
    Latency, SHARES, Stall, StressArmQuery, StressArmResult, StressQuery, StressResult, StressTurns,
    StressTurnsQuery, TURNS_PER_ANSWER, Turn, Violations, WaysOut, marks,
};
pub use start::{StressStart, StressStarted, flags};
