//! `rundownctl report`: the page about runs that were made before, or about a comparison that is made now.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::compare::{self, Comparison};
use crate::{EXIT_VIOLATION, error::Error, record::Record, report, session::Session, text};

/// What the page is about.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What `stress --json` or `compare --json` printed; without any, the comparison is made now
    #[arg(value_name = "JSON")]
    pub files: Vec<PathBuf>,
    /// The page
    #[arg(long, value_name = "FILE", default_value = "rundown-report.html")]
    pub out: PathBuf,
    /// The code on the page.
    #[command(flatten)]
    pub shown: report::Shown,
    /// What to compare when there is no file.
    #[command(flatten)]
    pub scope: compare::Scope,
}

/// A file of ours.
#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Comparison(Box<Comparison>),
    Run(Box<Record>),
}

/// Writes the page.
///
/// # Errors
/// [`Error::File`] when a file cannot be read, is none of ours, or the page cannot be written.
pub fn run(options: &Options, session: &Session<'_>) -> Result<u8, Error> {
    let (records, exit_code) = if options.files.is_empty() {
        report::try_out(&options.out)?;
        let plans = compare::plans(&options.scope);
        let (comparison, exit_code) = compare::compare(&plans, session)?;
        (comparison.runs, exit_code)
    } else {
        let mut records = Vec::new();
        for file in &options.files {
            records.extend(read(file)?);
        }
        let violated = records.iter().any(Record::is_bad);
        (records, if violated { EXIT_VIOLATION } else { 0 })
    };
    report::write(
        &options.out,
        &records.iter().collect::<Vec<_>>(),
        &options.shown,
        session,
    )?;
    Ok(exit_code)
}

fn read(path: &Path) -> Result<Vec<Record>, Error> {
    match serde_json::from_str(&text::read(path)?) {
        Ok(File::Comparison(comparison)) => Ok(comparison.runs),
        Ok(File::Run(record)) => Ok(vec![*record]),
        Err(_) => Err(Error::Usage(format!(
            "{} is not what `stress --json` or `compare --json` of this version prints",
            path.display()
        ))),
    }
}
