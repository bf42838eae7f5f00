//! A client's own memory, and MDLs of the rest: `user.c` looks at what the framework says of them, this at what the client gets.

use crate::client::{Lab, serve};
use crate::{INTERFACE, MODES, build, code};

#[test]
fn a_clients_own_memory_is_locked_and_mapped() {
    for mode in MODES {
        let driver = build::driver("user", &format!("user-{mode}"), &[]);
        let mut command = serve();
        command
            .arg("--driver")
            .arg(driver)
            .args(["--mode", mode, "--seed", "19", "--patience", "3"]);
        let mut lab = Lab::ready(&mut command);
        let handle = lab.open(&format!("open {INTERFACE} rw"));
        // METHOD_NEITHER, then METHOD_BUFFERED.
        let neither = format!("ioctl {handle} {:#x} 5 0102030405", code(0x800) | 3);
        assert_eq!(lab.ask(&neither), (0, "0504030201".into()));
        let buffered = format!("ioctl {handle} {:#x} 3 01020304", code(0x800));
        assert_eq!(lab.ask(&buffered), (0, "5a5a5a".into()));
        let versions = format!("ioctl {handle} {:#x} 0 -", code(0x801));
        assert_eq!(lab.ask(&versions), (0, "-".into()));
        assert_eq!(lab.ask("quit").0, 0);
        let ended = lab.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}
