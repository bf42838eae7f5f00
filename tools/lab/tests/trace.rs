//! The timeline of real runs: that it is what the format asks for, that its slices nest, and that it agrees with what the driver says of itself.
//! Not part of a plain `cargo test`, since it boots the lab: `RUNDOWN_LAB_DIR=target/lab cargo test -p rundown-lab --test trace`.
//!
//! The format is Google's "Trace Event Format". [`read`] holds a file against it with types of its own, not with those that wrote it.

mod client;

use client::artefact;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

const GATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask/sweeps/rundown.script");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../example/inflight.script");

/// What the format's document lists for every event, and what it adds for each phase.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    name: String,
    ph: String,
    pid: u32,
    tid: u32,
    ts: f64,
    args: Map<String, Value>,
    cat: Option<String>,
    s: Option<String>,
    id: Option<u64>,
    bp: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "displayTimeUnit")]
    unit: String,
    #[serde(rename = "otherData")]
    about: Map<String, Value>,
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
}

/// Nanoseconds; the file has microseconds with three digits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time since the boot is positive, and 53 bits of nanoseconds are a hundred days"
)]
fn nanoseconds(time: f64) -> u64 {
    (time * 1000.0).round() as u64
}

/// Reads a timeline and holds it against the format.
fn read(path: &Path) -> File {
    let file: File = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(file.unit, "ns");
    let mut last = 0;
    let mut open: BTreeMap<(u32, u32), Vec<&str>> = BTreeMap::new();
    let mut halves: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    let named: BTreeSet<_> = (file.events.iter())
        .filter(|event| event.ph == "M" && event.name == "thread_name")
        .map(|event| (event.pid, event.tid))
        .collect();
    for event in &file.events {
        let has = (event.cat.is_some(), event.s.is_some(), event.id.is_some());
        if event.ph == "M" {
            assert_eq!(has, (false, false, false), "{event:?}");
            assert!(event.args["name"].is_string());
            continue;
        }
        let (since, track) = (nanoseconds(event.ts), (event.pid, event.tid));
        assert!(since >= last, "times go back: {event:?}");
        last = since;
        assert!(named.contains(&track), "a track without a name: {event:?}");
        match event.ph.as_str() {
            "B" => {
                assert_eq!(has, (true, false, false), "{event:?}");
                open.entry(track).or_default().push(&event.name);
            }
            "E" => assert_eq!(
                open.entry(track).or_default().pop(),
                Some(event.name.as_str()),
                "{event:?}"
            ),
            "i" => assert!(
                has == (true, true, false) && event.s.as_deref() == Some("t"),
                "{event:?}"
            ),
            "C" => {
                assert_eq!(has, (true, false, false), "{event:?}");
                assert!(event.args.values().all(Value::is_number), "{event:?}");
            }
            half @ ("b" | "e" | "s" | "f") => {
                assert_eq!(has, (true, false, true), "{event:?}");
                assert_eq!(event.bp.is_some(), half == "f", "{event:?}");
                halves.entry(event.id.unwrap()).or_default().push(half);
            }
            other => panic!("{other}: {event:?}"),
        }
    }
    assert!(
        halves
            .values()
            .all(|halves| *halves == ["b", "e"] || *halves == ["s", "f"])
    );
    file
}

impl File {
    fn of<'a>(&'a self, phase: &'a str, category: &'a str) -> impl Iterator<Item = &'a Event> {
        (self.events.iter()).filter(move |event| event.ph == phase && event.cat.as_deref() == Some(category))
    }

    fn has(&self, phase: &str, category: &str, name: &str) {
        assert!(
            self.of(phase, category).any(|event| event.name.contains(name)),
            "no {phase} {category} {name}"
        );
    }
}

fn run(driver: &str, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rundown-lab"))
        .args(["run", "--kernel"])
        .arg(artefact("rundown-lab-kernel"))
        .arg(artefact(driver))
        .args(words)
        .output()
        .expect("the program under test was built by cargo")
}

/// A run that passes, and its timeline.
fn traced(driver: &str, words: &[&str]) -> (String, File) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let output = run(
        driver,
        &[words, &["--seed", "5", "--trace", path.to_str().unwrap()]].concat(),
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("TRACE: "), "{said}");
    (said, read(&path))
}

/// The example's requests are completed by a timer's ticks.
#[test]
fn requests_wait_for_the_ticks_of_a_timer() {
    let (said, file) = traced("inflight.sys", &["--script", EXAMPLE]);
    assert_eq!(file.about["records lost"], 0, "{said}");
    for (phase, category, name) in [
        ("B", "thread", "System"),
        ("C", "irql", "IRQL of processor 1"),
        ("B", "wait", "waits"),
        ("B", "dpc", "DPC "),
        ("i", "dpc", "DPC queued: "),
        ("i", "timer", "timer set"),
        ("i", "timer", "timer expires"),
        ("i", "timer", "timer cancelled"),
        ("b", "irp", "IRP_MJ_DEVICE_CONTROL"),
        ("B", "call", "DriverEntry"),
        ("B", "call", "EvtIoDeviceControl"),
        ("B", "call", "EvtTimerFunc"),
        ("i", "pool", "allocates"),
        ("C", "pool", "pool"),
        ("s", "wait", "ends the wait"),
    ] {
        file.has(phase, category, name);
    }
    let count = |phase| {
        file.of(phase, "irp")
            .filter(|event| event.name == "IRP_MJ_DEVICE_CONTROL")
            .count()
    };
    assert_eq!(
        (count("b"), count("e")),
        (7, 7),
        "the script's requests, and no other"
    );
    assert!(file.of("e", "irp").all(|event| event.args.contains_key("status")));
}

/// What the timeline has of NT's routines is what the kernel counts of them by itself, and its events are those of the log.
#[test]
fn the_timeline_agrees_with_the_counters() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let (said, file) = traced(
        "rundown.sys",
        &[
            "--script",
            GATE,
            "--cpus",
            "2",
            "--report",
            report.to_str().unwrap(),
        ],
    );
    assert!(!said.contains("records"), "{said}");
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let native = &report["counters"]["native"];
    let named = |name: &'static str| file.of("i", "run-down").filter(move |event| event.name == name);
    let references = |name: &'static str| {
        named(name)
            .filter_map(|event| event.args["references"].as_u64())
            .sum::<u64>()
    };
    assert!(references("acquires") > 0);
    assert_eq!(references("acquires"), native["acquires"]);
    assert_eq!(
        references("acquires"),
        references("releases"),
        "a sound driver gives all back"
    );
    assert_eq!(named("acquire refused").count() as u64, native["refused"]);
    let mut ways: BTreeMap<&str, u64> = BTreeMap::new();
    for wait in file.of("B", "run-down") {
        *ways.entry(wait.args["way out"].as_str().unwrap()).or_default() += 1;
    }
    for (way, count) in native["waits"].as_object().unwrap() {
        assert_eq!(ways.get(way.as_str()).copied().unwrap_or(0), *count, "{way}");
    }
    let events = report["events"]["Rundown.Driver"].as_object().unwrap();
    for (name, count) in events {
        let full = format!("Rundown.Driver {name}");
        assert_eq!(
            file.of("i", "etw").filter(|event| event.name == full).count() as u64,
            *count,
            "{name}"
        );
    }
}

/// A driver that dies leaves a timeline that ends there.
#[test]
fn a_bug_check_leaves_its_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let (path, failure) = (folder.path().join("t.json"), folder.path().join("f.json"));
    let words = [
        "--legacy",
        "--trace",
        path.to_str().unwrap(),
        "--failure",
        failure.to_str().unwrap(),
        "--patience",
        "1",
    ];
    let output = run("rundown.sys", &words);
    // A Plug and Play driver without its device: whatever becomes of it, the file is whole.
    assert!(output.status.code().is_some_and(|code| code < 3), "{output:?}");
    read(&path).has("B", "call", "DriverEntry");
}

#[test]
fn a_file_that_cannot_be_written_is_said_before_anything_boots() {
    for (path, why) in [
        ("/nowhere/t.json", "No such file or directory"),
        ("/", "Is a directory"),
        ("/proc/version", "denied"),
    ] {
        let output = run("rundown.sys", &["--trace", path]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(7), "{said}");
        assert!(
            said.contains(&format!("the timeline {path} cannot be written")),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(path == "/proc/version" || said.contains(why), "{said}");
    }
}
