//! `cargo xtask`: from the sources to a verdict, on a Linux host.
//!
//! [`setup`] finds out what the machine lacks, [`build`] makes the artefacts, [`lab`] runs them and judges, [`gate`] is
//! `cargo xtask test`, [`mutate`] shows that planted defects are found, [`native`] measures and runs NT's code on the
//! host, [`package`] makes what Windows installs. [`cli`] is what the user types.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod build;
#[cfg(target_os = "linux")]
mod cli;
mod depth;
#[cfg(target_os = "linux")]
mod exit;
#[cfg(target_os = "linux")]
mod gate;
#[cfg(target_os = "linux")]
mod lab;
#[cfg(target_os = "linux")]
mod mutate;
#[cfg(target_os = "linux")]
mod native;
#[cfg(target_os = "linux")]
mod package;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod progress;
#[cfg(target_os = "linux")]
mod setup;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod tree;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    cli::main()
}

#[cfg(windows)]
fn main() -> ExitCode {
    eprintln!(
        "xtask: the lab and the kit run on Linux. On Windows:\n  \
         - build the driver with the WDK: cargo make\n  \
         - for the lab: cargo xtask lab in WSL (wsl --install Debian), or the Containerfile"
    );
    ExitCode::FAILURE
}

#[cfg(not(any(windows, target_os = "linux")))]
fn main() -> ExitCode {
    eprintln!(
        "xtask: the lab and the kit run on x86-64 Linux. Here the container does it:\n  \
         podman build -t rundown . && podman run --rm -it -v \"$PWD\":/rundown -v rundown-target:/rundown/target rundown cargo xtask lab"
    );
    ExitCode::FAILURE
}
