//! `rundownctl schema`: the form of what `--json` prints.

use clap::{Args, ValueEnum};
use schemars::{Schema, schema_for};

use super::{
    compare::Comparison, conform::Conformance, interop::Interoperation, objects::Outcomes, status::Status,
};
use crate::{
    error::Error,
    print,
    record::{Machine, Record},
};

/// Of which command.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// The command whose `--json` is described
    #[arg(value_enum, default_value_t = Of::Stress)]
    pub of: Of,
}

/// A command with JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// A run
    Stress,
    /// Runs and what they say of each other
    Compare,
    /// The driver and the machine
    Info,
    /// What came of steps on objects
    Objects,
    /// Steps, and the first difference
    Conform,
    /// Checks of a shared word
    Interop,
    /// Whether the target is ready
    Status,
}

impl Of {
    /// The schema.
    #[must_use]
    pub fn schema(self) -> Schema {
        match self {
            Self::Stress => schema_for!(Record),
            Self::Compare => schema_for!(Comparison),
            Self::Info => schema_for!(Machine),
            Self::Objects => schema_for!(Outcomes),
            Self::Conform => schema_for!(Conformance),
            Self::Interop => schema_for!(Interoperation),
            Self::Status => schema_for!(Status),
        }
    }
}

/// Prints the JSON Schema.
///
/// # Errors
/// When standard output cannot be written to.
pub fn run(options: Options) -> Result<u8, Error> {
    print::line(format!("{:#}", options.of.schema().as_value()))?;
    Ok(0)
}
