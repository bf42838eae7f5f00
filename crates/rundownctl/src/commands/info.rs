//! `rundownctl info`: the driver's description of itself and of the machine.

use clap::Args;

use crate::{client::Client, error::Error, print, session::Session, show, target::Access};

/// How to tell it.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Asks for the description and prints it.
///
/// # Errors
/// As [`crate::target::Target::ioctl`].
pub fn run(options: Options, session: &Session<'_>) -> Result<u8, Error> {
    let mut target = session.connect()?;
    let mut client = Client::open(&mut *target, Access::Read)?;
    let info = client.info()?;
    client.close()?;
    target.finish()?;
    print::line(if options.json {
        show::info_json(&info)
    } else {
        show::info_table(&info)
    })?;
    Ok(0)
}
