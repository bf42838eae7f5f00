//! A test driver that looks by itself: started, asked for the lines of its source that saw something else than KMDF does, let go.

use crate::client::{Lab, serve};
use crate::{INTERFACE, code};
use std::path::Path;

/// A machine with the driver, and a handle.
pub(crate) fn started(driver: &Path, mode: &str, options: &[&str]) -> (Lab, String) {
    let mut command = serve();
    command
        .arg("--driver")
        .arg(driver)
        .args(["--mode", mode, "--seed", "13", "--patience", "3"])
        .args(options);
    let mut lab = Lab::ready(&mut command);
    let handle = lab.open(&format!("open {INTERFACE} rw"));
    (lab, handle)
}

/// The driver is removed and unloaded, and left nothing.
pub(crate) fn quit(mut lab: Lab) {
    assert_eq!(lab.ask("quit").0, 0);
    let ended = lab.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Has the driver look, and sees that no line of `source` saw anything else.
pub(crate) fn look(lab: &mut Lab, handle: &str, function: u32, source: &str) {
    let (status, output) = lab.ask(&format!("ioctl {handle} {:#x} 256 -", code(function)));
    let lines: Vec<u32> = output
        .as_bytes()
        .chunks_exact(8)
        .map(|word| {
            let word = std::str::from_utf8(word).expect("the pipe is ASCII");
            u32::from_str_radix(word, 16)
                .expect("bytes are hexadecimal")
                .swap_bytes()
        })
        .collect();
    assert_eq!(status, 0);
    assert!(lines.is_empty(), "see the lines {lines:?} of {source}");
}
