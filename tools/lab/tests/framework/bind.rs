//! Binding: what clients of the versions of KMDF put into their bind information, and what they find there afterwards. `bind.c` has
//! the structures of Microsoft's own loader header.

use crate::build;
use crate::client::{Ended, Lab, serve};

/// Starts the client in the lab, and quits if it started; how that ended, and the log.
fn bind(name: &str, definitions: &[&str]) -> (Ended, String) {
    let driver = build::driver("bind", name, definitions);
    let log = driver.with_extension("log");
    let mut lab = Lab::spawn(serve().arg("--driver").arg(&driver).arg("--log").arg(&log));
    lab.send("quit");
    let ended = lab.end();
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    (ended, log)
}

/// Clients that start, with the line that they print about what they were told.
const BOUND: &[(&str, &[&str], &str)] = &[
    (
        "wdk-1.31",
        &["-DMINOR=31", "-DCOUNT=458", "-DMINIMUM=31"],
        "bound newer=0 functions=7777 structures=8888 queue=0",
    ),
    (
        "wdk-1.33",
        &["-DMINOR=33", "-DCOUNT=458", "-DMINIMUM=33"],
        "bound newer=0 functions=7777 structures=8888 queue=0",
    ),
    (
        "first-form-1.33",
        &["-DMINOR=33", "-DCOUNT=458"],
        "bound newer=0 functions=7777 structures=8888 queue=0",
    ),
    (
        "wdk-1.25",
        &["-DMINOR=25", "-DCOUNT=453", "-DMINIMUM=25"],
        "bound newer=0 functions=7777 structures=8888 queue=0",
    ),
    (
        "first-form-1.31",
        &["-DMINOR=31", "-DCOUNT=458"],
        "bound newer=0 functions=7777 structures=8888 queue=0",
    ),
    (
        "first-form-1.15",
        &["-DMINOR=15", "-DCOUNT=444"],
        "bound newer=0 functions=7777 structures=8888 queue=0",
    ),
    (
        "copied-table-1.11",
        &["-DMINOR=11", "-DCOUNT=432"],
        "bound newer=0 functions=7777 structures=8888 queue=0",
    ),
    (
        "newer-1.35-content-with-1.31",
        &["-DMINOR=35", "-DCOUNT=470", "-DMINIMUM=31"],
        "bound newer=1 functions=458 structures=81 queue=96",
    ),
];

#[test]
fn clients_of_every_version_bind() {
    for (name, definitions, told) in BOUND {
        let (ended, log) = bind(name, definitions);
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}\n{log}");
        assert!(
            log.lines().any(|line| line == format!("dbg: {told}")),
            "{name}: {told} is not in\n{log}"
        );
    }
}

/// Clients that are refused, with what the log says of it.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "wdk-1.35",
        &["-DMINOR=35", "-DCOUNT=458", "-DMINIMUM=35"],
        "WDFLDR: labtest needs KMDF 1.35 or later; the lab has 1.33",
    ),
    (
        "first-form-1.35",
        &["-DMINOR=35", "-DCOUNT=458"],
        "WDFLDR: labtest needs KMDF 1.35 or later; the lab has 1.33",
    ),
    (
        "no-such-table",
        &["-DMINOR=31", "-DCOUNT=457", "-DMINIMUM=31"],
        "WDFLDR: labtest has a table of 457 functions",
    ),
];

#[test]
fn what_the_lab_cannot_serve_is_refused_by_name_and_version() {
    for (name, definitions, says) in REFUSED {
        let (ended, log) = bind(name, definitions);
        assert_eq!(ended.code, Some(1), "{name}: {ended:?}");
        assert!(!ended.errors.contains("BUGCHECK"), "{name}: {ended:?}");
        assert!(log.contains(says), "{name}: {says} is not in\n{log}");
    }
}

/// A number where the pointer to it belongs, as a stub without fxldr.h might have it, is a bug check that says so.
#[test]
fn a_number_in_place_of_the_minimum_version_is_found() {
    let (ended, _) = bind(
        "number",
        &["-DMINOR=31", "-DCOUNT=458", "-DMINIMUM=31", "-DNUMBER"],
    );
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.errors.contains("MinimumVersionRequired is 0x1f") && ended.errors.contains("bind.c @"),
        "{ended:?}"
    );
}

/// `EvtDriverDeviceAdd` may succeed without a device: the driver has nothing to do with this one (fxdriverkm.cpp:77).
#[test]
fn a_driver_may_add_no_device() {
    let (ended, log) = bind(
        "no-device",
        &["-DMINOR=31", "-DCOUNT=458", "-DMINIMUM=31", "-DNO_DEVICE"],
    );
    assert_eq!(ended.code, Some(0), "{ended:?}\n{log}");
}
