//! What can go wrong, in words for people, and the exit code of each.

use std::{io, path::PathBuf};

use crate::{
    installation::{problem, win32},
    ntstatus::explain,
};

/// Why the client gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line makes no sense to us.
    #[error("{0}")]
    Usage(String),
    /// There is no device to talk to.
    #[error("{what}; {advice}")]
    Unreachable {
        /// What happened.
        what: String,
        /// What to do.
        advice: String,
    },
    /// The driver, or the system in its place, refused a request.
    #[error("{request} was refused with {}", explain(*.status))]
    Refused {
        /// The request, in words.
        request: String,
        /// The NTSTATUS.
        status: u32,
    },
    /// The driver took the machine down, or the lab found that it misbehaved.
    #[error("the driver failed: {0}")]
    DriverFailed(String),
    /// The other side does not speak our protocol.
    #[error("{0}; client, driver and lab must come from the same build")]
    Protocol(String),
    /// A file of ours, or a folder for files, cannot be used.
    #[error("{} cannot be used: {source}; name another, or see to its rights", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Windows refused a step of an installation or of a removal.
    #[error("{step} failed with {}", win32(*.code))]
    Windows {
        /// The step, in words.
        step: &'static str,
        /// The Win32 or `SetupAPI` error.
        code: u32,
    },
    /// The driver is installed, and its device does not start.
    #[error("{device} does not start, code {code}: {}", problem(*.code))]
    NotStarted {
        /// The device's instance ID.
        device: String,
        /// Device Manager's number for the problem.
        code: u32,
    },
}

impl Error {
    /// The exit code that `rundownctl --help` lists.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Refused { .. } => 4,
            Self::DriverFailed(_) => 5,
            Self::Protocol(_) => 6,
            Self::File { .. } => 7,
            Self::Windows { .. } | Self::NotStarted { .. } => 8,
        }
    }

    /// The error's kind for programs, as `--json` names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::DriverFailed(_) => "driver-failed",
            Self::Protocol(_) => "protocol",
            Self::File { .. } => "file",
            Self::Windows { .. } | Self::NotStarted { .. } => "windows",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_error_has_an_exit_code_of_its_own() {
        let errors = [
            Error::Usage(String::new()),
            Error::Unreachable {
                what: String::new(),
                advice: String::new(),
            },
            Error::Refused {
                request: String::new(),
                status: 0xC000_0010,
            },
            Error::DriverFailed(String::new()),
            Error::Protocol(String::new()),
            Error::File {
                path: PathBuf::new(),
                source: io::Error::other("no reason"),
            },
            Error::Windows { step: "", code: 5 },
        ];
        let codes: HashSet<u8> = errors.iter().map(Error::exit_code).collect();
        assert_eq!(codes.len(), errors.len());
        for taken in [0, crate::EXIT_VIOLATION, crate::EXIT_INTERRUPTED] {
            assert!(!codes.contains(&taken), "{taken} means something else");
        }
    }
}
