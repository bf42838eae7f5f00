//! INF files: their references followed, and checked by what `InfVerif` publishes.

mod lint;
mod resolve;

pub use lint::{Finding, RULES, Rules, Severity, lint};
pub use resolve::{Reference, Resolved};
