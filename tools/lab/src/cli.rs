//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Exit codes, as `--help` lists them.
pub mod exit {
    /// The driver did nothing wrong.
    pub const PASSED: u8 = 0;
    /// The driver failed.
    pub const DRIVER_FAILED: u8 = 1;
    /// The input is wrong.
    pub const BAD_INPUT: u8 = 2;
    /// QEMU or the lab itself is in trouble.
    pub const LAB_FAILED: u8 = 3;
}

const AFTER_HELP: &str = "\
Exit codes:
  0  passed: the driver was loaded, served, removed and unloaded, and left nothing behind
  1  the driver failed: bug check, hang, leak, or it did not start
  2  bad input: wrong usage, a file that cannot be read or is no driver, a missing import, an INF that is wrong
  3  trouble with QEMU or the lab itself

An example, typed by a person (the GUID is the driver's device interface):
  $ rundown-lab serve --cpus 2
  ready 1 cpus=2 seed=1700000000
  1 open {01234567-89ab-cdef-0123-456789abcdef} rw
  1 0x00000000 4
  2 ioctl 4 0x226000 64 -
  2 0x00000000 0100...
  3 quit
  3 0x00000000 -
The protocol and the report are described in docs/lab-pipe.md.";

/// Runs a Windows driver's own .sys at ring 0 in a virtual machine, without Windows, and judges it.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Boot the machine, start the driver's device, and serve requests on standard input and output.
    #[command(after_help = AFTER_HELP)]
    Serve(Serve),
}

/// How the kernel schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Processors run freely; random quanta and rare delays.
    Smp,
    /// Seeded delays and forced preemption at every kernel call, and between single instructions of the driver.
    Chaos,
}

impl Mode {
    /// As the kernel's command line and the report have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smp => "smp",
            Self::Chaos => "chaos",
        }
    }
}

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// The lab's kernel [default: rundown-lab-kernel beside this program]
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The driver [default: rundown.sys beside this program]
    #[arg(long, value_name = "FILE.sys")]
    pub driver: Option<PathBuf>,
    /// The driver's symbols [default: the driver's name with .pdb, if there is such a file]
    #[arg(long, value_name = "FILE.pdb")]
    pub pdb: Option<PathBuf>,
    /// The driver's stamped INF [default: the driver's name with .inf]
    #[arg(long, value_name = "FILE.inf")]
    pub inf: Option<PathBuf>,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub cpus: u32,
    /// Seed of everything random; the same seed and mode repeat a run [default: from the clock]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How hard the kernel provokes
    #[arg(long, value_enum, default_value_t = Mode::Smp)]
    pub mode: Mode,
    /// Whether the driver is told that the processor has MONITORX (KUSER_SHARED_DATA.ProcessorFeatures[35])
    #[arg(long, value_name = "0|1", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub monitorx: u8,
    /// KUSER_SHARED_DATA.UnparkedProcessorCount [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub unparked: Option<u16>,
    /// KUSER_SHARED_DATA.CyclesPerYield, in TSC cycles [default: the kernel's, 140]
    #[arg(long, value_name = "N")]
    pub cycles_per_yield: Option<u16>,
    /// The machine's RAM
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=4096))]
    pub memory: u32,
    /// Count, by IRQL, the reads of CR8 in the driver's functions whose name contains this; at most four instructions
    #[arg(long, value_name = "SUBSTRING")]
    pub watch_cr8: Option<String>,
    /// Wall-clock limit of the whole run
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
    /// Write the report there, as JSON
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
    /// Keep the kernel's log there
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Let gdb connect to this TCP port of 127.0.0.1; the machine waits for it, and the time limit runs on
    #[arg(long, value_name = "PORT")]
    pub gdb: Option<u16>,
}

impl Serve {
    /// The one command that repeats a run.
    pub fn repeat_command(&self, seed: u64) -> String {
        let mut words = vec!["rundown-lab serve".to_owned()];
        let mut path = |name: &str, value: &Option<PathBuf>| {
            if let Some(value) = value {
                words.push(format!("--{name} {}", quoted(&value.to_string_lossy())));
            }
        };
        path("kernel", &self.kernel);
        path("driver", &self.driver);
        path("pdb", &self.pdb);
        path("inf", &self.inf);
        words.push(format!("--cpus {} --seed {seed} --mode {}", self.cpus, self.mode.name()));
        if self.monitorx == 0 {
            words.push("--monitorx 0".into());
        }
        if let Some(count) = self.unparked {
            words.push(format!("--unparked {count}"));
        }
        if let Some(cycles) = self.cycles_per_yield {
            words.push(format!("--cycles-per-yield {cycles}"));
        }
        if let Some(name) = &self.watch_cr8 {
            words.push(format!("--watch-cr8 {}", quoted(name)));
        }
        words.join(" ")
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn serve(words: &str) -> Result<Serve, clap::Error> {
        let Command::Serve(serve) = Cli::try_parse_from(words.split(' '))?.command;
        Ok(serve)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_and_limits() {
        let defaults = serve("rundown-lab serve").unwrap();
        assert_eq!((defaults.cpus, defaults.mode, defaults.monitorx), (2, Mode::Smp, 1));
        for wrong in ["--cpus 0", "--cpus 9", "--monitorx 2", "--timeout 0", "--mode fast", "--seed x", "--watch"] {
            assert!(serve(&format!("rundown-lab serve {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_repeating_command_parses_to_the_same_run() {
        let first = serve("rundown-lab serve --driver a.sys --cpus 4 --mode chaos --monitorx 0 --unparked 1 --watch-cr8 irql").unwrap();
        let command = first.repeat_command(99);
        assert_eq!(
            command,
            "rundown-lab serve --driver a.sys --cpus 4 --seed 99 --mode chaos --monitorx 0 --unparked 1 --watch-cr8 irql"
        );
        assert_eq!(serve(&command).unwrap().seed, Some(99));
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}
