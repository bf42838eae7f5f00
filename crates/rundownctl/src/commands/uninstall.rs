//! `rundownctl uninstall`: the driver off this Windows, the device and the package.

use clap::Args;

use crate::{error::Error, installation::HARDWARE_ID, print};

/// Whether to do it.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Print the lines of devcon and of pnputil that do the same, and do nothing
    #[arg(long)]
    pub show: bool,
}

/// Removes the devices, then the packages that they used. With an open handle both wait for a restart of Windows, which is
/// told; the exit code is 0 then too.
///
/// # Errors
/// [`Error::Windows`] when Windows refuses.
pub fn run(options: Options) -> Result<u8, Error> {
    if options.show {
        print::raw(lines())?;
        return Ok(0);
    }
    uninstall()
}

fn lines() -> String {
    format!(
        "From an elevated prompt, with every rundownctl closed, with devcon (Windows Driver Kit):\n    \
         devcon remove {HARDWARE_ID}\n\
         or with pnputil, with the instance that the first line prints:\n    \
         pnputil /enum-devices /class Rundown /drivers\n    \
         pnputil /remove-device ROOT\\RUNDOWN\\0000\n\
         then the package, by the published name that `/enum-devices ... /drivers` prints:\n    \
         pnputil /delete-driver oem<N>.inf\n"
    )
}

#[cfg(windows)]
fn uninstall() -> Result<u8, Error> {
    use crate::installation::setup;

    setup::remove()?.lines().into_iter().try_for_each(print::line)?;
    Ok(0)
}

#[cfg(not(windows))]
fn uninstall() -> Result<u8, Error> {
    Err(super::not_windows())
}
