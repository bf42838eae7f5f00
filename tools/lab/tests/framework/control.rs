//! Control devices, of drivers with and without Plug and Play: what `control.c` is refused, and who finds its devices when. The published framework
//! (fxdevicecontrolapi.cpp, fxdevice.cpp, fxdevicekm.cpp) and the page of `IoDeleteDevice` say what is right.

use crate::client::{Ended, Lab, PATIENCE, serve};
use crate::{MODES, build, code};
use tempfile::TempDir;

const SUCCESS: u32 = 0;
const ACCESS_DENIED: u32 = 0xC000_0022;
const OBJECT_NAME_NOT_FOUND: u32 = 0xC000_0034;
const NO_SUCH_DEVICE: u32 = 0xC000_000E;

/// A machine with the driver, and where its log is.
struct Machine {
    lab: Lab,
    log: TempDir,
}

/// How it ended, and what the driver printed.
struct Over {
    ended: Ended,
    traces: Vec<String>,
}

fn started(test: &str, mode: &str, definitions: &[&str]) -> Machine {
    let driver = build::driver("control", &format!("control-{test}-{mode}"), definitions);
    let log = tempfile::tempdir().unwrap();
    let mut command = serve();
    command
        .arg("--driver")
        .arg(driver)
        .args(["--mode", mode, "--seed", "23", "--patience", "3", "--log"])
        .arg(log.path().join("log"));
    if definitions.is_empty() {
        command.arg("--legacy");
    }
    Machine {
        lab: Lab::ready(&mut command),
        log,
    }
}

impl Machine {
    fn over(mut self) -> Over {
        let ended = self.lab.end();
        let log = std::fs::read_to_string(self.log.path().join("log")).unwrap();
        let traces = log.lines().filter_map(|line| line.strip_prefix("dbg: trace "));
        let traces = traces.map(|trace| trace.trim().to_owned()).collect();
        Over { ended, traces }
    }

    /// A machine that ends in a bug check answers nothing.
    fn quit(mut self) -> Over {
        let id = self.lab.send("quit");
        self.lab.settle(id, PATIENCE);
        self.over()
    }
}

fn ask(lab: &mut Lab, handle: &str, function: u32) -> u32 {
    lab.ask(&format!("ioctl {handle} {:#x} 0 -", code(function))).0
}

#[test]
fn a_driver_without_plug_and_play_serves_by_name() {
    for mode in MODES {
        let mut machine = started("serves", mode, &[]);
        let lab = &mut machine.lab;
        let open = |name: &str, who: &str| format!(r"open {name} rw {who}");
        assert_eq!(
            lab.ask(&open(r"\\.\Control", "user")).0,
            ACCESS_DENIED,
            "the SDDL is for administrators"
        );
        assert_eq!(lab.ask(&open(r"\\.\Unnamed", "admin")).0, OBJECT_NAME_NOT_FOUND);
        let handle = lab.open(&open(r"\\.\Control", "admin"));
        assert_eq!(ask(lab, &handle, 0x800), SUCCESS);
        let refusals = ask(lab, &handle, 0x801);
        assert_eq!(refusals, SUCCESS, "line {} of control.c", refusals & 0xFFFF);
        // It made that device after DriverEntry, whose devices the I/O manager finishes.
        assert_eq!(ask(lab, &handle, 0x804), SUCCESS);
        let early = lab.ask(&open(r"\Device\Later", "admin")).0;
        assert_eq!(early, NO_SUCH_DEVICE, "it is not finished");
        assert_eq!(ask(lab, &handle, 0x806), SUCCESS);
        let later = lab.open(&open(r"\Device\Later", "admin"));
        assert_eq!(ask(lab, &later, 0x800), SUCCESS);
        let Over { ended, traces } = machine.quit();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        // That without a name, which it deletes; the handles; then all of the driver's, after its EvtDriverUnload.
        let (close, gone) = ("FileClose", ["DeviceCleanup", "DeviceDestroy"]);
        let unload = ["DriverUnloads"];
        let expected: Vec<&str> = [&gone[..], &[close, close], &unload, &gone, &gone].concat();
        assert_eq!(traces, expected);
    }
}

/// "If any outstanding references remain, the I/O manager marks the device object as delete pending": the handle goes on working, and no other is
/// given.
#[test]
fn a_deleted_device_goes_with_its_last_handle() {
    for mode in MODES {
        let mut machine = started("deleted", mode, &[]);
        let lab = &mut machine.lab;
        let handle = lab.open(r"open \\.\Control rw");
        assert_eq!(ask(lab, &handle, 0x802), SUCCESS);
        assert_eq!(lab.ask(r"open \Device\Control rw").0, OBJECT_NAME_NOT_FOUND);
        assert_eq!(ask(lab, &handle, 0x800), SUCCESS, "it is still served");
        assert_eq!(lab.ask(&format!("close {handle}")).0, SUCCESS);
        let Over { ended, traces } = machine.quit();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let closed = traces
            .iter()
            .position(|trace| trace == "FileClose")
            .expect("it is closed");
        assert_eq!(
            traces[closed + 1..closed + 3],
            ["DeviceCleanup", "DeviceDestroy"],
            "{traces:?}"
        );
        assert_eq!(traces.iter().filter(|trace| *trace == "DeviceDestroy").count(), 2);
    }
}

#[test]
fn what_is_left_behind_or_used_twice_is_found() {
    let mut machine = started("leaks", "smp", &[]);
    let handle = machine.lab.open(r"open \\.\Control rw");
    assert_eq!(ask(&mut machine.lab, &handle, 0x803), SUCCESS);
    let Over { ended, .. } = machine.quit();
    assert!(ended.errors.contains("leaves a PWDFDEVICE_INIT"), "{ended:?}");
    assert_ne!(ended.code, Some(0));

    let mut machine = started("twice", "smp", &[]);
    let handle = machine.lab.open(r"open \\.\Control rw");
    let line = format!("ioctl {handle} {:#x} 0 -", code(0x805));
    let id = machine.lab.send(&line);
    machine.lab.settle(id, PATIENCE);
    let Over { ended, .. } = machine.over();
    let why = "was used up by WdfDeviceCreate or WdfDeviceInitFree";
    assert!(ended.errors.contains(why), "{ended:?}");
}

/// Windows does not unload a driver with Plug and Play whose control device is still there.
#[test]
fn a_driver_with_plug_and_play_deletes_its_control_device_itself() {
    let Over { ended, .. } = started("pnp", "smp", &["-DPNP"]).quit();
    let why = "Windows does not unload the driver while it has one";
    assert!(ended.errors.contains(why), "{ended:?}");
    assert_ne!(ended.code, Some(0));
}
