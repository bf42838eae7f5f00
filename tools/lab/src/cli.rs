//! The command line.

use crate::crash_dump::Scope;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::{Path, PathBuf};

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
    /// Standard output, the report, the log or the timeline cannot be written.
    pub const OUTPUT: u8 = rundown_streams::EXIT_OUTPUT;
}

const AFTER_HELP: &str = "\
Exit codes:
  0  passed: the driver was loaded, served, removed and unloaded, and left nothing behind
  1  the driver failed: bug check, hang, leak, or it did not start
  2  bad input: wrong usage, a file that cannot be read or is no driver, a missing import, an INF that is wrong
  3  trouble with QEMU or the lab itself
  7  standard output, the report, the log or the timeline cannot be written

An example, typed by a person (the GUID is the driver's device interface):
  $ rundown-lab serve --cpus 2
  ready 1 cpus=2 seed=1700000000 mode=smp
  1 open {01234567-89ab-cdef-0123-456789abcdef} rw
  1 0x00000000 4
  2 ioctl 4 0x226000 64 -
  2 0x00000000 0100...
  3 quit
  3 0x00000000 -
The protocol and the report are described in docs/lab-pipe.md.";

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table at the head of `sweep.rs`")]
pub enum What {
    LowResources,
    Cancel,
    Close,
    Kill,
    Unload,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::LowResources,
        Self::Cancel,
        Self::Close,
        Self::Kill,
        Self::Unload,
    ];

    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LowResources => "low-resources",
            Self::Cancel => "cancel",
            Self::Close => "close",
            Self::Kill => "kill",
            Self::Unload => "unload",
        }
    }
}

/// What becomes of imports that the lab does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A call of one is a bug check with its name.
    Trap,
    /// The driver is not loaded.
    Refuse,
}

/// How the kernel schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Processors run freely; random quanta and rare delays.
    Smp,
    /// Seeded delays and forced preemption at every kernel call, and between single instructions of the driver.
    Chaos,
    /// As chaos, on one host thread and with instructions for a clock: the same seed and script repeat a run to the bit.
    Replay,
    /// Instructions are the clock, and nothing is provoked: how long the driver stays at `DISPATCH_LEVEL` is exact.
    Counted,
}

impl Mode {
    /// As the command lines and the report have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smp => "smp",
            Self::Chaos => "chaos",
            Self::Replay => "replay",
            Self::Counted => "counted",
        }
    }

    /// Whether instructions are the machine's clock.
    #[must_use]
    pub const fn counts_instructions(self) -> bool {
        matches!(self, Self::Replay | Self::Counted)
    }
}

/// What `serve` was asked for; each field is the option of its name.
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "`command` says for each option what it is, to the user too"
)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct Serve {
    pub kernel: Option<PathBuf>,
    pub driver: Option<PathBuf>,
    pub pdb: Option<PathBuf>,
    pub inf: Option<PathBuf>,
    /// Nobody steers the run: a script, or nothing but a start and an end.
    pub alone: bool,
    pub legacy: bool,
    pub hwid: Option<String>,
    pub cpus: u32,
    pub seed: Option<u64>,
    pub mode: Mode,
    pub kvm: bool,
    pub monitorx: u8,
    pub unparked: Option<u16>,
    pub cycles_per_yield: Option<u16>,
    pub allow: Vec<String>,
    pub missing: Missing,
    pub verifier: u8,
    pub max_processors: Option<u32>,
    pub foreign_layout: u8,
    pub memory: u32,
    pub spin_cycles: Option<u32>,
    pub native: Option<PathBuf>,
    pub framework: Option<PathBuf>,
    pub framework_verifier: u8,
    pub watch_cr8: Option<String>,
    pub tsc_back: Option<String>,
    pub script: Option<PathBuf>,
    pub timeout: u32,
    pub patience: u32,
    pub sweep_start: bool,
    pub for_sweep: bool,
    pub bugcheck_names: Option<PathBuf>,
    pub failure: Option<PathBuf>,
    pub report: Option<PathBuf>,
    pub log: Option<PathBuf>,
    pub coverage: Option<PathBuf>,
    pub trace: Option<PathBuf>,
    pub gdb: Option<u16>,
    pub dump: Option<PathBuf>,
    pub dump_scope: Option<Scope>,
}

/// What `sweep` was asked for.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The machine.
    pub serve: Serve,
    /// The script's file.
    pub script: PathBuf,
    /// Which sweeps, in this order.
    pub what: Vec<What>,
    /// How many points of calls.
    pub points: u64,
    /// This point only.
    pub at: Option<u64>,
}

/// What this program was asked for.
#[derive(Debug, Clone)]
pub enum Asked {
    /// One run, steered by a client.
    Serve(Box<Serve>),
    /// One run that nobody steers, and what comes after it.
    Run(Box<Run>),
    /// Sweeps, steered by a script.
    Sweep(Box<Sweep>),
    /// A failed run once more.
    Repeat(Repeat),
    /// What of a driver the lab has.
    Doctor(Doctor),
}

/// What `run` was asked for.
#[derive(Debug, Clone)]
pub struct Run {
    /// The run.
    pub serve: Serve,
    /// Whether all sweeps follow.
    pub sweeps: bool,
    /// Where the results go as `JUnit`'s XML.
    pub junit: Option<PathBuf>,
}

/// How many calls of the driver's a sweep tries, unless it is told.
pub const POINTS: u64 = 100;

impl Run {
    /// The sweeps that follow the run; none without a script.
    #[must_use]
    pub fn sweep(&self) -> Option<Sweep> {
        let script = self.serve.script.clone().filter(|_| self.sweeps)?;
        Some(Sweep {
            serve: Serve {
                alone: false,
                ..self.serve.clone()
            },
            script,
            what: What::ALL.to_vec(),
            points: POINTS,
            at: None,
        })
    }
}

/// What `doctor` was asked for.
#[derive(Debug, Clone)]
pub struct Doctor {
    /// The driver.
    pub file: PathBuf,
    /// The lab's kernel.
    pub kernel: Option<PathBuf>,
}

/// What `repeat` was asked for.
#[derive(Debug, Clone, Default)]
pub struct Repeat {
    /// The file that the failed run left.
    pub file: PathBuf,
    /// As for `serve`.
    pub gdb: Option<u16>,
    /// As for `serve`.
    pub dump: Option<PathBuf>,
    /// As for `serve`.
    pub dump_scope: Option<Scope>,
}

/// An option that takes a value; its name is its id.
fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// The command line's definition.
fn command() -> Command {
    let serve = machine_options(Command::new("serve"))
        .about("Boot the machine, start the driver's device, and serve requests on standard input and output")
        .after_help(AFTER_HELP)
        .arg(path("script", "FILE", "Carry out these requests, one a line (docs/lab.md), instead of standard input's"))
        .arg(path("report", "FILE.json", "Write the report there, as JSON"))
        .arg(path("log", "FILE", "Keep the kernel's log there"))
        .arg(
            Arg::new("sweep-start")
                .long("sweep-start")
                .action(ArgAction::SetTrue)
                .help("Start and stop the driver first, with each pool allocation and creation of a start failing once"),
        )
        .arg(
            Arg::new("for-sweep")
                .long("for-sweep")
                .action(ArgAction::SetTrue)
                .hide(true)
                .help("Leave it to the sweep, which started this, to say how a failure is repeated"),
        )
        .arg(gdb())
        .args(crash_dump());
    let run = machine_options(Command::new("run"))
        .about("Load a driver, add and start its device, carry out a script, remove the device, unload the driver, and judge it")
        .after_help("Exit codes are those of `serve`. Without an INF: --legacy, or --hwid ID.")
        .arg(driver_file().required(false))
        .arg(path("script", "FILE", "The requests, one a line (docs/lab.md) [default: none]"))
        .arg(
            Arg::new("sweeps")
                .long("sweeps")
                .action(ArgAction::SetTrue)
                .requires("script")
                .help("If the run passes, run all sweeps over the script"),
        )
        .arg(path("junit", "FILE.xml", "Write the results there as JUnit's XML, which CI systems show"))
        .arg(path("report", "FILE.json", "Write the report there, as JSON"))
        .arg(path("log", "FILE", "Keep the kernel's log there"))
        .arg(gdb())
        .args(crash_dump());
    let doctor = Command::new("doctor")
        .about("Say what of a driver's imports and of its framework the lab has, without running it")
        .arg(driver_file().required(true))
        .arg(path(
            "kernel",
            "FILE",
            "The lab's kernel [default: rundown-lab-kernel beside this program]",
        ));
    let repeat = Command::new("repeat")
        .about("Run a failed run, or the failed point of a sweep, again")
        .arg(
            Arg::new("file")
                .value_name("FILE.json")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("What it left (--failure)"),
        )
        .arg(gdb())
        .args(crash_dump());
    let sweep = machine_options(Command::new("sweep"))
        .about("Run a script again and again in one boot, with a failure, a cancellation, a death or a removal at another point each time")
        .arg(path("script", "FILE", "The requests, one a line (docs/lab.md)").required(true))
        .arg(
            option("what", "SWEEP,...", "Which sweeps")
                .value_delimiter(',')
                .value_parser(What::ALL.map(What::name))
                .default_values(What::ALL.map(What::name)),
        )
        .arg(
            option("points", "N", "How many calls of the driver's are tried; creations are, all [default: 100]")
                .value_parser(value_parser!(u64).range(1..)),
        )
        .arg(option("at", "N", "Only this point").value_parser(value_parser!(u64)));
    Command::new("rundown-lab")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Runs a Windows driver's own .sys at ring 0 in a virtual machine, without Windows, and judges it",
        )
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(run)
        .subcommand(doctor)
        .subcommand(serve)
        .subcommand(sweep)
        .subcommand(repeat)
}

/// The driver, as a word of its own.
fn driver_file() -> Arg {
    Arg::new("file")
        .value_name("FILE.sys")
        .value_parser(value_parser!(PathBuf))
        .help("The driver")
}

fn gdb() -> Arg {
    option(
        "gdb",
        "PORT",
        "Let gdb connect to this port of 127.0.0.1; the machine waits for it",
    )
    .value_parser(value_parser!(u16).range(1..))
}

/// Where a crash dump goes, and how much of the machine is in it.
fn crash_dump() -> [Arg; 2] {
    [
        path("dump", "FILE.dmp", "Where a bug check leaves the machine as a crash dump for WinDbg [default: beside what --failure names, with .dmp]"),
        option("dump-scope", "SCOPE", "driver: what the driver can see of memory. full: all of it, NT's own code from --native too. none: no dump")
            .default_value("driver")
            .value_parser(["driver", "full", "none"]),
    ]
}

/// The scope of a dump; none if there is to be no dump. `sweep` has no such option, and the default's.
fn dump_scope(matches: &ArgMatches) -> Option<Scope> {
    match matches
        .try_get_one::<String>("dump-scope")
        .ok()
        .flatten()
        .map(String::as_str)
    {
        Some("none") => None,
        Some("full") => Some(Scope::Full),
        _ => Some(Scope::Driver),
    }
}

fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(value_parser!(PathBuf))
}

fn between(from: u32, to: u32) -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(i64::from(from)..=i64::from(to))
}

/// The options that describe the driver.
fn driver_options(command: Command) -> Command {
    command
        .arg(path("failure", "FILE.json", "Where a failed run leaves what it takes to repeat it [default: DRIVER.failed.json beside the driver]"))
        .arg(path("kernel", "FILE", "The lab's kernel [default: rundown-lab-kernel beside this program]"))
        .arg(path("driver", "FILE.sys", "The driver [default: rundown.sys beside this program]"))
        .arg(path("pdb", "FILE.pdb", "The driver's symbols [default: the driver's name with .pdb, if there is such a file]"))
        .arg(path("inf", "FILE.inf", "The driver's stamped INF [default: the driver's name with .inf]"))
        .arg(
            Arg::new("legacy")
                .long("legacy")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["inf", "hwid"])
                .help("The driver is no Plug and Play driver: it makes its devices in DriverEntry, and no INF is read"),
        )
        .arg(option(
            "hwid",
            "ID",
            "The root device's hardware id, one of the INF's or, without an INF, any [default: the INF's first that is no bus's]",
        ))
        .arg(path(
            "bugcheck-names",
            "FILE",
            "Names of the driver's own bug checks, `0xCODE NAME` on each line [default: the driver's name with .bugchecks, if there is such a file]",
        ))
}

/// What a run leaves behind for people to look at.
fn recording_options(command: Command) -> Command {
    command
        .arg(
            path("coverage", "FILE", "Add to FILE, as lcov's, which functions and lines of the driver ran; needs its PDB [env: RUNDOWN_LAB_COVERAGE]")
                .env("RUNDOWN_LAB_COVERAGE")
                .hide_env(true),
        )
        .arg(path(
            "trace",
            "FILE.json",
            "Write the timeline there, which ui.perfetto.dev opens: threads, IRQLs, waits, DPCs, timers, IRPs, calls, pool (docs/lab.md)",
        ))
}

/// The options that describe a machine and its driver.
fn machine_options(command: Command) -> Command {
    recording_options(driver_options(command))
        .arg(option("cpus", "N", "Virtual processors, 1 to 64").default_value("2").value_parser(between(1, 64)))
        .arg(
            option("seed", "N", "Seed of everything random; the same seed and mode repeat a run [default: from the clock]")
                .value_parser(value_parser!(u64)),
        )
        .arg(
            option("mode", "MODE", "smp: processors run freely. chaos: seeded delays and preemption at every kernel call. \
                 replay: as chaos, repeatable to the bit with --cpus 1; takes a script. counted: nothing is provoked and instructions \
                 are the clock, to measure stays at DISPATCH_LEVEL and to count what an operation takes")
                .default_value("smp")
                .value_parser(["smp", "chaos", "replay", "counted"]),
        )
        .arg(
            option("accel", "WHAT", "tcg: QEMU translates the instructions. kvm: the host's processor carries them out; only if it passes a self-test first")
                .default_value("tcg")
                .value_parser(["tcg", "kvm"]),
        )
        .arg(
            option("monitorx", "0|1", "Whether the driver is told that there is MONITORX (ProcessorFeatures[35])")
                .default_value("1")
                .value_parser(value_parser!(u8).range(0..=1)),
        )
        .arg(
            option("unparked", "N", "KUSER_SHARED_DATA.UnparkedProcessorCount [default: the number of processors]")
                .value_parser(value_parser!(u16)),
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
        .arg(path(
            "framework",
            "FILE.sys",
            "A Windows' own Wdf01000.sys for the driver to run on (docs/your-windows.md) [default: the lab's framework]",
        ))
        .arg(
            option("framework-verifier", "0|1", "The given framework's own verifier, by VerifierOn in the service's Parameters\\Wdf, as on Windows; the lab's own always is on")
                .default_value("0")
                .value_parser(value_parser!(u8).range(0..=1)),
        )
        .arg(
            option("allow", "RULE,...", "Let the driver break these rules, by which the lab is stricter than Windows (docs/lab.md)")
                .value_delimiter(',')
                .value_parser(["irql", "wait-on-stack", "mutex-wait-mode", "user-handle", "lock-order", "paging", "rundown-wait", "unflushed-dpc"]),
        )
        .arg(
            option("missing", "WHAT", "What the driver imports and the lab lacks. trap: a call of it ends the run with its name. \
                 refuse: the driver is not loaded, and all of it is named")
                .default_value("trap")
                .value_parser(["trap", "refuse"]),
        )
        .arg(
            option("verifier", "0|1", "Whether the driver is told that Driver Verifier checks it")
                .default_value("0")
                .value_parser(value_parser!(u8).range(0..=1)),
        )
        .arg(
            option("max-processors", "N", "KeQueryMaximumProcessorCountEx, as if processors could be added [default: the number of processors]")
                .value_parser(between(1, 2048)),
        )
        .arg(
            option("foreign-layout", "0|1|2", "A wait block of the native routines that no known Windows has: 1, with another field first; 2, and not on the stack")
                .default_value("0")
                .value_parser(value_parser!(u8).range(0..=2)),
        )
        .arg(option("memory", "MB", "The machine's RAM, 64 to 4096").default_value("256").value_parser(between(64, 4096)))
        .arg(option(
            "watch-cr8",
            "SUBSTRING",
            "Count, by IRQL, the reads of CR8 in the driver's functions whose name contains this; at most four instructions",
        ))
        .arg(option(
            "tsc-back",
            "SUBSTRING",
            "Let the time-stamp counter step back now and then where functions whose name contains this read it",
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
}

/// Reads the command line.
///
/// # Errors
/// The exit code, for a wrong one and for `--help`, which has been told or printed.
pub fn parse() -> Result<Asked, u8> {
    match command().try_get_matches() {
        Ok(matches) => Ok(asked(&matches)),
        Err(error) if error.use_stderr() => {
            // Nobody to tell.
            let _ = error.print();
            Err(exit::BAD_INPUT)
        }
        Err(help) => Err(rundown_streams::printed("rundown-lab", help.print())),
    }
}

fn asked(matches: &ArgMatches) -> Asked {
    match matches.subcommand() {
        Some(("repeat", matches)) => Asked::Repeat(Repeat {
            file: matches.get_one("file").cloned().expect("clap demands it"),
            gdb: matches.get_one("gdb").copied(),
            dump: matches.get_one("dump").cloned(),
            dump_scope: dump_scope(matches),
        }),
        Some(("sweep", matches)) => Asked::Sweep(Box::new(Sweep {
            serve: Serve {
                script: None,
                ..serve(matches)
            },
            script: matches.get_one("script").cloned().expect("clap demands it"),
            what: matches
                .get_many::<String>("what")
                .into_iter()
                .flatten()
                .filter_map(|name| What::ALL.into_iter().find(|what| what.name() == name))
                .collect(),
            points: matches.get_one("points").copied().unwrap_or(POINTS),
            at: matches.get_one("at").copied(),
        })),
        Some(("run", matches)) => {
            let arguments = serve(matches);
            let file = matches.get_one::<PathBuf>("file").cloned();
            Asked::Run(Box::new(Run {
                serve: Serve {
                    alone: true,
                    driver: file.or(arguments.driver.clone()),
                    ..arguments
                },
                sweeps: matches.get_flag("sweeps"),
                junit: matches.get_one("junit").cloned(),
            }))
        }
        Some(("doctor", matches)) => Asked::Doctor(Doctor {
            file: matches.get_one("file").cloned().expect("clap demands it"),
            kernel: matches.get_one("kernel").cloned(),
        }),
        Some((_, matches)) => Asked::Serve(Box::new(serve(matches))),
        None => unreachable!("clap demands a subcommand"),
    }
}

/// The machine's options, and those that only `serve` has.
fn serve(serve: &ArgMatches) -> Serve {
    let own = |name| serve.try_get_one::<PathBuf>(name).ok().flatten().cloned();
    let flag = |name| {
        let given = serve.try_get_one::<bool>(name).ok().flatten();
        given.copied().unwrap_or(false)
    };
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
            Some("replay") => Mode::Replay,
            Some("counted") => Mode::Counted,
            _ => Mode::Smp,
        },
        kvm: serve.get_one::<String>("accel").is_some_and(|name| name == "kvm"),
        monitorx: *serve.get_one("monitorx").expect("it has a default"),
        unparked: serve.get_one("unparked").copied(),
        cycles_per_yield: serve.get_one("cycles-per-yield").copied(),
        allow: serve
            .get_many::<String>("allow")
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        missing: match serve.get_one::<String>("missing").map(String::as_str) {
            Some("refuse") => Missing::Refuse,
            _ => Missing::Trap,
        },
        verifier: *serve.get_one("verifier").expect("it has a default"),
        max_processors: serve.get_one("max-processors").copied(),
        foreign_layout: *serve.get_one("foreign-layout").expect("it has a default"),
        memory: number("memory"),
        spin_cycles: serve.get_one("spin-cycles").copied(),
        native: path("native"),
        framework: path("framework"),
        framework_verifier: *serve.get_one("framework-verifier").expect("it has a default"),
        watch_cr8: serve.get_one("watch-cr8").cloned(),
        tsc_back: serve.get_one("tsc-back").cloned(),
        script: own("script"),
        timeout: number("timeout"),
        patience: number("patience"),
        sweep_start: flag("sweep-start"),
        for_sweep: flag("for-sweep"),
        bugcheck_names: path("bugcheck-names"),
        alone: false,
        legacy: flag("legacy"),
        hwid: serve.get_one("hwid").cloned(),
        failure: path("failure"),
        report: own("report"),
        log: own("log"),
        coverage: path("coverage"),
        trace: path("trace"),
        gdb: serve.try_get_one("gdb").ok().flatten().copied(),
        dump: own("dump"),
        dump_scope: dump_scope(serve),
    }
}

/// A file that lies beside this program.
#[must_use]
pub fn beside(name: &str) -> PathBuf {
    let program = std::env::current_exe().ok();
    let folder = program.and_then(|program| program.parent().map(Path::to_owned));
    folder.unwrap_or_default().join(name)
}

impl Serve {
    /// The driver's file.
    #[must_use]
    pub fn driver_path(&self) -> PathBuf {
        self.driver.clone().unwrap_or_else(|| beside("rundown.sys"))
    }

    /// The options that make the same machine.
    #[must_use]
    pub fn words(&self, seed: u64) -> Vec<String> {
        let mut words = Vec::new();
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        for (name, value) in [
            ("kernel", &self.kernel),
            ("driver", &self.driver),
            ("pdb", &self.pdb),
            ("inf", &self.inf),
            ("bugcheck-names", &self.bugcheck_names),
            ("native", &self.native),
            ("framework", &self.framework),
        ] {
            if let Some(value) = value {
                option(name, value.to_string_lossy().into_owned());
            }
        }
        option("cpus", self.cpus.to_string());
        option("seed", seed.to_string());
        option("mode", self.mode.name().into());
        if self.kvm {
            option("accel", "kvm".into());
        }
        let changed = |value: u32, default: u32| (value != default).then(|| value.to_string());
        for (name, value) in [
            ("monitorx", changed(self.monitorx.into(), 1)),
            ("unparked", self.unparked.map(|count| count.to_string())),
            (
                "cycles-per-yield",
                self.cycles_per_yield.map(|cycles| cycles.to_string()),
            ),
            ("spin-cycles", self.spin_cycles.map(|cycles| cycles.to_string())),
            ("allow", (!self.allow.is_empty()).then(|| self.allow.join(","))),
            (
                "missing",
                (self.missing == Missing::Refuse).then(|| "refuse".into()),
            ),
            ("verifier", changed(self.verifier.into(), 0)),
            ("framework-verifier", changed(self.framework_verifier.into(), 0)),
            (
                "max-processors",
                self.max_processors.map(|count| count.to_string()),
            ),
            ("foreign-layout", changed(self.foreign_layout.into(), 0)),
            ("memory", changed(self.memory, 256)),
            ("hwid", self.hwid.clone()),
            ("watch-cr8", self.watch_cr8.clone()),
            ("tsc-back", self.tsc_back.clone()),
            ("timeout", changed(self.timeout, 300)),
            ("patience", changed(self.patience, 30)),
        ] {
            if let Some(value) = value {
                option(name, value);
            }
        }
        if self.legacy {
            words.push("--legacy".into());
        }
        if self.sweep_start {
            words.push("--sweep-start".into());
        }
        words
    }

    /// The one command that repeats a run.
    #[must_use]
    pub fn repeat_command(&self, seed: u64) -> String {
        command_line(self.subcommand(), &self.words_with_script(seed))
    }

    /// Which command this is.
    #[must_use]
    pub fn subcommand(&self) -> &'static str {
        if self.alone { "run" } else { "serve" }
    }

    /// [`Serve::words`], and the script.
    #[must_use]
    pub fn words_with_script(&self, seed: u64) -> Vec<String> {
        let mut words = self.words(seed);
        if let Some(script) = &self.script {
            words.extend(["--script".into(), script.to_string_lossy().into_owned()]);
        }
        words
    }
}

impl Sweep {
    /// The seed: a sweep is the same each time unless another one is asked for.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.serve.seed.unwrap_or(1)
    }

    /// Where the timeline of one sweep goes, each of which has a boot of its own: `FILE.WHAT.json` for `FILE.json`.
    #[must_use]
    pub fn trace(&self, what: What) -> Option<PathBuf> {
        let path = self.serve.trace.as_ref()?;
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        Some(path.with_extension(format!("{}.{extension}", what.name()).trim_end_matches('.')))
    }

    /// The options that repeat a point.
    #[must_use]
    pub fn words(&self, what: What, point: u64) -> Vec<String> {
        let mut words = self.serve.words(self.seed());
        words.extend(["--script".into(), self.script.to_string_lossy().into_owned()]);
        words.extend([
            "--what".into(),
            what.name().into(),
            "--at".into(),
            point.to_string(),
        ]);
        words
    }

    /// The one command that repeats a point.
    #[must_use]
    pub fn repeat_command(&self, what: What, point: u64) -> String {
        command_line("sweep", &self.words(what, point))
    }
}

/// A command of this program as a person types it.
fn command_line(subcommand: &str, words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("rundown-lab {subcommand} {}", words.join(" "))
}

/// Reads a command line's words.
///
/// # Errors
/// What is wrong with it, in clap's words.
pub fn parse_from(words: impl Iterator<Item = String>) -> Result<Asked, clap::Error> {
    command()
        .try_get_matches_from(words)
        .map(|matches| asked(&matches))
}

/// [`parse`] for tests: the words of a command line.
#[cfg(test)]
pub(crate) fn parse_words(words: &str) -> Result<Serve, clap::Error> {
    match parse_from(words.split(' ').map(str::to_owned))? {
        Asked::Serve(serve) => Ok(*serve),
        other => unreachable!("no test asks for {other:?}"),
    }
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
            "--cpus 65",
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
    fn each_sweep_has_a_timeline_of_its_own() {
        let of = |file: &str| {
            let words = format!("rundown-lab sweep --script s --trace {file}");
            match parse_from(words.split(' ').map(str::to_owned)).unwrap() {
                Asked::Sweep(sweep) => sweep.trace(What::LowResources).unwrap(),
                other => unreachable!("{other:?}"),
            }
        };
        assert_eq!(of("a/t.json"), Path::new("a/t.low-resources.json"));
        assert_eq!(of("t"), Path::new("t.low-resources"));
        assert_eq!(parse_words("rundown-lab serve").unwrap().trace, None);
    }

    #[test]
    fn the_repeating_command_parses_to_the_same_run() {
        let first = parse_words("rundown-lab serve --driver a.sys --cpus 4 --mode chaos --accel kvm --monitorx 0 --unparked 1 --native nt.txt --framework Wdf01000.sys --framework-verifier 1 --spin-cycles 9 --allow irql,paging --missing refuse --verifier 1 --max-processors 300 --foreign-layout 1 --watch-cr8 irql").unwrap();
        let command = first.repeat_command(99);
        assert_eq!(
            command,
            "rundown-lab serve --driver a.sys --native nt.txt --framework Wdf01000.sys --cpus 4 --seed 99 --mode chaos --accel kvm --monitorx 0 --unparked 1 --spin-cycles 9 --allow irql,paging --missing refuse --verifier 1 --framework-verifier 1 --max-processors 300 --foreign-layout 1 --watch-cr8 irql"
        );
        assert_eq!(parse_words(&command).unwrap().seed, Some(99));
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}
