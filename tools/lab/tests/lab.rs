//! Boots the lab with the project's own driver. Not part of a plain `cargo test`, since it needs what `cargo xtask lab` builds:
//! `RUNDOWN_LAB_DIR=target/lab cargo test -p rundown-lab --test lab`.

mod client;

use client::{Lab, artefact, processes_with, serve};
use object::pe::IMAGE_DIRECTORY_ENTRY_BASERELOC;
use object::read::pe::PeFile64;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// The interface class of `rundown.sys` (`rundown_abi::INTERFACE_GUID`).
const INTERFACE: &str = "5b0ff8a3-6a1d-4a2c-9f6e-8d6c1d2b7e41";

fn with_driver() -> Command {
    let mut command = serve();
    command.arg("--driver").arg(artefact("rundown.sys"));
    command
}

fn report(path: &std::path::Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("a report was asked for")).expect("it is JSON")
}

#[test]
fn a_run_on_every_number_of_processors() {
    let folder = tempfile::tempdir().unwrap();
    for cpus in ["1", "2", "4", "8"] {
        let file = folder.path().join(cpus);
        let mut lab = Lab::ready(
            with_driver()
                .args(["--cpus", cpus, "--seed", "7"])
                .arg("--report")
                .arg(&file),
        );
        let handle = lab.open(&format!("open {INTERFACE} rw"));
        assert_eq!(lab.ask(&format!("close {handle}")).0, 0);
        assert_eq!(lab.ask("quit"), (0, "-".into()));
        let ended = lab.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let report = report(&file);
        assert_eq!(report["passed"], true);
        assert_eq!(
            (&report["cpus"], &report["seed"]),
            (&cpus.parse().unwrap(), &7.into())
        );
    }
}

#[test]
fn access_is_what_the_inf_says() {
    let mut lab = Lab::ready(&mut with_driver());
    for access in ["r", "w", "rw", "-"] {
        assert_eq!(
            lab.ask(&format!("open {INTERFACE} {access} user")).0,
            0xC000_0022,
            "user, {access}"
        );
        assert_eq!(
            lab.ask(&format!("open {INTERFACE} {access} admin")).0,
            0,
            "admin, {access}"
        );
    }
    assert_eq!(
        lab.ask("open 00000000-0000-0000-0000-000000000000 r").0,
        0xC000_0034,
        "no such interface"
    );
    let read_only = lab.open(&format!("open {INTERFACE} r"));
    // FILE_DEVICE_UNKNOWN, function 0xFFF, FILE_WRITE_ACCESS: refused before the driver sees it.
    assert_eq!(
        lab.ask(&format!("ioctl {read_only} 0x0022bffc 0 -")).0,
        0xC000_0022
    );
    // The same with FILE_READ_ACCESS: the driver's to refuse.
    assert_eq!(
        lab.ask(&format!("ioctl {read_only} 0x00227ffc 0 -")).0,
        0xC000_0010
    );
    assert_eq!(lab.ask("ioctl 4444 0x00227ffc 0 -").0, 0xC000_0008);
    assert_eq!(lab.ask("close 4444").0, 0xC000_0008);
    assert_eq!(lab.ask("cancel 4444").0, 0xC000_0225);
    let ended = lab.end();
    assert_eq!(ended.code, Some(0), "the client's death is no fault: {ended:?}");
}

/// A thread that sends and then closes is never told that the handle was closed: `NtDeviceIoControlFile` references the file before
/// it does anything else (`ObReferenceObjectByHandle`).
#[test]
fn a_request_that_was_sent_has_its_file_though_the_next_line_closes_the_handle() {
    let mut lab = Lab::ready(with_driver().args(["--cpus", "2", "--seed", "11"]));
    for round in 0..200 {
        let handle = lab.open(&format!("open {INTERFACE} r"));
        // FILE_DEVICE_UNKNOWN, function 0xFFF: the driver's to refuse, at once.
        let sent: Vec<u32> = (0..4)
            .map(|_| lab.send(&format!("ioctl {handle} 0x00227ffc 0 -")))
            .collect();
        let closed = lab.send(&format!("close {handle}"));
        for id in sent {
            let (status, _) = lab.answer(id);
            // STATUS_CANCELLED: it waited in the driver's queue when the cleanup came.
            assert!(
                matches!(status, 0xC000_0010 | 0xC000_0120),
                "round {round}: {status:#010x}"
            );
        }
        assert_eq!(lab.answer(closed).0, 0, "round {round}");
    }
    lab.ask("quit");
    assert_eq!(lab.end().code, Some(0));
}

#[test]
fn wrong_lines_do_no_harm() {
    let mut lab = Lab::ready(&mut with_driver());
    lab.send("dance");
    assert_eq!(lab.ask("quit").0, 0);
    let ended = lab.end();
    assert_eq!(ended.lines.len(), 1, "{ended:?}");
    assert!(
        ended.lines[0].starts_with("error \"dance\" is not a request"),
        "{ended:?}"
    );
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_run_that_takes_too_long_is_ended_by_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    let mut lab = Lab::ready(with_driver().args(["--timeout", "4"]).arg("--report").arg(&file));
    let ended = lab.leave();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.lines[0].starts_with("bugcheck 0x1AB00003 RUN_TIMEOUT "),
        "{ended:?}"
    );
    assert!(
        ended.errors.contains("REPEAT:") && ended.errors.contains("--seed"),
        "{ended:?}"
    );
    let report = report(&file);
    assert_eq!(
        (&report["passed"], &report["bugcheck"]["name"]),
        (&false.into(), &"RUN_TIMEOUT".into())
    );
}

/// Whatever KVM is worth here: it runs, or it is refused in one line; and it never is TCG.
#[test]
fn kvm_passes_its_self_test_or_is_refused() {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/sweeps/rundown.script");
    let mut replay = with_driver();
    replay.args(["--accel", "kvm", "--mode", "replay", "--script"]);
    assert_eq!(
        Lab::spawn(replay.arg(script)).end().code,
        Some(2),
        "they exclude each other"
    );
    let mut lab = Lab::spawn(with_driver().args(["--accel", "kvm"]));
    let ended = lab.end();
    if ended.code == Some(0) {
        assert!(ended.lines[0].starts_with("ready 1 "), "{ended:?}");
        return;
    }
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(
        ended.lines.is_empty()
            && ended.errors.starts_with("rundown-lab: --accel kvm is not used: ")
            && ended.errors.lines().count() == 1,
        "{ended:?}"
    );
}

/// A run of mode `replay` over the sweeps' script: the digest of all that happened, and when.
fn replay(cpus: &str, seed: u64, folder: &std::path::Path) -> String {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/sweeps/rundown.script");
    let file = folder.join("replay");
    let mut lab = Lab::spawn(
        with_driver()
            .args(["--mode", "replay", "--cpus", cpus, "--seed", &seed.to_string()])
            .arg("--script")
            .arg(script)
            .arg("--report")
            .arg(&file),
    );
    let ended = lab.leave();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let replay = &report(&file)["counters"]["replay"];
    assert!(
        replay["events"].as_u64().is_some_and(|events| events > 1_000),
        "{replay}"
    );
    replay.to_string()
}

/// `LAB_REPLAYS` is the number of runs that must be the same (2 unless given). QEMU promises it for one processor; whether two keep it too is tried
/// only when more runs are asked for.
#[test]
fn a_replay_is_the_same_to_the_bit() {
    let runs = std::env::var("LAB_REPLAYS").map_or(2, |runs| runs.parse().expect("LAB_REPLAYS is a number"));
    let folder = tempfile::tempdir().unwrap();
    let processors = if runs > 2 { &["1", "2"][..] } else { &["1"] };
    for cpus in processors {
        let first = replay(cpus, 7, folder.path());
        for run in 1..runs {
            assert_eq!(
                replay(cpus, 7, folder.path()),
                first,
                "run {run} on {cpus} processors"
            );
        }
        println!("{runs} of {runs} replays are the same on {cpus} processors: {first}");
        assert_ne!(
            replay(cpus, 8, folder.path()),
            first,
            "another seed is another run"
        );
    }
}

/// From QEMU's start to the ready line, which comes after `DriverEntry`, `AddDevice` and the device's start. On a host with other things to do, the
/// fastest counts.
#[test]
fn a_boot_to_the_started_device_takes_half_a_second() {
    const BOOTS: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    let mut times: Vec<u64> = (0..BOOTS)
        .map(|_| {
            let mut lab = Lab::ready(with_driver().args(["--cpus", "2"]).arg("--report").arg(&file));
            assert_eq!(lab.end().code, Some(0));
            report(&file)["boot_milliseconds"].as_u64().expect("it was ready")
        })
        .collect();
    times.sort_unstable();
    println!(
        "boot to the started device, 2 CPUs, {BOOTS} boots: {} ms at best, {} ms in the median, {} ms at worst",
        times[0],
        times[BOOTS / 2],
        times[BOOTS - 1]
    );
    assert!(times[0] < 500, "{times:?}");
}

/// Values that a processor or a hypervisor may really have, and that divide or compare badly.
#[test]
fn extremes_of_shared_data_and_a_clock_that_steps_back() {
    for options in [
        &["--unparked", "0"][..],
        &["--unparked", "65535"],
        &["--monitorx", "0", "--cycles-per-yield", "0"],
        &["--monitorx", "0", "--cycles-per-yield", "65535"],
    ] {
        counters_of_the_script(options);
    }
    // On a busy host a run's waits may all find nobody inside, and then nobody looks at the clock twice.
    let steps_back = (1..=20).any(|seed| {
        let options = ["--tsc-back", "spin_by_monitor", "--seed", &seed.to_string()];
        counters_of_the_script(&options)["tsc_back"].as_u64() > Some(0)
    });
    assert!(steps_back, "in twenty runs no clock stepped back");
}

/// Runs the sweeps' script to its end with these options, and returns what the report counts.
fn counters_of_the_script(options: &[&str]) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/sweeps/rundown.script");
    let file = folder.path().join("report");
    let mut lab = Lab::spawn(
        with_driver()
            .args(options)
            .arg("--script")
            .arg(&script)
            .arg("--report")
            .arg(&file),
    );
    let ended = lab.leave();
    assert_eq!(ended.code, Some(0), "{options:?}: {ended:?}");
    report(&file)["counters"].clone()
}

/// Waits until no process has `word` on its command line.
fn gone(word: &str) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while !processes_with(word).is_empty() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn no_machine_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    for (name, signal) in [
        ("ended-by-term", Some(Signal::TERM)),
        ("ended-by-kill", Some(Signal::KILL)),
        ("ended-by-eof", None),
    ] {
        let log = folder.path().join(name);
        let mut lab = Lab::ready(with_driver().arg("--log").arg(&log).process_group(0));
        assert!(
            processes_with(name).len() >= 2,
            "rundown-lab and its QEMU name the log"
        );
        match signal {
            Some(signal) => {
                kill_process(Pid::from_child(lab.child()), signal).unwrap();
                lab.leave();
            }
            None => assert_eq!(lab.end().code, Some(0)),
        }
        assert!(
            gone(name),
            "{name}: {:?} still run after the program's end",
            processes_with(name)
        );
    }
}

/// A lab whose QEMU is a script.
fn with_qemu(folder: &std::path::Path, script: &str) -> Command {
    let qemu = folder.join("qemu-system-x86_64");
    std::fs::write(&qemu, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&qemu, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = with_driver();
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    command
}

#[test]
fn a_qemu_that_is_ended_by_a_signal_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (signal, says) in [
        ("KILL", "signal 9 (SIGKILL"),
        ("SEGV", "signal 11 (QEMU itself crashed)"),
    ] {
        let ended = Lab::spawn(&mut with_qemu(folder.path(), &format!("kill -{signal} $$"))).end();
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.errors.contains(says), "{ended:?}");
    }
}

#[test]
fn a_machine_that_never_starts_is_not_the_drivers_fault() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = with_qemu(folder.path(), "exec sleep 60");
    let output = Lab::spawn(command.args(["--timeout", "1"])).end();
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.errors.contains("never started"), "{output:?}");
    assert!(
        !output.lines.iter().any(|line| line.contains("bugcheck")),
        "{output:?}"
    );
}

#[test]
fn output_that_cannot_be_written_is_one_line_and_an_exit_code() {
    let full = || std::fs::File::create("/dev/full").unwrap();
    let output = with_driver()
        .stdout(full())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{errors}");
    assert!(
        errors.contains("standard output cannot be written: No space left"),
        "{errors}"
    );
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
        let output = program.args(arguments).stdout(full()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    for option in ["--report", "--log"] {
        let ended = Lab::spawn(with_driver().args([option, "/nowhere/x"])).end();
        assert_eq!(ended.code, Some(7), "{option}: {ended:?}");
        assert_eq!(ended.errors.lines().count(), 1, "{ended:?}");
    }
    // Nobody reads the explanation; the verdict stands.
    let status = with_driver()
        .stderr(full())
        .args(["--native", "/nowhere/x"])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}

/// What cannot be read back has the log at the end; a FIFO that nobody reads is not waited for.
#[test]
fn a_log_may_be_a_fifo() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
    let ended = Lab::spawn(with_driver().arg("--log").arg(&fifo)).end();
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(ended.errors.contains("a FIFO that nobody reads"), "{ended:?}");
    // Its other end is there before the lab looks for it; reading waits for the log.
    let other = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let reader = std::thread::spawn(move || {
        let mut log = [0; 12];
        std::io::Read::read_exact(&mut &other, &mut log).map(|()| log)
    });
    let ended = Lab::spawn(with_driver().arg("--log").arg(&fifo)).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(&reader.join().unwrap().unwrap()[..5], b"log: ");
}

#[test]
fn without_qemu_there_is_one_clear_error() {
    let mut lab = Lab::spawn(with_driver().env("PATH", "/nowhere"));
    let ended = lab.end();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(
        ended.errors.contains("qemu-system-x86_64 is not on PATH"),
        "{ended:?}"
    );
    assert_eq!(ended.errors.lines().count(), 1, "{ended:?}");
}

#[test]
fn bad_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = artefact("rundown.sys");
    let driver = std::fs::read(&sound).unwrap();
    std::fs::copy(artefact("rundown.inf"), folder.path().join("rundown.inf")).unwrap();
    let refused = |arguments: &[&std::ffi::OsStr], words: &[&str]| {
        let ended = Lab::spawn(serve().args(arguments)).end();
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.lines.is_empty(), "nothing on the pipe: {ended:?}");
        for word in words {
            assert!(ended.errors.contains(word), "{arguments:?}: {ended:?}");
        }
    };
    let word = std::ffi::OsStr::new;
    let inf = folder.path().join("rundown.inf");
    let refused_driver = |name: &str, bytes: &[u8], words: &[&str]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let arguments = [
            word("--missing"),
            word("refuse"),
            word("--driver"),
            path.as_os_str(),
            word("--inf"),
            inf.as_os_str(),
        ];
        refused(&arguments, &[&[name], words].concat());
    };
    refused_driver("empty.sys", b"", &[]);
    refused_driver("text.sys", b"this is no driver\n", &[]);
    refused_driver("truncated.sys", &driver[..driver.len() / 4], &[]);
    let mut import = driver.clone();
    let name = b"WdfVersionBind\0";
    let at = import.windows(name.len()).position(|window| window == name);
    import[at.expect("it imports that") + 3] = b'X';
    refused_driver("import.sys", &import, &["WDFLDR.SYS!WdfXersionBind"]);
    refused_driver(
        "relocation.sys",
        &with_unknown_relocation(driver),
        &["relocation"],
    );

    refused(
        &[word("--driver"), folder.path().as_os_str()],
        &[folder.path().to_str().unwrap()],
    );
    refused(&[word("--driver"), word("/nowhere/x.sys")], &["/nowhere/x.sys"]);
    let driver_is_sound: [(&str, &str); 3] = [
        ("--inf", "/nowhere/x.inf"),
        ("--watch-cr8", "no::such"),
        ("--cpus", "65"),
    ];
    for (option, value) in driver_is_sound {
        refused(
            &[word("--driver"), sound.as_os_str(), word(option), word(value)],
            &[value],
        );
    }
}

/// The driver with a base relocation of a type that x86-64 images do not have (5, `IMAGE_REL_BASED_MIPS_JMPADDR`).
fn with_unknown_relocation(mut driver: Vec<u8>) -> Vec<u8> {
    const DIR64: u16 = 10;
    let file = PeFile64::parse(&*driver).unwrap();
    let directory = file.data_directory(IMAGE_DIRECTORY_ENTRY_BASERELOC);
    let directory = directory.expect("it has base relocations");
    let (block, _) = directory.file_range(&file.section_table()).unwrap();
    // A block begins with its page and its size; entries of 16 bits follow, the type in the upper four.
    let first = block as usize + 8;
    let entry = u16::from_le_bytes([driver[first], driver[first + 1]]);
    assert_eq!(entry >> 12, DIR64);
    driver[first..first + 2].copy_from_slice(&(entry & 0xFFF | 5 << 12).to_le_bytes());
    driver
}

/// The script's waits are at `PASSIVE_LEVEL`, and every one that does not find its references back at once reads CR8. On a busy
/// host a run's waits may all find nobody inside.
#[test]
fn the_reads_of_cr8_are_found_and_watched() {
    let read = (1..=20).any(|seed| {
        let options = ["--watch-cr8", "wait_slow", "--seed", &seed.to_string()];
        let reads = &counters_of_the_script(&options)["cr8_reads"];
        assert_eq!(reads["at_dispatch"], 0, "{reads}");
        reads["below_dispatch"].as_u64() > Some(0)
    });
    assert!(read, "in twenty runs no wait read CR8");
    // What is not watched is not counted.
    let reads = &counters_of_the_script(&[])["cr8_reads"];
    assert_eq!(
        (&reads["below_dispatch"], &reads["at_dispatch"]),
        (&0.into(), &0.into())
    );
}

/// The frequency of the time-stamp counter that the driver tells, in hertz: the last eight bytes of `Info`.
#[expect(clippy::cast_precision_loss, reason = "below 2^52 hertz")]
fn cycle_frequency(lab: &mut Lab, handle: &str) -> f64 {
    let (status, info) = lab.ask(&format!("ioctl {handle} 0x80526000 120 0800000003000000"));
    assert_eq!((status, info.len()), (0, 240), "{info}");
    let bytes = u64::from_str_radix(&info[224..], 16).unwrap().swap_bytes();
    bytes as f64
}

/// The counter begins anew when the machine wakes from S3; what the driver says of its frequency is the same before, at once, and later.
#[test]
fn a_suspension_leaves_the_drivers_clock_sound() {
    for cpus in ["1", "2"] {
        let mut lab = Lab::ready(with_driver().args(["--cpus", cpus, "--seed", "7"]));
        let handle = lab.open(&format!("open {INTERFACE} rw"));
        std::thread::sleep(Duration::from_secs(1));
        let before = cycle_frequency(&mut lab, &handle);
        for _ in 0..2 {
            assert_eq!(lab.ask("suspend").0, 0);
            for pause in [0, 300, 2_000] {
                std::thread::sleep(Duration::from_millis(pause));
                let after = cycle_frequency(&mut lab, &handle);
                assert!(
                    (after / before - 1.0).abs() < 0.1,
                    "{cpus} processors, {pause} ms later: {after} Hz, {before} Hz before"
                );
            }
        }
        assert_eq!(lab.ask("quit").0, 0);
        assert_eq!(lab.end().code, Some(0));
    }
}
