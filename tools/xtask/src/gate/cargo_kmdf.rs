//! `cargo kmdf` for drivers in the shape that `cargo wdk new` gives them, and for drivers in C, each run in the lab.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use rundown_kit::{exports::Windows, pe, toolchain::Toolchain};

use super::tally::{Gate, Tally};
use crate::{
    mutate::copy,
    process::{self, Finished},
    progress::Progress,
    tree::Tree,
};

/// The templates below `tools/cargo-kmdf/tests/template`.
const DRIVERS: [&str; 2] = ["kmdf", "wdm"];

/// A driver in C below the same folder.
struct InC {
    name: &'static str,
    /// Whether it is of KMDF.
    framework: bool,
    /// What the lab is told of it, which has no INF.
    lab: &'static [&'static str],
    /// What the lab then says.
    says: &'static str,
}

impl InC {
    /// What its makefile makes.
    fn sys(&self) -> String {
        format!("a_{}_driver.sys", self.name.replace('-', "_"))
    }
}

const IN_C: [InC; 2] = [
    InC {
        name: "c-kmdf",
        framework: true,
        lab: &[
            "--hwid",
            r"Root\ACKmdfDriver",
            "--script",
            "test.script",
            "--sweeps",
        ],
        says: "step 3 is answered with 0x00000000 and 5 bytes: 48656c6c6f",
    },
    InC {
        name: "c-wdm",
        framework: false,
        lab: &["--legacy"],
        says: "passed: a_c_wdm_driver.sys",
    },
];

/// A step for each, after the lab is built.
pub(super) fn steps(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain) {
    let built = gate.step("build of cargo kmdf", |progress| {
        let mut cargo = toolchain.host_cargo();
        cargo
            .args(["build", "--locked", "--package", "cargo-kmdf", "--manifest-path"])
            .arg(tree.root().join("tools/Cargo.toml"))
            .arg("--target-dir")
            .arg(tree.tools_target());
        process::succeed(&mut cargo, progress)?;
        Ok(Tally::one(None))
    });
    if !built {
        return;
    }
    let mut group = |kind: &str, run: &dyn Fn(&Progress) -> Result<Tally>| {
        gate.group(format!("cargo kmdf, {kind}"), || {
            let progress = Progress::begin(format!("cargo kmdf, {kind}"));
            let tally = run(&progress)?;
            progress.done("");
            Ok(tally)
        });
    };
    for kind in DRIVERS {
        group(kind, &|progress| built_and_run(tree, kind, progress));
    }
    for driver in &IN_C {
        group(driver.name, &|progress| made_and_run(tree, driver, progress));
    }
    group("own WDK", &|progress| with_own_wdk(tree, progress));
}

/// A driver in C: its makefile asks `cargo kmdf sysroot` for all that it needs.
fn made_and_run(tree: &Tree, driver: &InC, progress: &Progress) -> Result<Tally> {
    let sources = fresh(tree, driver.name, driver.name)?;
    // cargo finds its subcommand on the path.
    let path = env::var_os("PATH").unwrap_or_default();
    let path = [tree.tools_target().join("debug")]
        .into_iter()
        .chain(env::split_paths(&path));
    let mut make = Command::new("make");
    make.env("PATH", env::join_paths(path)?).current_dir(&sources);
    process::succeed(&mut make, progress)?;

    // It has all that the kit gives a driver in Rust.
    let sys = sources.join(driver.sys());
    let checks = pe::check(&sys, &sys.with_extension("pdb"), Windows::V2004)?;
    let wrong: Vec<String> = pe::failed(&checks, driver.framework, true)
        .filter(|check| check.name != "version")
        .map(ToString::to_string)
        .collect();
    let mut tally = Tally::one((!wrong.is_empty()).then(|| wrong.join("\n")));

    tally.count(run_in_lab(tree, driver, &sources, progress)?);
    Ok(tally)
}

/// What is wrong with a driver in C that was made in `sources`, as the lab sees it.
fn run_in_lab(tree: &Tree, driver: &InC, sources: &Path, progress: &Progress) -> Result<Option<String>> {
    let mut lab = Command::new(tree.lab().join("rundown-lab"));
    lab.arg("run")
        .arg(sources.join(driver.sys()))
        .args(driver.lab)
        .current_dir(sources);
    let finished = process::watch(&mut lab, progress)?;
    let right = finished.status.success() && finished.text.contains(driver.says);
    Ok((!right).then(|| finished.tail()))
}

fn built_and_run(tree: &Tree, kind: &str, progress: &Progress) -> Result<Tally> {
    let sources = fresh(tree, kind, kind)?;
    let mut tally = Tally::default();

    let finished = kmdf(tree, &sources, &["check", "--release"], progress)?;
    tally.count((!finished.status.success()).then(|| finished.tail()));
    let finished = kmdf(tree, &sources, &["build", "--release"], progress)?;
    ensure!(finished.status.success(), "{}", finished.tail());
    // It says what it made.
    let made: Vec<&Path> = finished.stdout.lines().map(Path::new).collect();
    let file = |name: &str| made.iter().copied().find(|path| path.ends_with(name));
    tally.count(match (file("a_kmdf_driver.inf"), kind) {
        (Some(inf), "kmdf") => wrong_inf(inf)?,
        (None, "wdm") => None,
        (inf, _) => Some(format!("{kind}: the INF is {inf:?}")),
    });
    let sys = format!("a_{kind}_driver.sys");
    tally.count(file(&sys).is_none().then(|| format!("{sys} is not named")));

    // As `cargo wdk new` makes it, a driver lacks what this project asks of its own, and nothing else.
    let finished = kmdf(tree, &sources, &["build", "--release", "--strict"], progress)?;
    let wrong: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("WRONG"))
        .collect();
    let only_the_version = matches!(wrong[..], [only] if only.starts_with("WRONG version: "));
    tally.count((!only_the_version || finished.status.success()).then(|| finished.tail()));

    if kind == "kmdf" {
        tally.count(wrong_package(tree, &sources, progress)?);
    }

    let report = sources.join("report.json");
    let (lab, written) = (tree.lab().display().to_string(), report.display().to_string());
    let arguments = [
        "lab",
        "--release",
        "--lab",
        &lab,
        "--cpus",
        "1",
        "--report",
        &written,
    ];
    let finished = kmdf(tree, &sources, &arguments, progress)?;
    tally.count((!finished.status.success()).then(|| finished.tail()));
    let text = fs::read_to_string(&report).with_context(|| format!("{} cannot be read", report.display()))?;
    let report: serde_json::Value = serde_json::from_str(&text)?;
    tally.count((report["cpus"] != 1 || report["passed"] != true).then_some(text));
    Ok(tally)
}

/// What is wrong with the package, which osslsigncode verifies while it is made: it has what a test machine needs, and says what this project
/// would not let pass in an INF of its own.
fn wrong_package(tree: &Tree, sources: &Path, progress: &Progress) -> Result<Option<String>> {
    let finished = kmdf(tree, sources, &["package", "--release"], progress)?;
    let folder = Path::new(finished.stdout.trim());
    let files = ["inf", "sys", "pdb", "cat"].map(|end| Path::new("a_kmdf_driver").with_extension(end));
    let all = files
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new("rundown-test.cer")]);
    let missing: Vec<_> = all.filter(|file| !folder.join(file).is_file()).collect();
    let warned = finished.stderr.contains("[security]");
    let right = finished.status.success() && missing.is_empty() && warned;
    Ok((!right).then(|| format!("missing of the package: {missing:?}; {}", finished.tail())))
}

/// `cargo kmdf` with a WDK of the user's own, which is looked for, spelt and laid out as Windows' is: for the driver in Rust, and for one in C.
fn with_own_wdk(tree: &Tree, progress: &Progress) -> Result<Tally> {
    let c = &IN_C[0];
    let (rust, in_c) = (fresh(tree, "kmdf", "own-wdk")?, fresh(tree, c.name, "own-wdk-c")?);
    let finished = kmdf(tree, &in_c, &["sysroot"], progress)?;
    ensure!(finished.status.success(), "{}", finished.tail());
    let wdk = tree.target().join("cargo-kmdf/Windows Kits/10");
    windows_kits(Path::new(finished.stdout.trim()), &wdk)?;
    let (lab, wdk) = (tree.lab().display().to_string(), wdk.display().to_string());
    let arguments = ["lab", "--release", "--wdk", &wdk, "--lab", &lab];
    let finished = kmdf(tree, &rust, &arguments, progress)?;
    let mut tally = Tally::one((!finished.status.success()).then(|| finished.tail()));

    let finished = kmdf(tree, &in_c, &["sysroot", "--print", "--wdk", &wdk], progress)?;
    ensure!(finished.status.success(), "{}", finished.tail());
    // What the makefile would ask for itself.
    fs::write(in_c.join("wdk.mk"), &finished.stdout)?;
    process::succeed(Command::new("make").current_dir(&in_c), progress)?;
    tally.count(run_in_lab(tree, c, &in_c, progress)?);
    Ok(tally)
}

/// The stand-ins as Windows has a WDK: with names in other cases than they are asked for, and without what the kit tells clang of its own.
fn windows_kits(stand_in: &Path, wdk: &Path) -> Result<()> {
    if wdk.exists() {
        fs::remove_dir_all(wdk)?;
    }
    for folder in ["Include", "Lib"] {
        copied(&stand_in.join(folder), &wdk.join(folder))?;
    }
    let version = Path::new("10.0.26100.0");
    let headers = wdk.join("Include").join(version).join("km");
    for folder in ["1.31", "1.33"].map(|name| wdk.join("Include/wdf/kmdf").join(name)) {
        fs::rename(folder.join("wdfapi.h"), folder.join("WdfApi.h"))?;
    }
    fs::rename(headers.join("wdm.h"), headers.join("WDM.H"))?;
    let libraries = wdk.join("Lib").join(version).join("km/x64");
    fs::rename(
        libraries.join("BufferOverflowFastFailK.lib"),
        libraries.join("bufferoverflowfastfailk.lib"),
    )?;
    let gcc = "#define __GNUC__ 4\n#define __GNUC_MINOR__ 8\n#define __GNUC_PATCHLEVEL__ 0\n#include_next <_mingw.h>\n";
    fs::write(headers.join("crt/_mingw.h"), gcc)?;
    Ok(())
}

/// A copy of a folder, with the files that its links point at.
fn copied(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copied(&path, &to)?;
        } else {
            fs::copy(&path, &to)?;
        }
    }
    Ok(())
}

/// A copy of a template, called `name`.
fn fresh(tree: &Tree, template: &str, name: &str) -> Result<PathBuf> {
    let sources = tree.target().join("cargo-kmdf").join(name);
    copy::refresh(
        &tree.root().join("tools/cargo-kmdf/tests/template").join(template),
        &sources,
    )?;
    if sources.join("Cargo.toml").exists() {
        // With the versions that everything here is tested with. cargo leaves out the other crates' when it looks at it.
        fs::copy(tree.root().join("Cargo.lock"), sources.join("Cargo.lock"))
            .with_context(|| format!("Cargo.lock cannot be copied to {}", sources.display()))?;
    }
    Ok(sources)
}

/// `cargo kmdf`, as this tree has it, in a driver's folder.
fn kmdf(tree: &Tree, sources: &Path, arguments: &[&str], progress: &Progress) -> Result<Finished> {
    let mut command = Command::new(tree.tools_target().join("debug/cargo-kmdf"));
    command.arg("kmdf").args(arguments).current_dir(sources);
    process::watch(&mut command, progress)
}

/// What is wrong with the INF: it has the stamps, in UTF-16, which its text asks for.
fn wrong_inf(inf: &Path) -> Result<Option<String>> {
    let bytes = fs::read(inf).with_context(|| format!("{} cannot be read", inf.display()))?;
    let units: Vec<u16> = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .copied()
        .map(u16::from_le_bytes)
        .collect();
    let text = String::from_utf16_lossy(&units);
    let wanted = [",1.2.3.0\r\n", "KmdfLibraryVersion = 1.33\r\n", "NTamd64", "Köln"];
    let missing: Vec<&str> = wanted.into_iter().filter(|part| !text.contains(part)).collect();
    Ok((!bytes.starts_with(&[0xFF, 0xFE]) || !missing.is_empty())
        .then(|| format!("{} has no {missing:?}, or is not UTF-16", inf.display())))
}
