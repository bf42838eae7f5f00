//! `rundownctl install`: the driver onto this Windows, as devcon does it.

use std::path::PathBuf;

use clap::Args;

use crate::{error::Error, installation::HARDWARE_ID, print};

/// Which driver, and whether to do it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The driver package's INF; rundown.sys and rundown.cat lie beside it
    #[arg(value_name = "INF", default_value = "rundown.inf")]
    pub inf: PathBuf,
    /// Print the lines of devcon and of pnputil that do the same, and do nothing
    #[arg(long)]
    pub show: bool,
}

/// Makes the device unless it is there, installs the driver on it, and tells whether it has started.
///
/// # Errors
/// [`Error::Windows`] when Windows refuses, [`Error::NotStarted`] when the device does not start.
pub fn run(options: &Options) -> Result<u8, Error> {
    if options.show {
        print::raw(lines(options))?;
        return Ok(0);
    }
    install(options)
}

fn lines(options: &Options) -> String {
    let inf = options.inf.display();
    format!(
        "From an elevated prompt, with devcon (Windows Driver Kit):\n    \
         devcon install {inf} {HARDWARE_ID}\n\
         when the device is there already:\n    \
         devcon update {inf} {HARDWARE_ID}\n\
         or with devgen (Windows Driver Kit) and pnputil:\n    \
         devgen /add /bus ROOT /hardwareid {HARDWARE_ID}\n    \
         pnputil /add-driver {inf} /install\n"
    )
}

#[cfg(windows)]
fn install(options: &Options) -> Result<u8, Error> {
    use crate::installation::{State, setup};

    let installed = setup::install(&options.inf)?;
    if installed.restart {
        print::line("installed; restart Windows to finish")?;
        return Ok(0);
    }
    for device in setup::devices()? {
        if let State::Problem(code) = device.state {
            return Err(Error::NotStarted {
                device: device.instance,
                code,
            });
        }
        let how = if installed.created { "installed" } else { "updated" };
        print::line(format!("{how}: {}", device.line()))?;
    }
    Ok(0)
}

#[cfg(not(windows))]
fn install(_: &Options) -> Result<u8, Error> {
    Err(super::not_windows())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_those_of_the_documentation() {
        let options = Options {
            inf: "rundown.inf".into(),
            show: true,
        };
        let lines = lines(&options);
        let windows = include_str!("../../../../docs/windows.md");
        let commands: Vec<_> = lines
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .collect();
        assert_eq!(commands[0], r"devcon install rundown.inf Root\Rundown");
        for command in commands {
            assert!(
                windows.contains(command),
                "docs/windows.md does not say `{command}`"
            );
        }
    }
}
