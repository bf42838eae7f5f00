//! `rundownctl man`: the manual pages, made from the same definitions as `--help`.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::{cli::Cli, error::Error, print};

/// Which pages, and where to.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Write a page for each command into this folder, instead of printing the page of rundownctl
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Prints the page, or writes all of them.
///
/// # Errors
/// [`Error::File`] when the folder cannot be written to.
pub fn run(options: &Options) -> Result<u8, Error> {
    let command = Cli::command();
    if let Some(folder) = &options.out {
        let failed = |source| Error::File {
            path: folder.clone(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(command, folder).map_err(failed)?;
        return Ok(0);
    }
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(|source| Error::File {
            path: "the manual page".into(),
            source,
        })?;
    print::raw(page)?;
    Ok(0)
}
