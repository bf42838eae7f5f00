//! The command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::sysroot;

/// What is asked: `cargo kmdf SUBCOMMAND ...`.
pub(crate) fn cli() -> Command {
    let build = selection(Command::new("build"))
        .about("Build the driver, its symbols and its stamped INF")
        .args(artefacts());
    let check = selection(Command::new("check")).about("Check that the driver compiles, without linking it");
    let clippy = selection(Command::new("clippy")).about("Run clippy over the driver, with warnings denied");
    let lab = selection(Command::new("lab"))
        .about("Build the driver and run it in the lab")
        .args(artefacts())
        .arg(path("lab", "DIR", "The folder with rundown-lab and rundown-lab-kernel [default: this program's, those on the path, \
             target/lab of the sources it was installed from]"))
        .arg(
            Arg::new("lab-options")
                .value_name("OPTIONS")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(std::ffi::OsString))
                .help("Everything from the first option on that is none of these goes to `rundown-lab run`: --script FILE, --sweeps, --cpus N, ..."),
        );
    let package = selection(Command::new("package"))
        .about("Build the driver and make the folder that a Windows test machine installs: catalogue, test certificate, signatures")
        .args(artefacts());
    let sysroot = Command::new("sysroot")
        .about("Make the stand-in WDK alone, for a driver in C, and print its folder")
        .arg(
            Arg::new("print")
                .long("print")
                .value_name("WHAT")
                .num_args(0..=1)
                .default_missing_value("all")
                .value_parser(["all"].into_iter().chain(sysroot::NAMES).collect::<Vec<_>>())
                .help("Print instead what a driver in C is compiled and linked with: all of it as lines of a makefile, or one as a shell reads it"),
        )
        .arg(
            Arg::new("kmdf")
                .long("kmdf")
                .value_name("VERSION")
                .value_parser(sysroot::minor)
                .default_value("1.33")
                .help("The driver's version of KMDF"),
        )
        .arg(flag("wdm", "The driver is of WDM, without KMDF"))
        .arg(path("target-dir", "DIR", "The WDK is made in its kit/wdk").default_value("target"))
        .arg(llvm())
.arg(wdk());
    Command::new("cargo")
        .bin_name("cargo")
        .subcommand_required(true)
        .subcommand(
            Command::new("kmdf")
                .about("Builds Windows kernel drivers that use windows-drivers-rs, on Linux")
                .version(env!("CARGO_PKG_VERSION"))
                .subcommand_required(true)
                .subcommand(build)
                .subcommand(check)
                .subcommand(clippy)
                .subcommand(lab)
                .subcommand(package)
                .subcommand(sysroot),
        )
}

fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn wdk() -> Arg {
    path(
        "wdk",
        "DIR",
        "Your own WDK in place of the stand-in: a copy of Windows' `Windows Kits/10` with Include and Lib, or what xwin lays out",
    )
}

fn llvm() -> Arg {
    path(
        "llvm",
        "DIR",
        "The folder of LLVM 19, with bin and lib in it [default: /usr/lib/llvm-19]",
    )
}

/// The options that say what is compiled, most of them cargo's.
fn selection(command: Command) -> Command {
    command
        .arg(path(
            "manifest-path",
            "FILE",
            "The Cargo.toml [default: the folder's, or the next one above it]",
        ))
        .arg(
            Arg::new("package")
                .short('p')
                .long("package")
                .value_name("NAME")
                .help("The driver's package [default: the only one]"),
        )
        .arg(flag("release", "With the profile `release` instead of `dev`"))
        .arg(
            Arg::new("features")
                .short('F')
                .long("features")
                .value_name("FEATURES")
                .help("Features of the package, with commas between them"),
        )
        .arg(flag("no-default-features", "Without its default features"))
        .arg(flag("locked", "Cargo.lock must be up to date"))
        .arg(flag("offline", "Without the network"))
        .arg(flag(
            "try-anyway",
            "Let the compiler judge a version of wdk-build or windows that the kit does not know",
        ))
        .arg(llvm())
        .arg(wdk())
}

/// The options of what is made of it.
fn artefacts() -> [Arg; 2] {
    [
        path(
            "inf",
            "FILE",
            "The INF to stamp [default: the package's .inx file, if there is one]",
        ),
        flag(
            "strict",
            "The image must have all that this project asks of rundown.sys, a version resource and more",
        ),
    ]
}
