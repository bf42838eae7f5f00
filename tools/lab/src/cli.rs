//! The command line.

use clap::{Arg, ArgMatches, Command, value_parser};
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

/// How the kernel schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Processors run freely; random quanta and rare delays.
    Smp,
    /// Seeded delays and forced preemption at every kernel call, and between single instructions of the driver.
    Chaos,
}

impl Mode {
    /// As the command lines and the report have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smp => "smp",
            Self::Chaos => "chaos",
        }
    }
}

/// What `serve` was asked for; each field is the option of its name.
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "`command` says for each option what it is, to the user too"
)]
pub struct Serve {
    pub kernel: Option<PathBuf>,
    pub driver: Option<PathBuf>,
    pub pdb: Option<PathBuf>,
    pub inf: Option<PathBuf>,
    pub cpus: u32,
    pub seed: Option<u64>,
    pub mode: Mode,
    pub monitorx: u8,
    pub unparked: Option<u16>,
    pub cycles_per_yield: Option<u16>,
    pub verifier: u8,
    pub memory: u32,
    pub spin_cycles: Option<u32>,
    pub native: Option<PathBuf>,
    pub watch_cr8: Option<String>,
    pub timeout: u32,
    pub patience: u32,
    pub report: Option<PathBuf>,
    pub log: Option<PathBuf>,
    pub gdb: Option<u16>,
}

/// An option that takes a value; its name is its id.
fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// The command line's definition.
fn command() -> Command {
    let path = |name, value, help| option(name, value, help).value_parser(value_parser!(PathBuf));
    let between = |from: u32, to: u32| value_parser!(u32).range(i64::from(from)..=i64::from(to));
    let serve = Command::new("serve")
        .about("Boot the machine, start the driver's device, and serve requests on standard input and output")
        .after_help(AFTER_HELP)
        .arg(path("kernel", "FILE", "The lab's kernel [default: rundown-lab-kernel beside this program]"))
        .arg(path("driver", "FILE.sys", "The driver [default: rundown.sys beside this program]"))
        .arg(path("pdb", "FILE.pdb", "The driver's symbols [default: the driver's name with .pdb, if there is such a file]"))
        .arg(path("inf", "FILE.inf", "The driver's stamped INF [default: the driver's name with .inf]"))
        .arg(option("cpus", "N", "Virtual processors, 1 to 8").default_value("2").value_parser(between(1, 8)))
        .arg(
            option("seed", "N", "Seed of everything random; the same seed and mode repeat a run [default: from the clock]")
                .value_parser(value_parser!(u64)),
        )
        .arg(
            option("mode", "MODE", "smp: processors run freely. chaos: seeded delays and preemption at every kernel call")
                .default_value("smp")
                .value_parser(["smp", "chaos"]),
        )
        .arg(
            option("monitorx", "0|1", "Whether the driver is told that there is MONITORX (ProcessorFeatures[35])")
                .default_value("1")
                .value_parser(value_parser!(u8).range(0..=1)),
        )
        .arg(
            option("unparked", "N", "KUSER_SHARED_DATA.UnparkedProcessorCount [default: the number of processors]")
                .value_parser(value_parser!(u16).range(1..)),
        )
        .arg(
            option("cycles-per-yield", "N", "KUSER_SHARED_DATA.CyclesPerYield, TSC cycles [default: the kernel's, 140]")
                .value_parser(value_parser!(u16)),
        )
        .arg(
            option("spin-cycles", "N", "ExpSpinCycleCount of the native routines, TSC cycles [default: the kernel's, 10240]")
                .value_parser(value_parser!(u32)),
        )
        .arg(path(
            "native",
            "FILE",
            "NT's own code for the native routines: what WinDbg's `uf` prints of them [default: a reference]",
        ))
        .arg(
            option("verifier", "0|1", "Whether the driver is told that Driver Verifier checks it")
                .default_value("0")
                .value_parser(value_parser!(u8).range(0..=1)),
        )
        .arg(option("memory", "MB", "The machine's RAM, 64 to 4096").default_value("256").value_parser(between(64, 4096)))
        .arg(option(
            "watch-cr8",
            "SUBSTRING",
            "Count, by IRQL, the reads of CR8 in the driver's functions whose name contains this; at most four instructions",
        ))
        .arg(
            option("timeout", "SECONDS", "Wall-clock limit of the whole run")
                .default_value("300")
                .value_parser(between(1, 86_400)),
        )
        .arg(
            option("patience", "SECONDS", "How long a wait or a request may take before it counts as hung")
                .default_value("30")
                .value_parser(between(1, 86_400)),
        )
        .arg(path("report", "FILE.json", "Write the report there, as JSON"))
        .arg(path("log", "FILE", "Keep the kernel's log there"))
        .arg(
            option("gdb", "PORT", "Let gdb connect to this port of 127.0.0.1; the machine waits for it")
                .value_parser(value_parser!(u16).range(1..)),
        );
    Command::new("rundown-lab")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Runs a Windows driver's own .sys at ring 0 in a virtual machine, without Windows, and judges it",
        )
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve)
}

/// Reads the command line; on a wrong one, or for `--help`, this program ends here.
#[must_use]
pub fn parse() -> Serve {
    from_matches(&command().get_matches())
}

fn from_matches(matches: &ArgMatches) -> Serve {
    let (_, serve) = matches.subcommand().expect("clap demands the only subcommand");
    let path = |name| serve.get_one::<PathBuf>(name).cloned();
    let number = |name| *serve.get_one::<u32>(name).expect("it has a default");
    Serve {
        kernel: path("kernel"),
        driver: path("driver"),
        pdb: path("pdb"),
        inf: path("inf"),
        cpus: number("cpus"),
        seed: serve.get_one("seed").copied(),
        mode: match serve.get_one::<String>("mode").map(String::as_str) {
            Some("chaos") => Mode::Chaos,
            _ => Mode::Smp,
        },
        monitorx: *serve.get_one("monitorx").expect("it has a default"),
        unparked: serve.get_one("unparked").copied(),
        cycles_per_yield: serve.get_one("cycles-per-yield").copied(),
        verifier: *serve.get_one("verifier").expect("it has a default"),
        memory: number("memory"),
        spin_cycles: serve.get_one("spin-cycles").copied(),
        native: path("native"),
        watch_cr8: serve.get_one("watch-cr8").cloned(),
        timeout: number("timeout"),
        patience: number("patience"),
        report: path("report"),
        log: path("log"),
        gdb: serve.get_one("gdb").copied(),
    }
}

impl Serve {
    /// The one command that repeats a run.
    #[must_use]
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
        path("native", &self.native);
        words.push(format!(
            "--cpus {} --seed {seed} --mode {}",
            self.cpus,
            self.mode.name()
        ));
        if self.monitorx == 0 {
            words.push("--monitorx 0".into());
        }
        if let Some(count) = self.unparked {
            words.push(format!("--unparked {count}"));
        }
        if let Some(cycles) = self.cycles_per_yield {
            words.push(format!("--cycles-per-yield {cycles}"));
        }
        if let Some(cycles) = self.spin_cycles {
            words.push(format!("--spin-cycles {cycles}"));
        }
        if self.verifier == 1 {
            words.push("--verifier 1".into());
        }
        if let Some(name) = &self.watch_cr8 {
            words.push(format!("--watch-cr8 {}", quoted(name)));
        }
        words.join(" ")
    }
}

/// [`parse`] for tests: the words of a command line.
#[cfg(test)]
pub(crate) fn parse_words(words: &str) -> Result<Serve, clap::Error> {
    command()
        .try_get_matches_from(words.split(' '))
        .map(|matches| from_matches(&matches))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn defaults_and_limits() {
        let defaults = parse_words("rundown-lab serve").unwrap();
        assert_eq!(
            (defaults.cpus, defaults.mode, defaults.monitorx),
            (2, Mode::Smp, 1)
        );
        for wrong in [
            "--cpus 0",
            "--cpus 9",
            "--monitorx 2",
            "--timeout 0",
            "--mode fast",
            "--seed x",
            "--watch",
        ] {
            assert!(
                parse_words(&format!("rundown-lab serve {wrong}")).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_repeating_command_parses_to_the_same_run() {
        let first = parse_words("rundown-lab serve --driver a.sys --cpus 4 --mode chaos --monitorx 0 --unparked 1 --native nt.txt --spin-cycles 9 --verifier 1 --watch-cr8 irql").unwrap();
        let command = first.repeat_command(99);
        assert_eq!(
            command,
            "rundown-lab serve --driver a.sys --native nt.txt --cpus 4 --seed 99 --mode chaos --monitorx 0 --unparked 1 --spin-cycles 9 --verifier 1 --watch-cr8 irql"
        );
        assert_eq!(parse_words(&command).unwrap().seed, Some(99));
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}
