//! Boots the lab with a driver that uses, and misuses, the framework. Not part of a plain `cargo test`, since it needs the lab's kernel:
//! `RUNDOWN_LAB_DIR=target/lab cargo test -p rundown-lab --test framework`.
//!
//! The driver is `driver.c` in this folder ([`build`]).

mod bind;
mod build;
#[path = "../client/mod.rs"]
mod client;
mod control;
mod library;
#[path = "../offences/mod.rs"]
mod offences;
mod rules;
mod subject;
mod target;
mod transfer;
mod user;

use client::{Ended, Lab, serve};
use offences::FRAMEWORK;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The interface class of the test driver.
const INTERFACE: &str = "11223344-5566-7788-0102-030405060708";
const CANCELLED: u32 = 0xC000_0120;

/// The test driver, built once; its INF and PDB lie beside it.
fn driver() -> &'static Path {
    static DRIVER: OnceLock<PathBuf> = OnceLock::new();
    DRIVER.get_or_init(|| build::driver("driver", "driver", &[]))
}

/// On the framework that the variable `RUNDOWN_FRAMEWORK` names, if it does: a second opinion about everything but what the lab is stricter in.
fn with_driver(mode: &str) -> Command {
    let mut command = serve();
    if let Some(framework) = std::env::var_os("RUNDOWN_FRAMEWORK") {
        command.arg("--framework").arg(framework);
    }
    command
        .arg("--driver")
        .arg(driver())
        .args(["--mode", mode, "--seed", "11", "--patience", "3"]);
    command
}

/// `FILE_DEVICE_UNKNOWN`, `METHOD_BUFFERED`, `FILE_ANY_ACCESS`.
fn code(function: u32) -> u32 {
    0x22 << 16 | function << 2
}

struct Session {
    lab: Lab,
    handle: String,
}

impl Session {
    fn start(mode: &str) -> Self {
        let mut lab = Lab::ready(&mut with_driver(mode));
        let handle = lab.open(&format!("open {INTERFACE} rw"));
        Self { lab, handle }
    }

    fn line(&self, function: u32, capacity: u32, input: &str) -> String {
        format!("ioctl {} {:#x} {capacity} {input}", self.handle, code(function))
    }

    fn send(&mut self, function: u32) -> u32 {
        let line = self.line(function, 0, "-");
        self.lab.send(&line)
    }

    fn ask(&mut self, function: u32, capacity: u32, input: &str) -> (u32, String) {
        let line = self.line(function, capacity, input);
        self.lab.ask(&line)
    }

    /// Asks until the driver has what an earlier request of the same client was to put there.
    fn ask_until_success(&mut self, function: u32) {
        let deadline = std::time::Instant::now() + client::PATIENCE;
        while self.ask(function, 0, "-").0 != 0 {
            assert!(
                std::time::Instant::now() < deadline,
                "request {function:#x} does not succeed"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn quit(mut self) {
        assert_eq!(self.lab.ask("quit").0, 0);
        let ended = self.lab.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

const MODES: [&str; 2] = ["smp", "chaos"];

#[test]
fn buffers_registry_and_locks() {
    for mode in MODES {
        let mut session = Session::start(mode);
        assert_eq!(session.ask(0x800, 8, "01020304"), (0, "01020304".into()));
        assert_eq!(
            session.ask(0x800, 3, "01020304").0,
            0xC000_0023,
            "the output buffer is too small"
        );
        assert_eq!(
            session.ask(0x800, 8, "-").0,
            0xC000_0023,
            "there is no input buffer"
        );
        // The value 42, and STATUS_OBJECT_NAME_NOT_FOUND for one that the INF does not add.
        assert_eq!(
            session.ask(0x808, 12, "-"),
            (0, "000000002a000000340000c0".into())
        );
        assert_eq!(session.ask(0x80D, 0, "-").0, 0);
        assert_eq!(
            session.ask(0x80E, 0, "-").0,
            0xC000_009A,
            "there is no such memory"
        );
        assert_eq!(session.ask(0xFFF, 0, "-").0, 0xC000_0010, "the driver's default");
        session.quit();
    }
}

/// Every other function once, each result checked by the driver; a number is the line of `driver.c` that disagreed.
#[test]
fn a_tour_of_the_framework() {
    for mode in MODES {
        let mut session = Session::start(mode);
        let (status, line) = session.ask(0x80F, 4, "0102");
        let bytes = u32::from_str_radix(&line, 16).unwrap_or(u32::MAX).swap_bytes();
        assert_eq!((status, bytes), (0, 0), "{mode}: see line {bytes} of driver.c");
        session.quit();
    }
}

#[test]
fn objects_are_cleaned_up_children_first_and_destroyed_with_the_last_reference() {
    for mode in MODES {
        let mut session = Session::start(mode);
        // a has the children b (with c) and d; b is referenced once more. Lower case is cleanup, upper case is destruction.
        let (status, order) = session.ask(0x80A, 16, "-");
        let bytes: Vec<u8> = (0..order.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&order[i..i + 2], 16).unwrap())
            .collect();
        assert_eq!(
            (status, String::from_utf8(bytes).unwrap().as_str()),
            (0, "cbdaCDA|B")
        );
        session.quit();
    }
}

#[test]
fn timers_dpcs_and_work_items_complete_requests() {
    for mode in MODES {
        let mut session = Session::start(mode);
        for function in [0x805, 0x806, 0x807, 0x805, 0x807, 0x806] {
            assert_eq!(session.ask(function, 0, "-").0, 0, "{function:#x}");
        }
        session.quit();
    }
}

#[test]
fn a_manual_queue_keeps_order_and_a_sequential_one_presents_one_at_a_time() {
    for mode in MODES {
        let mut session = Session::start(mode);
        let waiting: Vec<u32> = (0..8).map(|_| session.send(0x801)).collect();
        for _ in &waiting {
            session.ask_until_success(0x802);
        }
        for id in waiting {
            assert_eq!(session.lab.answer(id).0, 0);
        }
        let line = session.line(0x804, 4, "-");
        let many: Vec<u32> = (0..16).map(|_| session.lab.send(&line)).collect();
        for id in many {
            assert_eq!(
                session.lab.answer(id),
                (0, "01000000".into()),
                "more than one request at a time"
            );
        }
        session.quit();
    }
}

#[test]
fn requests_are_cancelled_in_a_queue_and_at_the_driver() {
    for mode in MODES {
        for function in [0x801, 0x803] {
            let mut session = Session::start(mode);
            for _ in 0..10 {
                let id = session.send(function);
                assert_eq!(session.lab.ask(&format!("cancel {id}")).0, 0);
                assert_eq!(session.lab.answer(id).0, CANCELLED, "{function:#x}");
                assert_eq!(
                    session.lab.ask(&format!("cancel {id}")).0,
                    0xC000_0225,
                    "it is done"
                );
            }
            session.quit();
        }
    }
}

/// A cancellation races with the driver's own completion: exactly one wins, and nothing breaks.
#[test]
fn cancellation_races_with_completion() {
    for mode in MODES {
        let mut session = Session::start(mode);
        let (mut completed, mut cancelled) = (0, 0);
        for _ in 0..100 {
            let id = session.send(0x803);
            let release = session.send(0x80B);
            let cancel = session.lab.send(&format!("cancel {id}"));
            let (status, _) = session.lab.answer(id);
            assert!(status == 0 || status == CANCELLED, "{status:#x}");
            let (released, _) = session.lab.answer(release);
            assert_eq!(
                status == 0,
                released == 0,
                "completed with {status:#x}, and the release said {released:#x}"
            );
            session.lab.answer(cancel);
            if status == 0 {
                completed += 1;
            } else {
                cancelled += 1;
            }
        }
        eprintln!("{mode}: {completed} completed, {cancelled} cancelled");
        session.quit();
    }
}

#[test]
fn a_dead_client_leaves_nothing_behind() {
    for mode in MODES {
        let mut session = Session::start(mode);
        let handle = session.lab.open(&format!("open {INTERFACE} r user"));
        for _ in 0..5 {
            session.send(0x801);
        }
        session.send(0x803);
        let line = format!("ioctl {handle} {:#x} 0 -", code(0x801));
        session.lab.send(&line);
        session.ask(0x800, 4, "01");
        let ended = session.lab.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn closing_a_handle_cancels_what_waits_for_it() {
    let mut session = Session::start("smp");
    let other = session.lab.open(&format!("open {INTERFACE} r user"));
    let line = format!("ioctl {other} {:#x} 0 -", code(0x801));
    let id = session.lab.send(&line);
    // It may still be on its way to the queue: the close is then the later one.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(session.lab.ask(&format!("close {other}")).0, 0);
    assert_eq!(session.lab.answer(id).0, CANCELLED);
    assert_eq!(
        session.lab.ask(&format!("open {INTERFACE} w user")).0,
        0xC000_0022,
        "users may only read"
    );
    session.quit();
}

/// The driver hears of the close before the framework cancels what the handle still has: what it completes then was not cancelled.
#[test]
fn a_driver_cleans_up_before_the_queues_are_flushed() {
    for mode in MODES {
        let mut session = Session::start(mode);
        let other = session.lab.open(&format!("open {INTERFACE} r user"));
        let line = format!("ioctl {other} {:#x} 0 -", code(0x801));
        let waiting: Vec<u32> = (0..2).map(|_| session.lab.send(&line)).collect();
        // They may still be on their way to the queue: the close is then the later one.
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(session.ask(0x810, 0, "-").0, 0);
        assert_eq!(session.lab.ask(&format!("close {other}")).0, 0);
        let mut answers: Vec<u32> = waiting.iter().map(|&id| session.lab.answer(id).0).collect();
        answers.sort_unstable();
        assert_eq!(
            answers,
            [0, CANCELLED],
            "the driver takes one, and the flush the other"
        );
        session.quit();
    }
}

#[test]
fn plug_and_play_callbacks_come_in_the_documented_order() {
    let start = ["Prepare", "D0Entry", "D0EntryPost", "SelfInit"];
    let stop = ["SelfSuspend", "D0ExitPre", "D0Exit", "Release"];
    // The framework's own part, which the log tells.
    let disabled = "log: the device's interfaces are disabled";
    let gone = [
        disabled,
        "SelfFlush",
        "SelfCleanup",
        "DeviceCleanup",
        "DeviceDestroy",
        "DriverUnloads",
    ];
    for (refuse, before) in [
        (false, &["QueryRemove"][..]),
        (true, &["QueryRemove", "Surprise"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut lab = Lab::ready(with_driver("smp").arg("--log").arg(&log));
        let handle = lab.open(&format!("open {INTERFACE} rw"));
        if refuse {
            assert_eq!(lab.ask(&format!("ioctl {handle} {:#x} 0 -", code(0x80C))).0, 0);
        }
        assert_eq!(lab.ask("quit").0, 0);
        assert_eq!(lab.end().code, Some(0));
        let log = std::fs::read_to_string(log).unwrap();
        let trace: Vec<&str> = log
            .lines()
            .filter_map(|line| {
                line.strip_prefix("dbg: trace ")
                    .or((line == disabled).then_some(disabled))
            })
            .collect();
        let expected = [&start[..], &["FileCleanup", "FileClose"], before, &stop, &gone].concat();
        assert_eq!(trace, expected);
    }
}

/// Every misuse ends the machine with its own bug check, and the report names the routine.
#[test]
fn misuse_is_found() {
    for offence in FRAMEWORK {
        let specimen = offence.specimen;
        let function = u32::from_str_radix(&specimen[2..], 16).expect("names are functions");
        let ended = misuse(function);
        assert_eq!(ended.code, Some(1), "{specimen}: {ended:?}");
        let last = ended
            .lines
            .last()
            .unwrap_or_else(|| panic!("{specimen}: {ended:?}"));
        assert!(
            last.starts_with("bugcheck 0x") && last.contains(lab_wire::code::name(offence.code)),
            "{specimen}: {last}"
        );
        assert!(last.contains(offence.says), "{specimen}: {last}");
        if let Some(first) = offence.first {
            assert!(
                ended.errors.contains(&format!("BUGCHECK_P1:    {first:x}\n")),
                "{specimen}: {first:#x} was expected: {}",
                ended.errors
            );
        }
        if function == 0x900 {
            // The whole way: the driver by its unwind tables and PDB, the kernel by its own up to the thread's first function, and
            // nothing of what lies below the driver's call.
            let stack = ended.errors.split("STACK_TEXT:").nth(1).unwrap_or_default();
            let stack = stack.split("OTHER_THREADS:").next().unwrap_or_default();
            let frames = [
                "driver!Complete [",
                "nt!rundown_lab_wdf::queue::events::present [",
                "nt!rundown_lab_kernel::ke::spawn::first [",
            ]
            .map(|frame| stack.find(frame));
            assert!(
                frames[0].is_some() && frames.is_sorted() && stack.matches("driver!Complete [").count() == 1,
                "{}",
                ended.errors
            );
        }
        // The driver is not on the stack of what is found later.
        let later = matches!(function, 0x906 | 0x907 | 0x90C | 0x912);
        assert!(
            later || (ended.errors.contains("driver!") && ended.errors.contains("driver.c @")),
            "{specimen}: {}",
            ended.errors
        );
    }
}

/// Sends one request of that kind and quits; the lab's end.
fn misuse(function: u32) -> Ended {
    let mut session = Session::start("smp");
    let line = session.line(function, 4, "01020304");
    let id = session.lab.send(&line);
    // The machine may be dead before the quit arrives, which is the point; or the request is never answered, which is one, too.
    session.lab.settle(id, std::time::Duration::from_secs(2));
    // Some do it when the next handle is opened.
    let id = session.lab.send(&format!("open {INTERFACE} rw"));
    session.lab.settle(id, std::time::Duration::from_secs(2));
    session.lab.send("quit");
    session.lab.leave()
}

/// Pageable code is gone while the IRQL is raised, and is back when it is needed below.
#[test]
fn pageable_code_is_paged_in() {
    let mut session = Session::start("smp");
    for _ in 0..3 {
        assert_eq!(session.ask(0x919, 0, "-").0, 0);
    }
    session.quit();
}

/// What is not misuse although it looks like it: the memory object goes with its parent.
#[test]
fn objects_below_the_driver_are_no_leak() {
    let mut session = Session::start("smp");
    assert_eq!(session.ask(0x914, 0, "-").0, 0);
    session.quit();
}
