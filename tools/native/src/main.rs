//! `rundown-native`: runs NT's own routines, from a listing, against ours.

use std::{
    fmt::{Display, Write as _},
    fs,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use ex_rundown::{Parity, Strict, WayOut};
use lexopt::prelude::*;
use rundown_bench::{
    plot,
    report::{self, Goal},
    rows,
};
use rundown_native::{Arm, Native, Ours, bench, interop, lockstep, probe::Monitorx};
use rundown_streams::{self as streams, EXIT_OUTPUT, Unwritable};
use serde_json::{Value, json};

const HELP: &str = "\
rundown-native: NT's own run-down routines, from a listing, against ours

usage: rundown-native COMMAND --native FILE [options]

FILE is what WinDbg's `uf` prints of ExAcquireRundownProtection, ExReleaseRundownProtection,
ExWaitForRundownProtectionRelease and what they call. See docs/native.md.

commands
  show      reads and maps the listing, and says whose code each routine is
  lockstep  both sides step by step, every value and every word compared
  interop   one side waits and the other releases, by every way out; then as lockstep
  bench     the benchmark's table with the rows of NT's code, in the same rounds

options
  --json          the report as JSON on standard output
  --seed N        seeds steps and times (1)
  --steps N       lockstep: steps (1000000)
  --waits N       interop: waits by each way out, waiter and holders (1000)
  --patience S    interop: seconds for each of them (120)
  --rounds N      bench: rounds (101)
  --svg FILE      bench: draws the rows as well
  --check         bench: a goal that is missed is a failure

exit codes
  0  done, and nothing found
  1  a difference, a violation, or with --check a goal that is missed
  2  bad usage, or a listing that cannot be used: one line says where, and what to dump again
  7  standard output, or the file of --svg, cannot be written
";

struct Options {
    command: String,
    listing: PathBuf,
    json: bool,
    seed: u64,
    steps: u64,
    waits: u64,
    patience: Duration,
    rounds: usize,
    svg: Option<PathBuf>,
    check: bool,
}

/// Why the program did not come to a verdict: its exit code, and the line that explains it.
struct Failure(u8, String);

/// A listing or a command line that cannot be used.
fn bad_input(error: impl Display) -> Failure {
    Failure(2, error.to_string())
}

impl From<Unwritable> for Failure {
    fn from(unwritable: Unwritable) -> Self {
        Self(EXIT_OUTPUT, unwritable.to_string())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure(code, line)) => {
            rundown_streams::tell!("rundown-native: {line}");
            code.into()
        }
    }
}

/// Whether nothing was found.
fn run() -> Result<bool, Failure> {
    let options = options().map_err(|error| bad_input(format!("{error} (--help tells more)")))?;
    let Some(options) = options else {
        streams::raw(HELP)?;
        return Ok(true);
    };
    let file = options.listing.display();
    let listing = fs::read(&options.listing).map_err(|error| bad_input(format!("{file}: {error}")))?;
    let native = Native::load(&listing).map_err(|error| bad_input(format!("{file}: {error}")))?;
    let (passed, text, mut report) = match options.command.as_str() {
        "show" => (true, String::new(), json!({})),
        "lockstep" => lockstep(&native, &options),
        "interop" => {
            let (passed, text, mut report) = interop(&native, &options);
            let (in_step, more, lockstep) = lockstep(&native, &options);
            report["lockstep"] = lockstep["lockstep"].clone();
            (passed && in_step, text + "\n" + &more, report)
        }
        "bench" => bench(&native, &options)?,
        other => {
            return Err(bad_input(format!(
                "there is no command {other:?} (--help tells more)"
            )));
        }
    };
    let monitorx = Monitorx::probe();
    if options.json {
        report["passed"] = passed.into();
        report["monitorx"] = monitorx.executes.into();
        report["routines"] = native
            .origins()
            .iter()
            .map(|(name, origin)| (name.clone(), origin.to_string().into()))
            .collect::<serde_json::Map<_, Value>>()
            .into();
        streams::line(format_args!("{report:#}"))?;
    } else {
        for (name, origin) in native.origins() {
            streams::line(format_args!("{name:<46} {origin}"))?;
        }
        streams::raw(format_args!("{:<46} {monitorx}\n\n{text}", "MONITORX and MWAITX"))?;
    }
    Ok(passed)
}

fn options() -> Result<Option<Options>, lexopt::Error> {
    let mut command = None;
    let mut listing = None;
    let mut options = Options {
        command: String::new(),
        listing: PathBuf::new(),
        json: false,
        seed: 1,
        steps: 1_000_000,
        waits: 1_000,
        patience: Duration::from_mins(2),
        rounds: 101,
        svg: None,
        check: false,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("native") => listing = Some(PathBuf::from(arguments.value()?)),
            Long("json") => options.json = true,
            Long("check") => options.check = true,
            Long("seed") => options.seed = arguments.value()?.parse()?,
            Long("steps") => options.steps = arguments.value()?.parse()?,
            Long("waits") => options.waits = arguments.value()?.parse()?,
            Long("patience") => options.patience = Duration::from_secs(arguments.value()?.parse()?),
            Long("rounds") => options.rounds = arguments.value()?.parse::<usize>()?.max(3),
            Long("svg") => options.svg = Some(PathBuf::from(arguments.value()?)),
            Value(value) if command.is_none() => command = Some(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    options.command = command.ok_or("which command?")?;
    options.listing = listing.ok_or("which listing? --native FILE")?;
    Ok(Some(options))
}

fn lockstep(native: &Native, options: &Options) -> (bool, String, Value) {
    let mut passed = true;
    let mut text = String::new();
    let mut reports = Vec::new();
    let ours: [(&str, &dyn Arm, bool); 2] = [
        ("Parity", &Ours::<Parity>::new(), false),
        ("Strict", &Ours::<Strict>::new(), true),
    ];
    for (policy, ours, strict) in ours {
        let plan = lockstep::Plan {
            steps: options.steps,
            seed: options.seed,
            monitorx: Monitorx::probe().executes,
            strict,
        };
        match lockstep::compare(native, ours, &|cycles| native.set_spin_cycles(cycles), plan) {
            Ok(done) => {
                let _ = writeln!(
                    text,
                    "lock-step, RundownRef<{policy}>: {} steps without a difference",
                    done.steps
                );
                let mut waits = serde_json::Map::new();
                for (way_out, count) in lockstep::WAYS_OUT.iter().zip(done.waits) {
                    let _ = writeln!(text, "  {:<10} {count:>8} waits", format!("{way_out:?}"));
                    waits.insert(format!("{way_out:?}"), count.into());
                }
                reports
                    .push(json!({"policy": policy, "steps": done.steps, "waits": waits, "difference": null}));
            }
            Err(difference) => {
                passed = false;
                let _ = writeln!(
                    text,
                    "lock-step, RundownRef<{policy}>, seed {}: {difference}",
                    options.seed
                );
                reports.push(
                    json!({"policy": policy, "steps": difference.step, "difference": difference.trace}),
                );
            }
        }
    }
    (passed, text, json!({ "lockstep": reports }))
}

fn interop(native: &Native, options: &Options) -> (bool, String, Value) {
    let ours = Ours::<Parity>::new();
    let mut passed = true;
    let mut reports = Vec::new();
    let mut text = format!(
        "{:<6} {:<10} {:<10} {:>7} {:>7} {:>9} {:>8} {:>8} {:>6} {:>5} {:>6}\n",
        "waiter",
        "holders",
        "way out",
        "wanted",
        "taken",
        "acquires",
        "KeWait",
        "KeSet",
        "inside",
        "hung",
        "wrong"
    );
    let sides: [(&dyn Arm, &[&dyn Arm]); 4] = [
        (native, &[&ours]),
        (&ours, &[native]),
        (native, &[&ours, native]),
        (&ours, &[&ours, native]),
    ];
    for way_out in interop::WAYS_OUT {
        if way_out == WayOut::Monitorx && !Monitorx::probe().executes {
            let _ = writeln!(
                text,
                "{way_out:?}: not run: this processor does not let user mode execute it"
            );
            reports.push(
                json!({"way_out": "Monitorx", "not_run": "this processor does not let user mode execute it"}),
            );
            continue;
        }
        native.set_spin_cycles(interop::settings(way_out).spin_cycles);
        for (waiter, holders) in sides {
            let report = interop::run(&interop::Plan {
                holders,
                waiter,
                threads: 2,
                way_out,
                waits: options.waits,
                patience: options.patience,
                hang: Duration::from_secs(10),
                seed: options.seed,
            });
            passed &= report.passed();
            let _ = writeln!(
                text,
                "{:<6} {:<10} {:<10} {:>7} {:>7} {:>9} {:>8} {:>8} {:>6} {:>5} {:>6}",
                report.waiter,
                report.holders.join("+"),
                report.way_out,
                report.wanted,
                report.taken,
                report.acquires,
                report.ke_waits,
                report.ke_sets,
                report.inside,
                report.hung,
                report.wrong_calls
            );
            reports.push(serde_json::to_value(report).unwrap_or_default());
        }
    }
    (passed, text, json!({ "interop": reports }))
}

fn bench(native: &Native, options: &Options) -> Result<(bool, String, Value), Failure> {
    let measured = rows::measure(&bench::plans(native), options.rounds, |round| {
        if round % 10 == 0 {
            rundown_streams::tell!("round {round} of {}", options.rounds);
        }
    });
    if let Some(path) = &options.svg {
        fs::write(path, plot::svg(&measured)).map_err(|error| {
            Failure(
                EXIT_OUTPUT,
                format!("{} cannot be written: {error}", path.display()),
            )
        })?;
    }
    let json = report::json(&measured).map_err(bad_input)?;
    let passed = !options.check || report::goals(&measured).iter().all(Goal::reached);
    Ok((passed, report::table(&measured), json))
}
