//! INF files: read as Windows' setup reads them, and checked by what `InfVerif` publishes.

mod lint;
mod parse;
mod resolve;

pub use lint::{Finding, RULES, Severity, lint};
pub use parse::{Entry, Inf, ParseError, Section};
pub use resolve::{Reference, Resolved};
