//! What is wrong with a listing, for the person who made it.

use std::fmt;

/// One line: where, what is wrong there, and what to dump again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The line in the listing, from 1. `None` when the listing as a whole is not one.
    pub line: Option<usize>,
    what: String,
    again: String,
}

impl Error {
    pub(crate) fn at(line: usize, what: impl Into<String>, again: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            what: what.into(),
            again: again.into(),
        }
    }

    pub(crate) fn whole(what: impl Into<String>, again: impl Into<String>) -> Self {
        Self {
            line: None,
            what: what.into(),
            again: again.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}; {}", self.what, self.again)
    }
}

impl std::error::Error for Error {}
