//! `rundownctl info`: the driver's description of itself and of the machine.

use clap::Args;

use crate::{client::Client, error::Error, print, record::Machine, session::Session, show, target::Access};

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
    let machine = Machine::of(&client.info()?);
    client.close()?;
    target.finish()?;
    print::line(if options.json {
        show::json(&machine)
    } else {
        show::machine_table(&machine)
    })?;
    Ok(0)
}
