//! What goes to Windows, as far as Linux can tell: the package, the debugger's extension, and the client under Wine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use rundown_kit::{
    client,
    driver::Workspace,
    toolchain::{Target, Toolchain},
};

use serde_json::json;

use super::tally::{Gate, Tally};
use crate::{build, package, process, progress::Progress, setup, tree::Tree};

/// Runs every step.
pub(super) fn steps(gate: &mut Gate, tree: &Tree, toolchain: &Toolchain, for_client: &Toolchain) {
    gate.step("WinDbg extension", |progress| {
        let mut node = Command::new("node");
        node.args(["--test", "debugger/test/rundown.test.js"])
            .current_dir(tree.root());
        let finished = process::watch(&mut node, progress)?;
        Ok(Tally::of_node(&finished))
    });
    gate.group("package, made and verified", || {
        package::make(tree, toolchain, for_client)?;
        Ok(Tally::one(None))
    });
    gate.step("walk's judge reads the client", |progress| walk(tree, progress));
    gate.group("clippy, client for Windows", || {
        client::clippy(&Workspace::new(tree.root()), for_client)?;
        Ok(Tally::one(None))
    });
    match Toolchain::choose_for(None, &[Target::Arm64]) {
        Ok(toolchain) => {
            gate.step("clippy, the primitive for ARM64", |progress| {
                let mut command = toolchain.clippy(Target::Arm64);
                command.args(["--package", "ex-rundown"]);
                build::in_workspace(&mut command, tree.root(), &tree.target());
                command.args(["--", "--deny", "warnings"]);
                Ok(Tally::of_program(&process::watch(&mut command, progress)?))
            });
        }
        Err(why) => gate.not_run("clippy, the primitive for ARM64", &why.to_string()),
    }
    if setup::is_program("wine") {
        gate.step("client under Wine", |progress| under_wine(tree, progress));
    } else {
        gate.not_run(
            "client under Wine",
            "Wine is not installed (apt-get install wine64)",
        );
    }
}

/// What walk.ps1 would record of the client, with the lab in the place of a Windows machine, is understood by what judges it.
fn walk(tree: &Tree, progress: &Progress) -> Result<Tally> {
    let steps = [
        ("info", &["info", "--json"][..]),
        ("stress-ours", &["stress", "--json", "--duration", "200"]),
        (
            "stress-native",
            &["stress", "--json", "--duration", "200", "--arm", "native"],
        ),
        ("bad-request", &["raw", "0x80526000", "-", "--out", "80"]),
    ];
    let mut lines = vec![json!({ "walk": 1, "part": "plain", "time": "2026-01-01T00:00:00Z" }).to_string()];
    for (step, arguments) in steps {
        let mut client = Command::new(tree.lab().join("rundownctl"));
        client.args(["--target", "lab:cpus=2,seed=1"]).args(arguments);
        let finished = process::watch(&mut client, progress)?;
        // The script takes both streams; here the lab talks on the second one too.
        let output = if finished.stdout.is_empty() {
            finished.stderr
        } else {
            finished.stdout
        };
        let exit = finished.status.code();
        let record =
            json!({ "step": step, "command": "rundownctl", "exit": exit, "seconds": 1.0, "output": output });
        lines.push(record.to_string());
    }
    let file = tree.target().join("walk-of-the-lab.jsonl");
    fs::write(&file, lines.join("\n")).with_context(|| format!("{} cannot be written", file.display()))?;
    let mut report = Command::new(build::tool(tree, "rundown-package")?);
    report.arg("report").arg(&file);
    let said = process::watch(&mut report, progress)?.text;
    let mut tally = Tally::default();
    for (step, _) in steps {
        let words = ["plain", step, "passed"];
        let passed = said.lines().any(|line| line.split_whitespace().take(3).eq(words));
        tally.count((!passed).then(|| format!("{step} is not judged as passed:\n{said}")));
    }
    Ok(tally)
}

/// Wine 8, Debian's, lacks a library that Rust's standard library takes random numbers from. Newer ones prefer ours too.
const BCRYPT_PRIMITIVES: &str = "\
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID Buffer, ULONG Length); /* RtlGenRandom */
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE Data, SIZE_T Length)
{
    return SystemFunction036(Data, (ULONG)Length);
}
";

/// A run of the client.
struct Said {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// The client for Windows in a Windows of Wine's, which has no rundown device.
struct Wine {
    folder: PathBuf,
}

impl Wine {
    fn prepare(tree: &Tree, progress: &Progress) -> Result<Self> {
        let folder = tree.target().join("wine");
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        build::gather(&tree.package().join("rundownctl.exe"), &folder)?;
        let source = folder.join("bcryptprimitives.c");
        fs::write(&source, BCRYPT_PRIMITIVES)
            .with_context(|| format!("{} cannot be written", source.display()))?;
        let mut compiler = Command::new(client::LINKER);
        compiler.arg("-shared").arg(&source).arg("-ladvapi32");
        compiler.arg("-o").arg(source.with_extension("dll"));
        process::succeed(&mut compiler, progress)?;
        let wine = Self { folder };
        // The first start makes the prefix, and says much about it.
        process::succeed(&mut wine.command("wineboot", &["--init"]), progress)?;
        Ok(wine)
    }

    /// A program of Wine's, which is ended if it hangs.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after", "5", "120", program])
            .args(arguments)
            .current_dir(&self.folder)
            .env("WINEPREFIX", self.folder.join("prefix"))
            .env("WINEARCH", "win64")
            // Neither its own messages nor offers to install what it can use.
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY");
        command
    }

    fn client(&self, arguments: &[&str], progress: &Progress) -> Result<Said> {
        let arguments = [&["rundownctl.exe"], arguments].concat();
        run(&mut self.command("wine", &arguments), progress)
    }
}

fn run(command: &mut Command, progress: &Progress) -> Result<Said> {
    let finished = process::watch(command, progress)?;
    // On Windows a program is named with its suffix, lines end its way, and the driver is looked for in the machine
    // itself.
    let plain = |text: &str| {
        text.replace("rundownctl.exe", "rundownctl")
            .replace('\r', "")
            .replace("[default: device]", "[default: lab]")
    };
    Ok(Said {
        status: finished.status.code(),
        stdout: plain(&finished.stdout),
        stderr: plain(&finished.stderr),
    })
}

/// The same command line to the client on this machine and in Wine has the same answer, and no device has its own.
fn under_wine(tree: &Tree, progress: &Progress) -> Result<Tally> {
    let wine = Wine::prepare(tree, progress)?;
    let here = tree.lab().join("rundownctl");
    let mut tally = Tally::default();
    for arguments in [
        &["--version"][..],
        &["help", "raw"],
        &["help", "stress"],
        &["nonsense"],
        &["stress", "--threads", "many"],
        &["stress", "--spin-cycles", "0"],
        &["raw", "0x180526000"],
        &["raw", "0x80526000", "0"],
        &["--target", "moon", "info"],
    ] {
        tally.count(differs(&wine, &here, arguments, progress)?);
    }
    tally.count(without_device(&wine, progress)?);
    tally.count(without_device_as_json(&wine, progress)?);
    // Its processes outlast the last client by a few seconds.
    process::watch(&mut wine.command("wineserver", &["--kill"]), progress)?;
    Ok(tally)
}

fn differs(wine: &Wine, here: &Path, arguments: &[&str], progress: &Progress) -> Result<Option<String>> {
    let there = wine.client(arguments, progress)?;
    let here = run(Command::new(here).args(arguments), progress)?;
    let line = arguments.join(" ");
    Ok([
        (
            "status",
            format!("{:?}", here.status),
            format!("{:?}", there.status),
        ),
        ("standard output", here.stdout, there.stdout),
        ("standard error", here.stderr, there.stderr),
    ]
    .into_iter()
    .find(|(_, here, there)| here != there)
    .map(|(what, here, there)| {
        format!("rundownctl {line}: {what} differs in Wine\nhere:\n{here}\nthere:\n{there}")
    }))
}

const NO_DEVICE: &str = "no rundown device is present";

fn without_device(wine: &Wine, progress: &Progress) -> Result<Option<String>> {
    let said = wine.client(&["info"], progress)?;
    let right = said.status == Some(3)
        && said.stdout.is_empty()
        && said.stderr.contains(NO_DEVICE)
        && said.stderr.contains("devcon install");
    Ok((!right).then(|| {
        format!(
            "rundownctl info without a device ({:?}): {}",
            said.status, said.stderr
        )
    }))
}

fn without_device_as_json(wine: &Wine, progress: &Progress) -> Result<Option<String>> {
    let said = wine.client(&["stress", "--json", "--duration", "100"], progress)?;
    let object: Option<serde_json::Value> = serde_json::from_str(&said.stdout).ok();
    let error = object.as_ref().and_then(|object| object.get("error"));
    let right = said.status == Some(3)
        && error.is_some_and(|error| {
            error["exit_code"] == 3
                && error["message"]
                    .as_str()
                    .is_some_and(|text| text.contains(NO_DEVICE))
        });
    Ok((!right).then(|| {
        format!(
            "rundownctl stress --json without a device ({:?}): {}",
            said.status, said.stdout
        )
    }))
}
