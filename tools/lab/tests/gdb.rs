//! gdb at the lab (`--gdb`): it knows the driver's functions, inlined ones too, their files and lines, and who called them, from the machine's first
//! instruction on. Not part of a plain `cargo test`: `RUNDOWN_LAB_DIR=target/lab cargo test -p rundown-lab --test gdb`.

mod client;

use client::artefact;
use rundown_lab::client::wait;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a whole session may take: gdb reads the kernel's symbols, and the machine runs meanwhile or stands.
const PATIENCE: Duration = Duration::from_mins(5);

/// Opens the device, and asks what the driver is.
const SCRIPT: &str = "open {5b0ff8a3-6a1d-4a2c-9f6e-8d6c1d2b7e41} rw\nioctl $1 0x80526000 64 -\n";

/// A port that nobody listens on; another may take it before the lab does, which shows as a lab that does not start.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// What gdb says to `commands`, and what the lab says at the end.
fn session(options: &[&str], commands: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let script = folder.path().join("script");
    std::fs::write(&script, SCRIPT).expect("it is our folder");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_rundown-lab"))
        .arg("run")
        .arg(artefact("rundown.sys"))
        .arg("--kernel")
        .arg(artefact("rundown-lab-kernel"))
        .arg("--failure")
        .arg(folder.path().join("failed.json"))
        .arg("--script")
        .arg(&script)
        .args(["--gdb", &free_port().to_string(), "--seed", "1"])
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo has built it");
    let mut errors = BufReader::new(lab.stderr.take().expect("it is a pipe")).lines();
    let attach: PathBuf = errors
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("GDB:")?.trim().strip_prefix("gdb -x ")?.into()))
        .expect("the lab says how gdb is started");
    let mut gdb = Command::new("gdb")
        .args(["-nx", "-batch", "-ex", "set width 0", "-x"])
        .arg(&attach)
        .args(commands.iter().flat_map(|command| ["-ex", command]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("gdb is in the set-up: cargo xtask setup");
    let mut said = String::new();
    gdb.stdout
        .take()
        .expect("it is a pipe")
        .read_to_string(&mut said)
        .expect("gdb says text");
    assert!(
        wait(&mut gdb, PATIENCE).expect("it is our child").success(),
        "{said}"
    );
    let status = wait(&mut lab, PATIENCE).expect("it is our child");
    let rest: Vec<String> = errors.map_while(Result::ok).collect();
    assert!(status.success(), "{status}\n{said}\n{}", rest.join("\n"));
    assert!(
        !Path::new(&attach).exists(),
        "its files are gone with the machine"
    );
    let mut out = String::new();
    lab.stdout
        .take()
        .expect("it is a pipe")
        .read_to_string(&mut out)
        .expect("the lab says text");
    (said, out)
}

/// The line of a file of the driver's sources that has `text`.
fn line_of(file: &str, text: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src").join(file);
    let source = std::fs::read_to_string(path).expect("the driver's sources are there");
    1 + source
        .lines()
        .position(|line| line.contains(text))
        .unwrap_or_else(|| panic!("{file} has `{text}`"))
}

/// The number behind `before`.
fn number_after(text: &str, before: &str) -> usize {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("`{before}` is in:\n{text}"));
    rest.split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default()
        .parse()
        .expect("it is a number")
}

#[test]
fn a_breakpoint_by_name_is_hit_and_its_callers_have_names_and_lines() {
    let (said, out) = session(
        &["--cpus", "1"],
        &[
            "break DriverEntry",
            "break evt_io_device_control",
            "continue",
            "backtrace",
            "continue",
            "backtrace",
            "finish",
            "delete",
            "detach",
        ],
    );
    assert!(out.contains("passed: rundown.sys"), "{out}");
    let (_, at_entry) = said.split_once("\nBreakpoint 1, ").expect(&said);
    let (at_entry, at_request) = at_entry.split_once("\nBreakpoint 2, ").expect(&said);
    // The function's name, its file, a line of its own.
    let line = number_after(
        at_entry,
        "rundown::driver::driver_entry () at /rundown/src/driver.rs:",
    );
    let first = line_of("driver.rs", "fn driver_entry(");
    assert!(
        (first..first + 20).contains(&line),
        "{line}, not {first}:\n{said}"
    );
    let line = number_after(
        at_request,
        "rundown::queue::evt_io_device_control () at /rundown/src/queue.rs:",
    );
    let first = line_of("queue.rs", "fn evt_io_device_control(");
    assert!(
        (first..first + 20).contains(&line),
        "{line}, not {first}:\n{said}"
    );
    // From the driver's frames over the framework's library in it to the kernel's, in this order.
    let callers = [
        "#0  rundown::driver::driver_entry",
        " in FxDriverEntry",
        "rundown_lab_kernel::ldr::call",
        "serve::",
    ];
    let places = callers.map(|caller| {
        at_entry
            .find(caller)
            .unwrap_or_else(|| panic!("{caller} called:\n{said}"))
    });
    assert!(places.is_sorted(), "{said}");
    // The request is presented by the framework, and it is there that the callback returns to.
    assert!(at_request.contains("rundown_lab_wdf::call::invoke"), "{said}");
    // What `finish` says of where it is then, which is no numbered frame.
    let returned = at_request.contains("\nrundown_lab_kernel::callout::call_driver");
    assert!(returned, "{said}");
}

/// An inlined function has a frame of its own, and what it was inlined into is its caller.
#[test]
fn an_inlined_function_is_one() {
    let (said, _) = session(
        &["--cpus", "1", "--mode", "chaos"],
        &[
            "break rundown::context::of",
            "continue",
            "backtrace",
            "delete",
            "detach",
        ],
    );
    let (_, frames) = said.split_once("#0  rundown::context::of (").expect(&said);
    let caller = frames.lines().nth(1).unwrap_or_default();
    assert!(
        caller.starts_with("#1  ") && caller.contains("rundown::"),
        "{said}"
    );
    assert!(caller.contains(" at /rundown/src/"), "{said}");
}
