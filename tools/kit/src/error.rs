//! One error type: a text for people.

use std::{fmt, io, path::Path};

/// What happened, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// For `map_err` after an operation on a file: `Error::file("read", path)`.
    pub(crate) fn file<'a>(verb: &'a str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |error| Self(format!("cannot {verb} {}: {error}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
