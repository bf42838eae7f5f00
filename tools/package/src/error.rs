//! What can go wrong, in words for people.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use rundown_inf::ParseError;

use crate::{inf::Finding, pe::PeError};

/// Why no package was made, or why one is not good.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{}: {what}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The INF cannot be read.
    #[error("{}: {source}", .path.display())]
    Inf {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ParseError,
    },
    /// The INF breaks rules.
    #[error("{}: breaks rules:\n  {}", .path.display(), list(.findings))]
    Lint {
        /// The file.
        path: PathBuf,
        /// Which ones.
        findings: Vec<Finding>,
    },
    /// The INF and the files given do not fit.
    #[error(
        "the INF copies {inf:?}, but the driver that was given is {given:?}; a package has exactly this one file"
    )]
    Files {
        /// What the INF copies.
        inf: Vec<String>,
        /// What was given.
        given: String,
    },
    /// The driver is no image.
    #[error("{}: {source}", .path.display())]
    Pe {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: PeError,
    },
    /// The catalogue cannot be written or read.
    #[error("{}: not a catalogue of version 2 as this tool writes them: {source}", .path.display())]
    Catalogue {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: der::Error,
    },
    /// No certificate.
    #[error("the test certificate cannot be made: {0}")]
    Certificate(String),
    /// A program is not installed.
    #[error("{tool} is not installed; on Debian: apt-get install {tool}")]
    MissingTool {
        /// The program.
        tool: &'static str,
    },
    /// A signature cannot be made, or is not good.
    #[error("{}: osslsigncode refuses it: {said}", .file.display())]
    Signature {
        /// The file.
        file: PathBuf,
        /// Its own words.
        said: String,
    },
    /// A file is not what the catalogue says.
    #[error("{}: changed since the catalogue was made, or never in it; make the package anew", .file.display())]
    Changed {
        /// The file.
        file: PathBuf,
    },
    /// The catalogue has files that the package has not.
    #[error("the catalogue vouches for {0:?}, which the INF does not install")]
    Superfluous(Vec<String>),
    /// Not overwritten.
    #[error("{}: is not empty and holds no package, so it is left alone; name another folder, or empty it", .0.display())]
    OutputInUse(PathBuf),
    /// The natvis file does not fit the driver.
    #[error("{}: does not fit the driver's types:\n{}", .path.display(), .misfits.join("\n"))]
    Natvis {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        misfits: Vec<String>,
    },
    /// A PDB cannot be read.
    #[error("{}: {source}", .path.display())]
    Pdb {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: pdb::Error,
    },
    /// A report cannot be read.
    #[error("{}: {what}", .path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: impl AsRef<OsStr>, source: io::Error) -> Self {
        Self::Io {
            what,
            path: Path::new(path.as_ref()).to_owned(),
            source,
        }
    }
}

fn list(findings: &[Finding]) -> String {
    let lines = findings
        .iter()
        .map(|finding| format!("line {}: {} [{}]", finding.line, finding.what, finding.rule));
    lines.collect::<Vec<_>>().join("\n  ")
}
