//! Reads and writes, with each kind of buffer: `transfer.c` looks at what the framework says of them, this at what the client gets.

use crate::client::{Lab, serve};
use crate::subject::quit;
use crate::{INTERFACE, MODES, build, code};

const SUCCESS: u32 = 0;
const ACCESS_DENIED: u32 = 0xC000_0022;

/// `WDF_DEVICE_IO_TYPE`: buffered and direct.
const IO_TYPES: [u32; 2] = [2, 3];

/// With a driver of the test's own, since tests run side by side.
fn started(test: &str, io: u32, zero: u32, mode: &str) -> Lab {
    let definitions = [format!("-DIO={io}"), format!("-DZERO={zero}")];
    let driver = build::driver(
        "transfer",
        &format!("transfer-{test}-{io}-{zero}"),
        &definitions.each_ref().map(String::as_str),
    );
    let mut command = serve();
    command
        .arg("--driver")
        .arg(driver)
        .args(["--mode", mode, "--seed", "17", "--patience", "3"]);
    Lab::ready(&mut command)
}

#[test]
fn what_is_written_is_read() {
    for (io, mode) in IO_TYPES.into_iter().zip(MODES) {
        let mut lab = started("written", io, 0, mode);
        let handle = lab.open(&format!("open {INTERFACE} rw"));
        let ok = |bytes: &str| (SUCCESS, bytes.to_owned());
        assert_eq!(
            lab.ask(&format!("write {handle} 0102030405 0x100000007")),
            ok("0500000000000000")
        );
        let offset = format!("ioctl {handle} {:#x} 8 -", code(0x800));
        assert_eq!(lab.ask(&offset), ok("0700000001000000"), "the offset");
        // As many bytes as there are, or as there is room for; the file's own position is the driver's to move, and stays 0.
        assert_eq!(lab.ask(&format!("read {handle} 64")), ok("0102030405"));
        assert_eq!(lab.ask(&format!("read {handle} 2")), ok("0102"));
        assert_eq!(lab.ask(&offset), ok("0000000000000000"), "the position");
        quit(lab);
    }
}

/// A queue that does not ask for them is not given requests of no bytes: they succeed (fxioqueue.cpp:3195).
#[test]
fn requests_of_no_bytes_reach_only_who_asks_for_them() {
    for io in IO_TYPES {
        for (zero, offset) in [(0, "0000000000000000"), (1, "0900000000000000")] {
            let mut lab = started("empty", io, zero, "smp");
            let handle = lab.open(&format!("open {INTERFACE} rw"));
            let nothing = (SUCCESS, "0000000000000000".to_owned());
            assert_eq!(lab.ask(&format!("write {handle} - 9")), nothing);
            // What the driver has seen last.
            let seen = lab.ask(&format!("ioctl {handle} {:#x} 8 -", code(0x800)));
            assert_eq!(seen, (SUCCESS, offset.to_owned()));
            assert_eq!(lab.ask(&format!("read {handle} 0")), (SUCCESS, "-".into()));
            quit(lab);
        }
    }
}

/// The handle's access decides, before the driver sees anything.
#[test]
fn a_handle_without_the_access_reads_and_writes_nothing() {
    let mut lab = started("access", 2, 1, "smp");
    let reader = lab.open(&format!("open {INTERFACE} r"));
    let writer = lab.open(&format!("open {INTERFACE} w"));
    assert_eq!(lab.ask(&format!("write {reader} 01")).0, ACCESS_DENIED);
    assert_eq!(lab.ask(&format!("read {writer} 1")).0, ACCESS_DENIED);
    assert_eq!(lab.ask(&format!("write {writer} 01")).0, SUCCESS);
    assert_eq!(lab.ask(&format!("read {reader} 1")), (SUCCESS, "01".into()));
    quit(lab);
}
