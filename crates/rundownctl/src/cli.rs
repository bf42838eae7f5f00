//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use rundown_abi::Limits;

use crate::{
    raw::unhex,
    target::{Access, Spec},
};

const EXIT_CODES: &str = "\
Exit codes:
    0  it was done, and no violation was found
    1  a violation of run-down protection was found
    2  the command line is wrong
    3  the target cannot be reached: no device, no lab, or the lab itself failed
    4  a request was refused; the NTSTATUS is explained
    5  the driver failed: a bugcheck, a hang, or a leak in the lab
    6  the other side does not speak our protocol
  130  the run was interrupted (Ctrl-C), and no violation was found until then";

/// Talks to the rundown driver: what it is, and whether its run-down protection holds under stress.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Where the driver runs: `device` (this Windows), `lab`, or `lab:key=value,...`, whose keys are the options of
    /// `rundown-lab serve` (cpus, seed, monitorx, ...) and `program`, the path of rundown-lab.
    #[arg(long, global = true, default_value = Spec::DEFAULT, value_name = "TARGET")]
    pub target: Spec,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Whether the answer is for a program.
    #[must_use]
    pub const fn json(&self) -> bool {
        match &self.command {
            Command::Info { json } => *json,
            Command::Stress(options) => options.json,
            Command::Raw(_) => false,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Describe the driver, the machine, and how a wait spins on it
    Info {
        /// Print one JSON object and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Stress run-down protection: holders against an owner that runs the object down again and again
    Stress(StressOptions),
    /// Send one request byte by byte and print the answer in hexadecimal
    Raw(RawOptions),
}

/// A stress run.
#[derive(Args, Clone, Debug)]
pub struct StressOptions {
    /// Whose run-down protection
    #[arg(long, value_enum, default_value_t = Arm::Ours)]
    pub arm: Arm,
    /// Holder threads
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub threads: u32,
    /// Duration in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub duration: u32,
    /// Each hold lasts a random time of up to this many TSC cycles
    #[arg(long, value_name = "CYCLES", default_value_t = 2000)]
    pub hold: u32,
    /// Each generation lives for a random time of up to this many TSC cycles
    #[arg(long, value_name = "CYCLES", default_value_t = 20_000)]
    pub gap: u32,
    /// At which IRQL the owner waits
    #[arg(long, value_enum, default_value_t = Waiter::Passive)]
    pub waiter: Waiter,
    /// The spin budget of a passive waiter of ours in TSC cycles [default: the driver's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Limits::DEFAULT.spin_cycles)))]
    pub spin_cycles: Option<u32>,
    /// Seeds the random times
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// One request, byte by byte.
#[derive(Args, Clone, Debug)]
pub struct RawOptions {
    /// The control code, such as 0x80526000
    #[arg(value_parser = code)]
    pub code: u32,
    /// The input in hexadecimal digits; `-` for none
    #[arg(value_parser = bytes, value_name = "HEX", default_value = "-", allow_hyphen_values = true)]
    pub input: Bytes,
    /// The size of the output buffer in bytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub out: usize,
    /// The access to open the device with
    #[arg(long, value_enum, default_value_t = Access::ReadWrite)]
    pub access: Access,
    /// Open the device as a user without rights (the lab only)
    #[arg(long)]
    pub user: bool,
}

/// Input bytes. A type of its own, because clap reads `Vec<u8>` as an argument that is given many times.
pub type Bytes = std::sync::Arc<[u8]>;

/// Whose run-down protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arm {
    /// The crate ex-rundown, with its checks on
    Ours,
    /// The system's `ExAcquireRundownProtection` and its relatives
    Native,
}

/// At which IRQL the owner waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Waiter {
    /// `PASSIVE_LEVEL`: it spins, then sleeps
    Passive,
    /// `DISPATCH_LEVEL`: it spins to the end, while its holders run on other processors
    Dispatch,
}

impl Arm {
    /// The arm's name on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Native => "native",
        }
    }
}

impl Waiter {
    /// The waiter's name on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Dispatch => "dispatch",
        }
    }
}

fn code(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match digits {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("a control code is a 32-bit number such as 0x80526000: {error}"))
}

fn bytes(text: &str) -> Result<Bytes, String> {
    unhex(text)
        .map(Bytes::from)
        .ok_or_else(|| "bytes are pairs of hexadecimal digits, or `-` for none".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn raw_reads_codes_and_bytes() {
        let cli = Cli::parse_from([
            "rundownctl",
            "raw",
            "0x80526000",
            "0800000001000000",
            "--out",
            "80",
        ]);
        let Command::Raw(raw) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!((raw.code, raw.out), (0x8052_6000, 80));
        assert_eq!(&raw.input[..], [8, 0, 0, 0, 1, 0, 0, 0]);
        assert!(Cli::try_parse_from(["rundownctl", "raw", "0x180526000"]).is_err());
        assert!(Cli::try_parse_from(["rundownctl", "raw", "1", "0"]).is_err());
    }
}
