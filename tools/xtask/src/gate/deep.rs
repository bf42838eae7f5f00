//! What takes hours: `cargo xtask test --deep`.

use std::process::Command;

use anyhow::Result;
use rundown_kit::{
    driver::{self, Profile, Workspace},
    toolchain::{Route, Toolchain},
};

use super::{
    bare, coverage,
    crate_mutants::{self, ENGINE, PRIMITIVE},
    reproducible, steps,
    tally::{Gate, Tally},
};
use crate::{
    build,
    mutate::{self, by_rule},
    process,
    progress::Progress,
    setup::{self, Consent},
    tree::Tree,
};

/// How long libFuzzer runs.
const FUZZ_SECONDS: u32 = 300;

/// What Miri runs with. Provenance: the word is an integer that C code shares. Leaks: misuse ends a test's thread while it
/// holds an event, where the kernel stops altogether.
const MIRI_FLAGS: &str = "-Zmiri-many-seeds=0..8 -Zmiri-permissive-provenance -Zmiri-ignore-leaks";

/// How long each run of the system's routines lasts, in milliseconds.
const NATIVE_RUN: u32 = 20_000;

/// How many runs of mode `replay` must be the same, on one processor and on two.
const REPLAYS: u64 = 20;
/// How many runs must end without an alarm, each with a seed of its own.
const SMP_RUNS: u64 = 200;

/// The steps that come after the gate's own.
pub(super) fn steps(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain, consent: Consent) {
    for checker in steps::CHECKERS {
        gate.step(format!("{checker}, deep models"), |progress| {
            tests(
                steps::models_by(checker, tree).args(["--", "--ignored"]),
                progress,
            )
        });
    }
    gate.step("Miri", |progress| {
        setup::ensure_miri()?;
        tests(&mut miri(tree), progress)
    });
    gate.step("AddressSanitizer", |progress| {
        setup::ensure_sanitizers()?;
        tests(&mut sanitized(tree), progress)
    });
    gate.step("requests, a million spoilt", |progress| {
        let mut command = steps::suite_tests(tree, "fuzz");
        tests(command.env("RUNDOWN_FUZZ_REQUESTS", "1000000"), progress)
    });
    gate.step("cargo fuzz, validation of requests", |progress| {
        setup::ensure_cargo_fuzz()?;
        fuzz(tree, progress)
    });
    gate.step("mutants of the primitive", |progress| {
        crate_mutants::judge(&PRIMITIVE, tree, progress)
    });
    gate.step("mutants of the stress engine", |progress| {
        crate_mutants::judge(&ENGINE, tree, progress)
    });
    lines(gate, tree, toolchain);
    gate.group("mutants of the driver", || {
        let outcome = mutate::run(tree, toolchain, 10, &[])?;
        rundown_streams::tell!("{}", outcome.table());
        let failures = outcome.faults();
        Ok(Tally {
            passed: outcome.subjects().saturating_sub(failures.len()) as u64,
            failures,
            ..Tally::default()
        })
    });
    gate.group("mutants by rule", || {
        let (parts, _) = by_rule::chosen(tree, Vec::new())?;
        let sums = by_rule::run(tree, toolchain, &parts, 1)?;
        rundown_streams::tell!("{}", by_rule::table(&sums));
        Ok(Tally {
            passed: sums.iter().map(by_rule::Sum::found).sum(),
            failures: sums.into_iter().flat_map(|sum| sum.faults).collect(),
            ..Tally::default()
        })
    });
    gate.step(format!("{REPLAYS} replays to the bit"), |progress| {
        let mut command = steps::lab_suite(tree, "lab");
        command.arg("a_replay_is_the_same_to_the_bit");
        tests(command.env("LAB_REPLAYS", REPLAYS.to_string()), progress)
    });
    gate.step(format!("{SMP_RUNS} smp runs without a false alarm"), |progress| {
        smp_runs(tree, progress)
    });
    gate.step("an hour of stress, each way out a million times", |progress| {
        tests(
            steps::suite_tests(tree, "hour").args(["--", "--ignored"]),
            progress,
        )
    });
    gate.step(
        "the reference for DISPATCH_LEVEL, a million generations",
        |progress| {
            tests(
                steps::suite_tests(tree, "stress").args(["waits", "--", "--ignored"]),
                progress,
            )
        },
    );
    gate.step("each run of the system's routines, 20 s", |progress| {
        let mut command = steps::suite_tests(tree, "stress");
        command.arg("the_system_survives_every_request");
        tests(
            command.env("RUNDOWN_NATIVE_MILLISECONDS", NATIVE_RUN.to_string()),
            progress,
        )
    });
    for route in [Route::Installed, Route::Debian] {
        gate.group(format!("driver by route {route:?}"), || {
            let toolchain = setup::ensure(Some(route), consent, &[])?;
            let target = tree.target().join(format!("route-{route:?}").to_lowercase());
            driver::build(
                &Workspace::new(tree.root()).with_target(&target),
                &toolchain,
                Profile::Release,
            )?;
            Ok(Tally::one(None))
        });
    }
    gate.group("driver, the same bytes from elsewhere", || {
        reproducible::driver(tree, toolchain)
    });
    bare::steps(gate, tree);
}

/// Which lines of the driver its tests carry out; each counts.
fn lines(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    gate.group("lines of the driver", || {
        let outcome = coverage::run(tree, toolchain)?;
        rundown_streams::tell!("{}", outcome.tables());
        Ok(Tally {
            passed: outcome.run(),
            failures: outcome.faults,
            ..Tally::default()
        })
    });
}

/// As [`steps::tests`], for tests that are meant to take long.
fn tests(command: &mut Command, progress: &Progress) -> Result<Tally> {
    Ok(Tally::of_tests(&process::watch_within(
        process::HOURS,
        command,
        progress,
    )?))
}

/// libFuzzer on the protocol's validation, from a corpus of valid requests.
fn fuzz(tree: &Tree, progress: &Progress) -> Result<Tally> {
    let folder = tree.root().join(steps::FUZZ);
    let target = tree.target().join("fuzz");
    let corpus = target.join("corpus");
    let nightly = |arguments: &[&str]| {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly", "cargo"]).args(arguments);
        command.current_dir(&folder).env("CARGO_TARGET_DIR", &target);
        without_toolchain(&mut command);
        command
    };
    process::succeed(
        nightly(&["run", "--locked", "--bin", "seeds", "--"]).arg(&corpus),
        progress,
    )?;
    let seconds = format!("-max_total_time={FUZZ_SECONDS}");
    let mut fuzz = nightly(&["fuzz", "run", "requests"]);
    fuzz.arg(&corpus).args(["--", &seconds, "-print_final_stats=1"]);
    let finished = process::watch(&mut fuzz, progress)?;
    let executions = finished
        .text
        .lines()
        .find(|line| line.starts_with("stat::number_of_executed_units"));
    rundown_streams::tell!(
        "  {}",
        executions.unwrap_or("libFuzzer did not say how much it executed")
    );
    Ok(Tally::of_program(&finished))
}

/// The sweeps' script, with nothing happening to it, on 1, 2 and 4 processors in turns. The driver is sound: an alarm is a false one.
fn smp_runs(tree: &Tree, progress: &Progress) -> Result<Tally> {
    let mut tally = Tally::default();
    for (seed, cpus) in (1..=SMP_RUNS).zip(["1", "2", "4"].into_iter().cycle()) {
        let mut command = Command::new(tree.lab().join("rundown-lab"));
        command.args([
            "serve",
            "--mode",
            "smp",
            "--cpus",
            cpus,
            "--seed",
            &seed.to_string(),
        ]);
        command.arg("--script").arg(steps::script(tree));
        let finished = process::watch(&mut command, progress)?;
        let alarm = !finished.status.success();
        tally.count(alarm.then(|| format!("seed {seed}, {cpus} CPUs\n{}", finished.tail())));
    }
    Ok(tally)
}

/// What frees objects and what safe code does to references, with every touch of freed memory and of frames that are gone seen.
fn sanitized(tree: &Tree) -> Command {
    let mut command = Command::new("rustup");
    command.args([
        "run",
        "nightly",
        "cargo",
        "test",
        "--no-fail-fast",
        "--package",
        "ex-rundown",
    ]);
    for test in ["freed", "safe", "data", "cache_aware", "rundown_ref"] {
        command.args(["--test", test]);
    }
    // With a target named, the sanitizer is not put into build scripts and macros.
    command.args(["--target", "x86_64-unknown-linux-gnu"]);
    build::in_workspace(&mut command, tree.root(), &tree.target().join("sanitized"));
    // As under Miri, what a caught misuse leaves behind may leak.
    command
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .env("ASAN_OPTIONS", "detect_leaks=0");
    without_toolchain(&mut command);
    command
}

/// The primitive's tests under Miri, each with several schedules.
fn miri(tree: &Tree) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "miri", "test", "--no-fail-fast"]);
    command.args(["--package", "ex-rundown", "--lib", "--tests"]);
    build::in_workspace(&mut command, tree.root(), &tree.target().join("miri"));
    command.env("MIRIFLAGS", MIRI_FLAGS);
    without_toolchain(&mut command);
    command
}

/// The cargo around this program points to its own toolchain.
pub(super) fn without_toolchain(command: &mut Command) {
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"] {
        command.env_remove(variable);
    }
}
