//! The door through which a Windows' own framework comes in, by a library of our own: `library.c` is loaded in its place, with `bind.c` as its client.

use crate::build;
use crate::client::{Ended, Lab, serve};

const CLIENT: &[&str] = &["-DMINOR=33", "-DCOUNT=458", "-DMINIMUM=33", "-DNO_DEVICE"];

/// Runs the client on the library from start to end; how that ended, and the log.
fn run(name: &str, library: &[&str], client: &[&str], options: &[&str]) -> (Ended, String) {
    let folder = format!("library-{name}");
    let driver = build::driver("bind", &folder, &[CLIENT, client].concat());
    let framework = build::driver("library", &folder, library);
    let log = driver.with_extension("log");
    let mut command = serve();
    command.arg("--driver").arg(&driver).arg("--log").arg(&log);
    let mut lab = Lab::spawn(command.arg("--framework").arg(&framework).args(options));
    lab.send("quit");
    let ended = lab.end();
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    (ended, log)
}

/// What the library said.
fn said(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.strip_prefix("dbg: library: "))
        .collect()
}

/// The order of version.cpp: entry, Commission out of `WdfRegisterLibrary`, the client, Decommission, unload.
#[test]
fn a_library_is_commissioned_serves_a_client_and_is_let_go() {
    let (ended, log) = run("whole", &[], &[], &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}\n{log}");
    let services = r"\Registry\Machine\System\CurrentControlSet\Services";
    assert_eq!(
        said(&log),
        [
            &format!(r"entry {services}\Wdf01000, DbgPrintOn c0000034"),
            "commission",
            &format!(r"register {services}\labtest, version 1.33, 458 functions, size 24"),
            "create, globals its own",
            "the client's unload",
            "unregister, globals its own",
            "decommission",
            "unload",
        ],
        "{log}"
    );
    assert!(
        log.contains("runs on the framework that was given, KMDF 1.33"),
        "{log}"
    );
    let modules: Vec<&str> = log.lines().filter(|line| line.starts_with("module: ")).collect();
    assert!(
        matches!(&modules[..], [first, second] if first.starts_with("module: framework ") && second.starts_with("module: driver ")),
        "{modules:?}"
    );
}

/// The library stays while the driver is started and stopped, once for each creation of a start: the library's own among them.
#[test]
fn a_driver_is_started_again_on_the_same_library() {
    let (ended, log) = run("again", &[], &[], &["--sweep-start"]);
    assert_eq!(ended.code, Some(0), "{ended:?}\n{log}");
    let count = |what: &str| said(&log).iter().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("commission"), count("decommission")), (1, 1), "{log}");
    assert!(
        count("register") > count("unregister") && count("unregister") >= 2,
        "{log}"
    );
}

/// A library that the user brought and that cannot be used is bad input, and is told by what it did.
#[test]
fn a_library_that_fails_is_refused() {
    for (name, definition, says) in [
        (
            "commission",
            "-DCOMMISSION_FAILS",
            "the framework that it is to run on: its DriverEntry returned 0xc000009a",
        ),
        (
            "entry",
            "-DENTRY_FAILS",
            "returned 0xc000009a after WdfRegisterLibrary had succeeded",
        ),
        (
            "nothing",
            "-DREGISTERS_NOTHING",
            "succeeds and calls no WdfRegisterLibrary: it is no library of KMDF",
        ),
    ] {
        let (ended, log) = run(name, &[definition], &[], &[]);
        assert_eq!(ended.code, Some(2), "{name}: {ended:?}\n{log}");
        assert!(ended.errors.contains(says), "{name}: {ended:?}");
        assert!(!log.contains("dbg: bound"), "{name}: {log}");
    }
}

/// Who may bind is the library's business: what it says is what the driver gets.
#[test]
fn a_client_that_the_library_refuses_does_not_start() {
    let (ended, log) = run("refuses", &["-DREFUSES"], &[], &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}\n{log}");
    assert!(
        ended.errors.contains("DriverEntry returned 0xC000000D") && !ended.errors.contains("BUGCHECK"),
        "{ended:?}"
    );
    assert!(
        log.contains("WDFLDR: KMDF 1.33 refuses a driver that was built for 1.33, with 0xc000000d"),
        "{log}"
    );
    assert_eq!(said(&log).last(), Some(&"unload"), "{log}");
}

/// What is left behind is told by who left it: the client its binding, the library what it had for the client, or its own.
#[test]
fn what_a_client_or_a_library_leaves_is_found() {
    for (name, library, client, says) in [
        (
            "bound",
            &[][..],
            &["-DSTAYS_BOUND"][..],
            "the driver unloads and is still bound to its framework: it never called WdfVersionUnbind",
        ),
        (
            "keeps",
            &["-DKEEPS"],
            &[],
            "the driver unloads without freeing 1 pool blocks of 56 bytes",
        ),
        (
            "leaks",
            &["-DLEAKS"],
            &[],
            "the framework unloads without freeing 1 pool blocks of 24 bytes",
        ),
    ] {
        let (ended, log) = run(name, library, client, &[]);
        assert_eq!(ended.code, Some(1), "{name}: {ended:?}\n{log}");
        assert!(ended.errors.contains(says), "{name}: {ended:?}");
        // Told by the library's own symbols, though the driver is the one that is judged.
        assert!(
            name == "bound" || ended.errors.contains("allocated by "),
            "{name}: {ended:?}"
        );
        assert_eq!(
            name == "keeps",
            ended.errors.contains("allocated by RegisterClient"),
            "{ended:?}"
        );
        assert_eq!(
            name == "leaks",
            ended.errors.contains("allocated by Commission"),
            "{ended:?}"
        );
    }
}

/// A fault in the library is its own, and both images are on the way there.
#[test]
fn a_file_that_is_no_library_is_refused_before_the_boot() {
    let driver = build::driver("bind", "library-none", CLIENT);
    let ended = Lab::spawn(
        serve()
            .arg("--driver")
            .arg(&driver)
            .arg("--framework")
            .arg(&driver),
    )
    .end();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.errors.contains(
            "bind.sys is no framework that the lab can load: it does not import WDFLDR.SYS!WdfRegisterLibrary"
        ) && ended
            .errors
            .contains(r"take C:\Windows\System32\drivers\Wdf01000.sys"),
        "{ended:?}"
    );
}

/// How `needs.c` ends, and the log.
fn needs(name: &str, definitions: &[&str]) -> (Ended, String) {
    let driver = build::driver("needs", name, definitions);
    let log = driver.with_extension("log");
    let mut lab = Lab::spawn(
        serve()
            .arg("--driver")
            .arg(&driver)
            .arg("--log")
            .arg(&log)
            .arg("--legacy"),
    );
    lab.send("quit");
    let ended = lab.end();
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    (ended, log)
}

/// The routines that a framework needs and hardly a driver does, each by its page: a number is the line of `needs.c` that disagreed.
#[test]
fn what_a_framework_asks_of_the_kernel() {
    let (ended, log) = needs("needs", &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}\n{log}");
    assert!(log.lines().any(|line| line == "dbg: needs: 0"), "{log}");
}

/// The I/O manager frees what `IoAllocateDriverObjectExtension` gave (its page) with the driver object, and that goes when the entry fails.
#[test]
fn a_driver_that_refuses_leaves_its_extension_to_the_io_manager() {
    let (ended, log) = needs("needs-refuses", &["-DREFUSES"]);
    assert_eq!(ended.code, Some(1), "{ended:?}\n{log}");
    assert!(!ended.errors.contains("BUGCHECK"), "{ended:?}");
    assert!(log.contains("DriverEntry returned 0xc0000034"), "{log}");
}
