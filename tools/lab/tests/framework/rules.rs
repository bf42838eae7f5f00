//! What KMDF answers to what is wrong, and what it does where only a real framework tells: `rules.c` looks, with the lines of Microsoft's
//! framework that say so.

use crate::subject::{look, quit, started};
use crate::{CANCELLED, INTERFACE, MODES, build, code};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The driver, with and without `EvtIoInCallerContext`.
fn both() -> &'static [PathBuf; 2] {
    static DRIVERS: OnceLock<[PathBuf; 2]> = OnceLock::new();
    DRIVERS.get_or_init(|| {
        [
            build::driver("rules", "rules", &[]),
            build::driver("rules", "rules-plain", &["-DPLAIN"]),
        ]
    })
}

/// The lines of `rules.c` that saw something else than KMDF does: none.
fn wrong(function: u32) {
    for (driver, mode) in both().iter().zip(MODES) {
        let (mut lab, handle) = started(driver, mode, &[]);
        look(&mut lab, &handle, function, "rules.c");
        quit(lab);
    }
}

macro_rules! subjects {
    ($($name:ident = $function:literal,)*) => {
        $(#[test]
        fn $name() {
            wrong($function);
        })*
    };
}

subjects! {
    a_driver_is_created_once_and_a_device_with_a_name_for_its_security = 0x800,
    attributes_say_only_what_their_function_allows = 0x801,
    queues_are_created_with_what_their_type_needs = 0x802,
    timers_dpcs_and_work_items_need_a_device_above_and_its_level = 0x803,
    a_second_context_of_a_type_is_the_first = 0x804,
    keys_are_read_with_the_right_to_and_into_sound_strings = 0x805,
    buffers_are_retrieved_by_method_and_sender = 0x806,
    requests_are_completed_with_a_status_for_the_client = 0x807,
    purged_and_stopped_queues = 0x808,
    callbacks_come_from_the_event_loop = 0x809,
    requests_are_dispatched_and_wait_locks_held_in_critical_regions = 0x80E,
}

/// A driver that wants no framework file objects has its requests cancelled by a close all the same.
#[test]
fn closing_a_handle_cancels_without_framework_file_objects() {
    let (mut lab, _) = started(&both()[0], "smp", &[]);
    let other = lab.open(&format!("open {INTERFACE} r"));
    let id = lab.send(&format!("ioctl {other} {:#x} 0 -", code(0x80A)));
    // It may still be on its way to the queue: the close is then the later one.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(lab.ask(&format!("close {other}")).0, 0);
    assert_eq!(lab.answer(id).0, CANCELLED);
    quit(lab);
}

/// Where a client gives no room for output, Information may count what was used of its input.
#[test]
fn information_counts_input_where_there_is_no_output() {
    let (mut lab, handle) = started(&both()[0], "smp", &[]);
    let answer = lab.ask(&format!("ioctl {handle} {:#x} 0 01020304", code(0x80B)));
    assert_eq!(answer, (0, "-".into()));
    quit(lab);
}

/// A power-managed queue is purged when the device has left D0, and a start does not reopen it; the others still take requests.
#[test]
fn nothing_reopens_a_queue_after_the_purge_of_the_removal() {
    let (mut lab, handle) = started(&both()[0], "smp", &[]);
    assert_eq!(lab.ask("surprise-remove").0, 0);
    let answer = lab.ask(&format!("ioctl {handle} {:#x} 0 -", code(0x80C)));
    assert_eq!(answer.0, 0x8000_0011, "what STATUS_WDF_BUSY becomes");
    quit(lab);
}

/// A request may be completed, and its callback still run: the removal waits for that, too.
#[test]
fn a_removal_waits_for_callbacks_to_return() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (mut lab, handle) = started(&both()[0], "smp", &["--log", log.to_str().unwrap()]);
    assert_eq!(lab.ask(&format!("ioctl {handle} {:#x} 0 -", code(0x80D))).0, 0);
    quit(lab);
    let log = std::fs::read_to_string(log).unwrap();
    let trace: Vec<&str> = log
        .lines()
        .filter_map(|line| line.strip_prefix("dbg: trace "))
        .collect();
    assert_eq!(trace, ["Returned", "SelfCleanup"]);
}
