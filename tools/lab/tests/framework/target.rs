//! I/O targets: what KMDF answers to what is sent, and who finds what when; `target.c` looks, with the lines of Microsoft's framework that say so. A WDM
//! device of the same driver is below (`below.h`).

use crate::client::{Ended, Lab, serve};
use crate::subject::{look, quit, started};
use crate::{CANCELLED, INTERFACE, MODES, build, code};
use lab_wire::code::{self, wdf};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

fn driver() -> &'static Path {
    static DRIVER: OnceLock<PathBuf> = OnceLock::new();
    DRIVER.get_or_init(|| build::driver("target", "target", &[]))
}

macro_rules! subjects {
    ($($name:ident = $function:literal,)*) => {
        $(#[test]
        fn $name() {
            for mode in MODES {
                let (mut lab, handle) = started(driver(), mode, &[]);
                look(&mut lab, &handle, $function, "target.c");
                quit(lab);
            }
        })*
    };
}

subjects! {
    a_device_has_a_target_for_what_is_below_it = 0x800,
    what_cannot_be_sent_is_refused_with_its_status = 0x801,
    a_sent_request_comes_back_to_its_completion_routine = 0x802,
    a_sent_request_is_cancelled_where_it_is = 0x803,
    a_sent_request_has_its_time = 0x804,
    a_target_is_stopped_purged_and_started = 0x805,
    an_irp_of_the_drivers_is_sent = 0x806,
    a_sender_waits = 0x807,
}

/// How the driver below takes reads and writes: `DEVICE_OBJECT.Flags`.
const TRANSFERS: [u32; 3] = [4, 16, 0];

#[test]
fn memory_is_formatted_as_the_driver_below_takes_it() {
    for (io, mode) in TRANSFERS.into_iter().zip(["smp", "chaos", "smp"]) {
        let driver = build::driver("format", &format!("format-{io}"), &[&format!("-DIO={io}")]);
        let (mut lab, handle) = started(&driver, mode, &[]);
        for subject in [0x800, 0x801, 0x802] {
            look(&mut lab, &handle, subject, "format.c");
        }
        // A client's request with its own buffers once more, as another one: the client gets the answer.
        let changed = (0, "0203000000".to_owned());
        assert_eq!(lab.ask(&line(&handle, 0x803, 5, "0102")), changed);
        quit(lab);
    }
}

fn line(handle: &str, function: u32, capacity: u32, input: &str) -> String {
    format!("ioctl {handle} {:#x} {capacity} {input}", code(function))
}

/// The same IRP goes down: the driver below sees the client's buffers, and what it answers reaches the client.
#[test]
fn a_clients_request_is_sent_on() {
    for mode in MODES {
        let (mut lab, handle) = started(driver(), mode, &[]);
        let changed = (0, "0203000000".to_owned());
        assert_eq!(lab.ask(&line(&handle, 0xA00, 5, "0102")), changed);
        assert_eq!(lab.ask(&line(&handle, 0x813, 0, "-")).0, 0, "of another type");
        // Nothing tells a queue's request that its completion routine is missing but this (fxrequestapi.cpp:2006).
        assert_eq!(lab.ask(&line(&handle, 0x811, 0, "-")).0, 0xC000_0010);
        // The driver below refuses the code that these came with.
        assert_eq!(
            lab.ask(&line(&handle, 0x810, 0, "-")).0,
            0xC000_0010,
            "waited for"
        );
        assert_eq!(lab.ask(&line(&handle, 0x812, 0, "-")).0, 0xC000_0010, "forgotten");
        quit(lab);
    }
}

/// A client's cancellation finds the cancel routine of whoever has the IRP: the driver below.
#[test]
fn a_clients_cancellation_reaches_the_driver_below() {
    for mode in MODES {
        let (mut lab, handle) = started(driver(), mode, &[]);
        for _ in 0..10 {
            let id = lab.send(&line(&handle, 0xA01, 0, "-"));
            assert_eq!(lab.ask(&format!("cancel {id}")).0, 0);
            assert_eq!(lab.answer(id).0, CANCELLED);
        }
        quit(lab);
    }
}

/// The driver below completes in another thread, which races with a cancellation: one of the two wins.
#[test]
fn a_completion_below_races_with_a_cancellation() {
    for mode in MODES {
        let (mut lab, handle) = started(driver(), mode, &[]);
        for _ in 0..50 {
            let id = lab.send(&line(&handle, 0xA01, 0, "-"));
            let release = lab.send(&line(&handle, 0x820, 0, "-"));
            let cancel = lab.send(&format!("cancel {id}"));
            let (status, _) = lab.answer(id);
            assert!(status == 0 || status == CANCELLED, "{status:#x}");
            lab.answer(release);
            lab.answer(cancel);
        }
        quit(lab);
    }
}

/// A request that is forgotten is the driver's no more: its object goes before the driver below sees it (fxrequest.cpp:1149).
#[test]
fn a_forgotten_request_is_cleaned_up() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (mut lab, handle) = started(driver(), "smp", &["--log", log.to_str().unwrap()]);
    lab.ask(&line(&handle, 0x812, 0, "-"));
    quit(lab);
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("trace RequestCleanup").count(), 1, "{log}");
}

/// A removal waits for what was sent and is a queue's still; only its client cancels it.
#[test]
fn a_removal_waits_for_what_was_sent() {
    for mode in MODES {
        let (mut lab, handle) = started(driver(), mode, &[]);
        let id = lab.send(&line(&handle, 0xA01, 0, "-"));
        assert_eq!(lab.ask(&line(&handle, 0xA00, 1, "00")), (0, "01".into()));
        let removal = lab.send("surprise-remove");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(lab.ask(&format!("cancel {id}")).0, 0);
        assert_eq!(lab.answer(id).0, CANCELLED);
        assert_eq!(lab.answer(removal).0, 0);
        quit(lab);
    }
}

/// A filter has a callback for control requests only: reads, writes, opens, cleanups and closes are the driver's below.
#[test]
fn a_filter_lets_pass_what_it_has_nothing_for() {
    for mode in MODES {
        let (mut lab, handle) = started(&build::driver("filter", "filter", &[]), mode, &[]);
        look(&mut lab, &handle, 0x800, "filter.c");
        assert_eq!(lab.ask(&format!("read {handle} 4")), (0, "00010203".into()));
        assert_eq!(lab.ask(&format!("write {handle} 0102")).0, 0);
        let changed = (0, "0203000000".to_owned());
        assert_eq!(lab.ask(&line(&handle, 0xA00, 5, "0102")), changed);
        let other = lab.open(&format!("open {INTERFACE} rw"));
        assert_eq!(lab.ask(&format!("close {other}")).0, 0);
        let counts = (0, "020000000100000001000000".to_owned());
        assert_eq!(lab.ask(&line(&handle, 0x801, 12, "-")), counts);
        quit(lab);
    }
}

/// A filter that cannot be added leaves the rest of the stack as it is (fxdevice.cpp:594).
#[test]
fn a_filter_that_fails_keeps_nobody_from_starting() {
    let driver = build::driver("filter", "filter-fails", &["-DFAIL"]);
    let mut command = serve();
    command
        .arg("--driver")
        .arg(driver)
        .args(["--seed", "23", "--patience", "3"]);
    quit(Lab::ready(&mut command));
}

/// Code, first parameter, and what the line for people says.
const MISUSE: &[(u32, u32, Option<u64>, &str)] = &[
    (
        0x900,
        code::WDF_VIOLATION,
        Some(wdf::QUEUE),
        "WdfRequestComplete was given a request that the driver does not have: it was sent",
    ),
    (
        0x901,
        code::WDF_VIOLATION,
        Some(wdf::QUEUE),
        "WdfRequestForwardToIoQueue was given a request that the driver does not have",
    ),
    (0x902, code::WDF_VIOLATION, Some(wdf::REQUEST), "sent already"),
    (
        0x903,
        code::WDF_VIOLATION,
        Some(wdf::QUEUE),
        "WdfRequestReuse was given a request that was sent",
    ),
    (
        0x904,
        code::WDF_VIOLATION,
        Some(wdf::QUEUE),
        "WdfObjectDelete was given a request that was sent",
    ),
    (0x905, code::WDF_VIOLATION, Some(wdf::QUEUE), "still cancelable"),
    (
        0x906,
        code::WDF_VIOLATION,
        Some(wdf::QUEUE),
        "the driver made it itself",
    ),
    (
        0x907,
        code::WDF_VIOLATION,
        Some(wdf::RULE),
        "WdfRequestGetParameters was given a request that the driver made itself",
    ),
    (0x908, code::WDF_VIOLATION, Some(wdf::REQUEST), "has no IRP"),
    (
        0x909,
        code::DRIVER_VERIFIER_DETECTED_VIOLATION,
        Some(code::sub::WDF_OBJECT_LEAKED),
        "a WDFREQUEST with 1 reference",
    ),
    (
        0x90A,
        code::WDF_VIOLATION,
        Some(wdf::RULE),
        "WdfRequestGetCompletionParams was given a request that no",
    ),
    (
        0x90B,
        code::WDF_VIOLATION,
        Some(wdf::RULE),
        "a WDFIOTARGET, which only the framework deletes",
    ),
    (
        0x90C,
        code::WDF_VIOLATION,
        Some(wdf::RULE),
        "completion routine, which will never be called",
    ),
    (
        0x90D,
        code::WDF_VIOLATION,
        Some(wdf::RULE),
        "a WDFREQUEST, which only the framework deletes",
    ),
    (
        0x90E,
        code::WDF_VIOLATION,
        Some(wdf::RULE),
        "that needs PASSIVE_LEVEL",
    ),
    (
        0x90F,
        code::CALLBACK_TIMEOUT,
        None,
        "waits for it, without a timeout",
    ),
    (
        0x910,
        code::REQUEST_NOT_COMPLETED,
        None,
        "the I/O target is deleted, and a request that was sent",
    ),
];

#[test]
fn misuse_of_targets_is_found() {
    for &(function, code, first, says) in MISUSE {
        let ended = misuse(function);
        assert_eq!(ended.code, Some(1), "{function:#x}: {ended:?}");
        let last = ended.lines.last().map_or("", String::as_str);
        assert!(
            last.contains(lab_wire::code::name(code)) && last.contains(says),
            "{function:#x}: {last}"
        );
        if let Some(first) = first {
            let parameter = format!("BUGCHECK_P1:    {first:x}\n");
            assert!(
                ended.errors.contains(&parameter),
                "{function:#x}: {}",
                ended.errors
            );
        }
    }
}

fn misuse(function: u32) -> Ended {
    let (mut lab, handle) = started(driver(), "smp", &[]);
    let id = lab.send(&line(&handle, function, 0, "-"));
    lab.settle(id, Duration::from_secs(2));
    lab.send("quit");
    lab.leave()
}
