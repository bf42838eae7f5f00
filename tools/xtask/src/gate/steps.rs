//! The steps that run other programs' checks: formatter, lints, tests, models, and the lab's verdict.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use rundown_kit::{
    driver::{self, Profile, Workspace},
    exports::Windows,
    pe, residence, stack,
    toolchain::{Target, Toolchain},
};

use super::tally::{Gate, Tally};
use crate::{
    build, depth,
    lab::{self, Settings},
    mutate, process,
    progress::Progress,
    setup::host_cargo,
    tree::Tree,
};

/// cargo-fuzz' workspace beside the protocol.
pub(super) const FUZZ: &str = "crates/rundown-abi/fuzz";

const DRIVER_ENTRY: &str = "rundown::driver::driver_entry";

/// What needs neither the driver nor the lab.
pub(super) fn sources(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    for workspace in ["", "tools", "lab", FUZZ] {
        let name = if workspace.is_empty() { "root" } else { workspace };
        gate.step(format!("fmt, {name}"), |progress| {
            let mut command = host_cargo();
            command
                .args(["fmt", "--all", "--check"])
                .current_dir(tree.root().join(workspace));
            program(&mut command, progress)
        });
    }

    let root = |subcommand: &[&str], after: &[&str]| {
        let mut command = host_cargo();
        command.args(subcommand);
        build::in_workspace(&mut command, tree.root(), &tree.target());
        command.args(after);
        command
    };
    let tools = |subcommand: &[&str], after: &[&str]| {
        let mut command = host_cargo();
        command.args(subcommand);
        build::in_workspace(&mut command, &tree.root().join("tools"), &tree.tools_target());
        command.args(after);
        command
    };
    let denied = ["--", "--deny", "warnings"];
    gate.step("clippy, root without the driver", |progress| {
        program(
            &mut root(
                &[
                    "clippy",
                    "--workspace",
                    "--exclude",
                    "rundown",
                    "--exclude",
                    "inflight",
                    "--all-targets",
                ],
                &denied,
            ),
            progress,
        )
    });
    gate.step("clippy, tools", |progress| {
        program(
            &mut tools(&["clippy", "--workspace", "--all-targets"], &denied),
            progress,
        )
    });
    // `--all-targets` passes by targets with `test = false`, which are the tests that boot the lab.
    gate.step("clippy, tools' tests in the lab", |progress| {
        program(
            &mut tools(&["clippy", "--workspace", "--test", "*"], &denied),
            progress,
        )
    });
    gate.step("clippy, lab", |progress| {
        let mut command = toolchain.clippy(Target::Bare);
        command.args(["--workspace", "--release"]);
        build::in_workspace(&mut command, &tree.root().join("lab"), &tree.lab_target());
        program(command.args(denied), progress)
    });
    gate.step("tests, root", |progress| {
        tests(&mut root(&["test", "--no-fail-fast"], &[]), progress)
    });
    gate.step("tests, tools", |progress| {
        tests(
            &mut tools(&["test", "--workspace", "--no-fail-fast"], &[]),
            progress,
        )
    });
}

/// The models: every interleaving of small scenes, and random ones of big scenes.
pub(super) fn models(gate: &mut Gate, tree: &Tree) {
    for checker in CHECKERS {
        gate.step(checker, |progress| tests(&mut models_by(checker, tree), progress));
    }
    gate.group("planted defects, loom", || {
        let mut tally = Tally::default();
        for fault in mutate::by_models(tree, &PLANTED.map(str::to_owned))? {
            tally.count(fault);
        }
        Ok(tally)
    });
}

/// One planted defect for each invariant of the primitive, which its models have to find; `--deep` tries all of them, also in the
/// lab.
const PLANTED: [&str; 8] = [
    "releaser-skips-event",
    "releaser-touches-block",
    "acquire-loads-and-stores",
    "wide-waiter-after-state",
    "wide-touches-word-late",
    "cache-aware-own-slot-only",
    "ordering-release",
    "ordering-wide-publish-acquire",
];

/// The model checkers: each is a test by that name and a cfg of the crate's own, `ex_rundown_NAME`.
pub(super) const CHECKERS: [&str; 2] = ["loom", "shuttle"];

/// A checker's models, as a command to which libtest's arguments can be added.
pub(super) fn models_by(checker: &str, tree: &Tree) -> Command {
    let mut command = host_cargo();
    command.args(["test", "--package", "ex-rundown", "--release", "--test", checker]);
    // Another cfg is another build of everything: it would evict the ordinary one.
    build::in_workspace(&mut command, tree.root(), &tree.target().join(checker));
    command.env("RUSTFLAGS", format!("--cfg ex_rundown_{checker}"));
    build::for_here(&mut command);
    command
}

/// Builds what the lab runs; whether the steps that need it can follow.
pub(super) fn artefacts(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) -> bool {
    let built = gate.group("build", || {
        build::all(tree, toolchain)?;
        Ok(Tally::one(None))
    });
    gate.group("clippy, driver", || {
        driver::clippy(&Workspace::new(tree.root()), toolchain, Profile::Release)?;
        Ok(Tally::one(None))
    });
    built
}

/// The driver's image against what Windows asks of it, each of the kit's checks by itself.
pub(super) fn image(gate: &mut Gate, tree: &Tree, profile: Profile) {
    let (name, folder) = match profile {
        Profile::Release => ("image of rundown.sys", tree.lab()),
        Profile::Dev => ("image of rundown.sys, dev", tree.dev_lab()),
    };
    gate.step(name, |_| {
        let (sys, pdb) = (&folder.join("rundown.sys"), &folder.join("rundown.pdb"));
        let mut tally = Tally::default();
        for check in pe::check(sys, pdb, Windows::V2004)? {
            tally.count(check.result.err().map(|why| format!("{}: {why}", check.name)));
        }
        for fault in residence_faults(sys, pdb)? {
            tally.count(fault);
        }
        for chain in depth::chains(sys, pdb)? {
            tally.count(
                (chain.bytes() > stack::LIMIT).then(|| format!("too deep for a kernel stack: {chain}")),
            );
        }
        for fault in check_faults(sys, pdb, profile)? {
            tally.count(fault);
        }
        Ok(tally)
    });
}

/// Which of the driver's code may leave memory: `DriverEntry` and what it alone calls for good, setting up a device for a
/// while, and never the primitive, whoever it was inlined into: its callers may be at any IRQL that it allows.
fn residence_faults(sys: &Path, pdb: &Path) -> Result<[Option<String>; 3]> {
    let functions = residence::not_resident(sys, pdb)?;
    let names = |section: &str| -> Vec<&str> {
        let there = functions.iter().filter(|function| function.section == section);
        there.map(|function| function.function.as_str()).collect()
    };
    let (init, page) = (names("INIT"), names("PAGE"));
    let mut late = Vec::new();
    for function in init.iter().filter(|name| **name != DRIVER_ENTRY) {
        let callers = stack::callers(sys, pdb, function)?;
        late.extend(callers.into_iter().filter(|caller| !init.contains(&&**caller)));
    }
    // Reading the time stamp counter is an instruction, with no rule about the IRQL.
    let primitive =
        |name: &&String| name.starts_with("ex_rundown::") && !name.starts_with("ex_rundown::arch::timestamp");
    let strays: Vec<&String> = functions
        .iter()
        .flat_map(|function| std::iter::once(&function.function).chain(&function.inlined))
        .filter(primitive)
        .collect();
    Ok([
        (!init.contains(&DRIVER_ENTRY) || !late.is_empty())
            .then(|| format!("in INIT lie {init:?}, which {late:?} call, too")),
        (!page.contains(&"rundown::driver::evt_driver_device_add"))
            .then(|| format!("in PAGE lie {page:?}, and AddDevice is not among them")),
        (!strays.is_empty()).then(|| format!("pageable or thrown away: {strays:?}")),
    ])
}

/// Whether sums that overflow and broken preconditions stop the machine, as the profile says: in the dev profile's driver
/// and in no other.
fn check_faults(sys: &Path, pdb: &Path, profile: Profile) -> Result<[Option<String>; 2]> {
    // The core library's own words, where debug assertions are on.
    const PRECONDITION: &[u8] = b"unsafe precondition(s) violated";
    let callers = stack::callers(sys, pdb, "core::panicking::panic_const::panic_const_add_overflow")?;
    let sums = callers.iter().any(|name| name.starts_with("rundown"));
    let image = fs::read(sys).with_context(|| format!("{} cannot be read", sys.display()))?;
    let preconditions = image.windows(PRECONDITION.len()).any(|text| text == PRECONDITION);
    let expected = profile == Profile::Dev;
    Ok(
        [("sums", sums), ("preconditions", preconditions)].map(|(what, checked)| {
            (checked != expected).then(|| format!("its {what} are checked: {checked}, not {expected}"))
        }),
    )
}

/// The driver's machine code, where the primitive was inlined. The probes' code is among the tests of tools/.
pub(super) fn code(gate: &mut Gate, tree: &Tree) {
    gate.step("code of rundown.sys", |progress| {
        let mut command = host_cargo();
        command.args(["test", "--package", "rundown-codegen", "--test", "rundown_sys"]);
        build::in_workspace(&mut command, &tree.root().join("tools"), &tree.tools_target());
        tests(command.env("RUNDOWN_LAB_DIR", tree.lab()), progress)
    });
}

/// The lab's own tests, with the drivers that they are made of.
pub(super) fn lab(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    let built = gate.group("build, specimens", || {
        build::specimens(tree, toolchain)?;
        Ok(Tally::one(None))
    });
    if !built {
        return;
    }
    for suite in [
        "specimens",
        "framework",
        "lab",
        "debugger",
        "crash_dump",
        "gdb",
        "coverage",
        "trace",
    ] {
        gate.step(format!("tests, the lab's {suite}"), |progress| {
            tests(lab_suite(tree, suite).arg("--no-fail-fast"), progress)
        });
    }
}

/// One of the lab's own suites, as a command.
pub(super) fn lab_suite(tree: &Tree, suite: &str) -> Command {
    let mut command = host_cargo();
    command.args(["test", "--package", "rundown-lab", "--test", suite]);
    build::in_workspace(&mut command, &tree.root().join("tools"), &tree.tools_target());
    command.env("RUNDOWN_LAB_DIR", tree.lab());
    command
}

/// The driver with a failure, a cancellation, a close, a death or a removal at the points of its requests; each point counts.
pub(super) fn sweeps(gate: &mut Gate, tree: &Tree) {
    // Three sweeps over calls: a thousand points where every processor runs freely.
    for (mode, points) in [("smp", 334), ("chaos", 100)] {
        gate.step(format!("sweeps, {mode}"), |progress| {
            let what = "low-resources,cancel,close,kill";
            swept(tree, mode, what, points, progress)
        });
        gate.step(format!("removals under load, {mode}"), |progress| {
            swept(tree, mode, "unload", 100, progress)
        });
    }
}

/// Sweeps by the lab in `folder`, as a command.
pub(super) fn sweep(folder: &Path, tree: &Tree, mode: &str, what: &str, points: u32) -> Command {
    let mut command = Command::new(folder.join("rundown-lab"));
    command.args(["sweep", "--mode", mode, "--what", what]);
    command.args(["--points", &points.to_string(), "--script"]);
    command.arg(script(tree));
    command
}

fn swept(tree: &Tree, mode: &str, what: &str, points: u32, progress: &Progress) -> Result<Tally> {
    let mut command = sweep(&tree.lab(), tree, mode, what, points);
    Ok(Tally::of_sweeps(&process::watch(&mut command, progress)?))
}

/// The requests that the sweeps repeat.
pub(super) fn script(tree: &Tree) -> PathBuf {
    tree.root().join("tools/xtask/sweeps/rundown.script")
}

/// The verdict, each fault a failure.
pub(super) fn verdicts(gate: &mut Gate, tree: &Tree) {
    for cpus in [2, 4] {
        gate.group(format!("lab, {cpus} CPUs"), || {
            verdict(
                tree,
                &Settings {
                    cpus: vec![cpus],
                    ..Settings::default()
                },
            )
        });
    }
}

/// The driver's suite: its requests, one by one, in the lab; and its client there.
pub(super) fn suite(gate: &mut Gate, tree: &Tree) {
    gate.step("client in the lab", |progress| {
        let mut command = host_cargo();
        command.args(["test", "--package", "rundownctl", "--test", "real_lab"]);
        build::in_workspace(&mut command, tree.root(), &tree.target());
        command
            .args(["--", "--ignored"])
            .env("RUNDOWN_LAB_DIR", tree.lab());
        tests(&mut command, progress)
    });
    gate.step("driver's suite", |progress| {
        tests(&mut suite_tests(tree, "*"), progress)
    });
}

/// The dev profile's driver, with overflow checks and debug assertions: its image, and what of its suite can differ. A
/// minute of everything at once is for the code that is shipped, and so are the rules of the fast paths.
pub(super) fn dev(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    let built = gate.group("build, dev", || {
        build::dev(tree, toolchain)?;
        Ok(Tally::one(None))
    });
    if !built {
        return;
    }
    image(gate, tree, Profile::Dev);
    gate.step("driver's suite, dev", |progress| {
        tests(&mut dev_suite(tree), progress)
    });
}

/// What of the driver's suite is for the dev profile's driver.
pub(super) fn dev_suite(tree: &Tree) -> Command {
    let mut command = suite_tests(tree, "*");
    command.env("RUNDOWN_LAB_DIR", tree.dev_lab());
    command.args(["--", "--skip", "a_minute_of_every_workload"]);
    command.args(["--skip", "ours_is_the_code_of_its_design"]);
    command
}

/// Test programs of the driver's suite, by a pattern of their names.
pub(super) fn suite_tests(tree: &Tree, pattern: &str) -> Command {
    let mut command = host_cargo();
    command.args([
        "test",
        "--package",
        "rundown-suite",
        "--test",
        pattern,
        "--no-fail-fast",
    ]);
    build::in_workspace(&mut command, &tree.root().join("tools"), &tree.tools_target());
    command.env("RUNDOWN_LAB_DIR", tree.lab());
    command
}

/// One verdict, each fault a failure.
pub(super) fn verdict(tree: &Tree, settings: &Settings) -> Result<Tally> {
    let verdict = lab::run(tree, settings)?;
    rundown_streams::tell!("{}", verdict.table());
    let short = verdict.short().map(|short| format!("not enough seen: {short}"));
    let failures: Vec<String> = verdict.faults().map(str::to_owned).chain(short).collect();
    let passed = verdict.scenarios().saturating_sub(failures.len()) as u64;
    if passed == 0 && failures.is_empty() {
        bail!("nothing was run");
    }
    Ok(Tally {
        passed,
        failures,
        ..Tally::default()
    })
}

fn program(command: &mut Command, progress: &Progress) -> Result<Tally> {
    Ok(Tally::of_program(&process::watch(command, progress)?))
}

pub(super) fn tests(command: &mut Command, progress: &Progress) -> Result<Tally> {
    Ok(Tally::of_tests(&process::watch(command, progress)?))
}
