//! Boots the lab's kernel by itself: its own tests, and the specimens of `lab/specimens`, each of which must end in its bug check.
//! Not part of a plain `cargo test`: `RUNDOWN_LAB_DIR=target/lab cargo test -p rundown-lab --test specimens`.
//!
//! `LAB_BOOTS` is the number of boots for each configuration, every one with a seed of its own (1 unless given).

mod client;
mod offences;

use client::{Lab, PATIENCE, artefact, output, serve};
use lab_wire::code;
use lab_wire::counters::Counters;
use lab_wire::dump::Dump;
use offences::{BARE, DEVICE, DIRECT, NEITHER, Offence, SOUND_REQUESTS};
use rundown_lab::machine::{Accelerator, Machine, Options};
use rundown_lab::session::Power as _;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// QEMU's exit codes, by the kernel's `hal::power::Exit`.
const PASSED: Option<i32> = Some(33);
const DRIVER_FAILED: Option<i32> = Some(35);
const BAD_INPUT: Option<i32> = Some(37);

/// One boot with a bare module.
#[derive(Debug, Clone)]
struct Boot {
    cpus: u32,
    words: String,
    accelerator: Accelerator,
}

/// How it ended, and what the kernel logged.
struct Ended {
    code: Option<i32>,
    log: String,
    /// What QEMU itself said.
    messages: String,
}

fn boots() -> u64 {
    std::env::var("LAB_BOOTS").map_or(1, |boots| boots.parse().expect("LAB_BOOTS is a number"))
}

impl Boot {
    fn new(cpus: u32, words: String) -> Self {
        Self {
            cpus,
            words,
            accelerator: Accelerator::Tcg,
        }
    }

    fn run(&self, module: &[u8]) -> Ended {
        self.run_with(module, |_| ())
    }

    /// The same, with something done while the machine boots.
    fn run_with(&self, module: &[u8], meanwhile: impl FnOnce(&mut Machine)) -> Ended {
        let options = Options {
            kernel: &artefact("rundown-lab-kernel"),
            container: module,
            command_line: format!("cpus={} {}", self.cpus, self.words),
            cpus: self.cpus,
            memory: 256,
            accelerator: self.accelerator,
            log: None,
            translated: None,
            gdb: None,
        };
        let (mut machine, _to, _from) = Machine::start(&options).expect("QEMU is installed");
        meanwhile(&mut machine);
        let code = machine.leave(PATIENCE);
        Ended {
            code,
            log: machine.log(),
            messages: machine.messages(),
        }
    }
}

fn specimens() -> Vec<u8> {
    std::fs::read(artefact("specimens.sys")).expect("it can be read")
}

/// Runs `test` for every item, two at a time; each failure is a text, and all are told.
fn for_all<T: Sync>(items: &[T], test: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = test(item) {
                        failures.lock().expect("nobody panics with it").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("as above");
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        items.len(),
        failures.join("\n")
    );
}

/// What a boot ended in must be this, and the log contain that.
fn expect(boot: &Boot, ended: &Ended, code: Option<i32>, text: &str) -> Result<(), String> {
    if ended.code == code && ended.log.contains(text) {
        return Ok(());
    }
    let said: Vec<&str> = ended
        .log
        .lines()
        .filter(|line| {
            ["bug:", "dbg:", "log:", "bad-input:"]
                .iter()
                .any(|kind| line.starts_with(kind))
        })
        .collect();
    Err(format!(
        "{boot:?}: QEMU's exit code {:?}, expected {code:?} and \"{text}\"; the kernel said:\n  {}\nand QEMU:\n  {}",
        ended.code,
        said.join("\n  "),
        ended.messages
    ))
}

#[test]
fn the_kernel_passes_its_own_tests() {
    let driver = specimens();
    let boots: Vec<Boot> = (1..=boots())
        .flat_map(|seed| {
            [1, 2, 4, 8].into_iter().flat_map(move |cpus| {
                ["smp", "chaos monitorx=0 unparked=1 cpy=7"]
                    .map(|mode| Boot::new(cpus, format!("selftest seed={seed} mode={mode}")))
            })
        })
        .collect();
    for_all(&boots, |boot| {
        expect(boot, &boot.run(&driver), PASSED, " 0 failed")
    });
}

/// Lets the machine run for `turns` at a time and stops it for 70 ms in between, until its log has `text` or it has left.
fn stutter(machine: &mut Machine, text: &str, turns: Duration) {
    let process = i32::try_from(machine.process()).unwrap();
    let process = Pid::from_raw(process).expect("no process has the number 0");
    let send = |signal| kill_process(process, signal).unwrap();
    let until = Instant::now() + PATIENCE;
    // A process that has ended takes signals as long as nobody has waited for it.
    while !machine.log().contains(text) && !machine.has_left(turns) {
        assert!(
            Instant::now() < until,
            "\"{text}\" is not said: {}",
            machine.log()
        );
        send(Signal::STOP);
        std::thread::sleep(Duration::from_millis(70));
        send(Signal::CONT);
    }
}

/// A host with other things to do stops the machine while it measures its clocks, for longer than the PIT takes to go round; what is
/// measured must not be off by that for the whole run.
#[test]
fn a_busy_host_does_not_bend_time() {
    let driver = specimens();
    // The kernel's first line comes when the clocks are measured and all processors are up.
    let measuring = |machine: &mut Machine| {
        stutter(machine, "log: rundown-lab kernel", Duration::from_millis(3));
    };
    for seed in 1..=boots().max(3) {
        let boot = Boot::new(2, format!("selftest seed={seed}"));
        expect(&boot, &boot.run_with(&driver, measuring), PASSED, " 0 failed").unwrap();
    }
}

/// What KVM is asked for, TCG can do; only how long it takes is the host's affair.
#[test]
fn the_probe_of_a_machine_reaches_its_end() {
    let ended = Boot::new(1, "probe".into()).run(&[]);
    assert!(
        ended.log.contains("probe: a loop of a million turns took "),
        "{}",
        ended.log
    );
}

#[test]
fn what_is_no_driver_is_refused() {
    let driver = specimens();
    let junk = [b"MZ".as_slice(), &[0; 4096]].concat();
    for (module, words, text) in [
        (&[][..], "", "no driver"),
        (&junk, "", "not an x64 kernel-mode image"),
        (&driver, "no-such-word=1", "which it does not know"),
        (
            &driver,
            "missing=refuse case=sound",
            "what the lab does not export: ntoskrnl.exe!ExEventObjectType ntoskrnl.exe!IoConnectInterrupt",
        ),
    ] {
        let boot = Boot::new(1, words.into());
        expect(&boot, &boot.run(module), BAD_INPUT, text).unwrap();
    }
}

#[test]
fn sound_drivers_pass() {
    let driver = specimens();
    let mut cases = Vec::new();
    for seed in 1..=boots() {
        for mode in ["smp", "chaos"] {
            for (case, text) in [
                ("sound", "log: passed"),
                ("sound-waits", "log: passed"),
                ("sound-pool", "log: passed"),
                ("sound-objects", "log: passed"),
                ("sound-dpcs", "log: passed"),
                ("sound-irps", "log: passed"),
                ("sound-names", "log: passed"),
                ("sound-signals", "log: passed"),
                ("sound-timers", "log: passed"),
                ("sound-threads", "log: passed"),
                ("sound-mutex", "log: passed"),
                ("sound-code-in-pool", "log: passed"),
                ("sound-time", "log: passed"),
                ("sound-strings", "log: passed"),
                ("sound-fast-mutex", "log: passed"),
                ("sound-resource", "log: passed"),
                ("sound-lookaside", "log: passed"),
                ("sound-remove-lock", "log: passed"),
                ("sound-work-item", "log: passed"),
                ("sound-csq", "log: passed"),
                ("sound-mdl", "log: passed"),
                ("sound-registry", "log: passed"),
                ("sound-files", "log: passed"),
                ("sound-text", "dbg: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"),
                ("take-all-memory", "log: memory is exhausted: pool has "),
                ("run-down", "log: passed"),
                ("sound-run-down", "log: passed"),
                ("sound-run-down-cache-aware", "log: passed"),
                ("monitor", "monitorx=2 monitorx_series=1 mwaitx=2"),
            ] {
                cases.push((
                    Boot::new(1 << (seed % 3), format!("case={case} seed={seed} mode={mode}")),
                    text,
                ));
            }
        }
    }
    for_all(&cases, |(boot, text)| {
        expect(boot, &boot.run(&driver), PASSED, text)
    });
}

/// In either mode, on 1 to 4 processors.
#[test]
fn each_offence_is_found() {
    let driver = specimens();
    let cases: Vec<(&Offence, Boot)> = (1..=boots())
        .flat_map(|seed| {
            BARE.iter().zip(seed..).flat_map(move |(offence, seed)| {
                ["smp", "chaos"].map(|mode| {
                    let words = format!(
                        "case={} seed={seed} mode={mode} {}",
                        offence.specimen, offence.options
                    );
                    let cpus = offence.processors.max(1 << (seed % 3));
                    (offence, Boot::new(cpus, words))
                })
            })
        })
        .collect();
    for_all(&cases, |(offence, boot)| {
        let ended = boot.run(&driver);
        expect(
            boot,
            &ended,
            DRIVER_FAILED,
            &format!("bug: {:#010x}", offence.code),
        )?;
        let dump = Dump::parse(&ended.log).ok_or("there is a bug: line")?;
        let right = dump.complete
            && dump.text.contains(offence.says)
            && offence.first.is_none_or(|first| dump.parameters[0] == first)
            && offence.second.is_none_or(|second| dump.parameters[1] == second);
        right.then_some(()).ok_or_else(|| {
            format!(
                "{boot:?}: {:#x?} and \"{}\" were expected of: {:#x?} {}",
                offence.first, offence.says, dump.parameters, dump.text
            )
        })
    });
}

/// The places where the lab is stricter than Windows, each with the switch that turns it off: the very specimen that is found without passes.
#[test]
fn what_windows_lets_pass_can_be_allowed() {
    let driver = specimens();
    let cases = [
        ("wait-on-stack-alertable", "wait-on-stack"),
        ("wait-for-mutex-in-user-mode", "mutex-wait-mode"),
        ("locks-in-two-orders", "lock-order"),
        ("fast-mutexes-in-two-orders", "lock-order"),
        ("enter-region-at-dispatch", "irql"),
        ("touch-paged-pool-at-dispatch", "paging"),
        ("leave-dpc-unflushed", "unflushed-dpc"),
        ("wait-for-run-down-at-dispatch", "rundown-wait"),
    ];
    for_all(&cases, |(case, rule)| {
        let boot = Boot::new(1, format!("case={case} allow={rule}"));
        expect(&boot, &boot.run(&driver), PASSED, "log: passed")
    });
    let mut lab = Lab::ready(
        serve()
            .arg("--driver")
            .arg(artefact("specimens.sys"))
            .args(["--allow", "user-handle"]),
    );
    let handle = lab.open("open 22334455-6677-8899-0102-030405060708 rw");
    assert_eq!(lab.ask(&format!("ioctl {handle} 0x2220a0 0 -")).0, 0);
    lab.send("quit");
    let ended = lab.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Judged before NT's code runs as it is before the reference: here the code of a listing that was written for tests, which has all of the
/// routines. The host names the functions that the kernel knows by an address.
#[test]
fn run_down_is_judged_where_a_listings_code_runs() {
    let misuse = code::sub::RUNDOWN_OVER_RELEASED..=code::sub::RUNDOWN_MISALIGNED;
    let offences: Vec<&Offence> = BARE
        .iter()
        .filter(|offence| offence.first.is_some_and(|first| misuse.contains(&first)))
        .collect();
    assert!(offences.len() > 20, "{}", offences.len());
    let listing = Path::new(env!("CARGO_MANIFEST_DIR")).join("../native/tests/own.uf");
    let inf = std::fs::read_to_string(artefact("specimens.inf")).unwrap();
    for_all(&offences, |offence| {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own.inf");
        let service = format!("AddService = {}", offence.specimen);
        std::fs::write(&own, inf.replace("AddService = device", &service)).unwrap();
        let report = folder.path().join("report.json");
        let mut lab = Lab::spawn(
            serve()
                .args(["--cpus", "2", "--seed", "1", "--driver"])
                .arg(artefact("specimens.sys"))
                .arg("--inf")
                .arg(&own)
                .arg("--native")
                .arg(&listing)
                .arg("--failure")
                .arg(folder.path().join("failed.json"))
                .arg("--report")
                .arg(&report),
        );
        let ended = lab.leave();
        let report = std::fs::read_to_string(report).unwrap_or_default();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap_or_default();
        let bugcheck = &report["bugcheck"];
        let text = bugcheck["text"].as_str().unwrap_or_default();
        let caller = text
            .split_once("called from 0x")
            .is_none_or(|(_, caller)| caller.contains("(specimens::native_run_down::"));
        let first = offence.first.map(|first| format!("{first:#x}"));
        let right = ended.code == Some(1)
            && bugcheck["parameters"][0].as_str() == first.as_deref()
            && text.contains(offence.says)
            && caller
            && report["routines"]["ExReleaseRundownProtection"]
                .as_str()
                .is_some_and(|code| code.starts_with("NT code"));
        right.then_some(()).ok_or_else(|| {
            format!(
                "{}: {first:?} and \"{}\": {ended:?} {report:#}",
                offence.specimen, offence.says
            )
        })
    });
}

/// A driver's own code has no name, and is not taken for one of the judge's.
#[test]
fn a_drivers_own_bug_check_is_told_as_it_is() {
    let boot = Boot::new(2, "case=bug-check".into());
    expect(
        &boot,
        &boot.run(&specimens()),
        DRIVER_FAILED,
        "bug: 0x0000dead UNKNOWN_BUGCHECK 0x1 0x2 0x3 0x4",
    )
    .unwrap();
}

/// A releaser whose test-and-clear is a load and a store loses a wake-up within ten thousand generations.
#[test]
fn chaos_finds_a_test_and_clear_that_is_split() {
    let driver = specimens();
    let cases: Vec<Boot> = (1..=boots().max(2))
        .map(|seed| {
            Boot::new(
                2 << (seed % 2),
                format!("case=run-down-load-store mode=chaos grace=1000 seed={seed}"),
            )
        })
        .collect();
    for_all(&cases, |boot| {
        expect(
            boot,
            &boot.run(&driver),
            DRIVER_FAILED,
            "LOST_WAKEUP: the wait block",
        )
    });
}

/// A driver without `AddDevice` or INF: its device is opened by its link's name in each of the ways to write one, read and written; a file's name
/// is what is behind it, and Plug and Play has no say.
#[test]
fn a_legacy_driver_is_opened_by_name() {
    let mut lab = Lab::ready(
        serve()
            .arg("--driver")
            .arg(artefact("specimens.sys"))
            .arg("--legacy"),
    );
    for name in [
        r"\\.\LabLegacy",
        r"\??\lablegacy",
        r"\DosDevices\LabLegacy",
        r"\DosDevices\Global\LabLegacy",
        r"\Device\LabLegacy",
    ] {
        let handle = lab.open(&format!("open {name} rw"));
        assert_eq!(
            lab.ask(&format!("ioctl {handle} 0x222000 64 -")),
            (0, "-".into()),
            "{name}"
        );
        lab.ask(&format!("close {handle}"));
    }
    let handle = lab.open(r"open \\.\LabLegacy\a\b rw");
    let name = hex::encode(
        r"\a\b"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<_>>(),
    );
    assert_eq!(lab.ask(&format!("ioctl {handle} 0x222000 64 -")), (0, name));
    assert_eq!(
        lab.ask(&format!("write {handle} 010203")),
        (0, "0300000000000000".into())
    );
    assert_eq!(lab.ask(&format!("read {handle} 8")), (0, "010203".into()));
    assert_eq!(lab.ask(r"open \\.\LabLegac rw").0, 0xC000_0034);
    assert_eq!(lab.ask("query-remove").0, 0xC000_0010);
    assert_eq!(lab.ask("quit").0, 0);
    let ended = lab.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// `run` and `doctor`, as somebody types them who has a driver and nothing else.
#[test]
fn a_strangers_driver_is_looked_at_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let driver = folder.path().join("specimens.sys");
    std::fs::copy(artefact("specimens.sys"), &driver).unwrap();
    let script = folder.path().join("script");
    let lab = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
        command.arg(words[0]).arg(&driver).args(&words[1..]);
        command.arg("--kernel").arg(artefact("rundown-lab-kernel"));
        output(&mut command)
    };
    let (code, text) = lab(&["doctor"]);
    assert!(
        code == Some(0)
            && text.contains("  missing: ntoskrnl.exe!IoConnectInterrupt\n")
            && !text.contains("DbgPrint"),
        "{code:?} {text}"
    );
    // The page shows just this.
    let page = include_str!("../../../docs/your-driver.md");
    assert!(page.contains(&text), "docs/your-driver.md does not show:\n{text}");
    let (code, text) = lab(&["run", "--legacy", "--seed", "3"]);
    assert!(
        code == Some(0) && text.contains("passed: specimens.sys was loaded"),
        "{code:?} {text}"
    );
    std::fs::write(&script, "open \\\\.\\LabLegacy rw\nwrite $1 0102\nread $1 4\n").unwrap();
    let (code, text) = lab(&["run", "--legacy", "--script", &script.display().to_string()]);
    assert!(
        code == Some(0) && text.contains("step 3 is answered with 0x00000000 and 2 bytes"),
        "{code:?} {text}"
    );
    // The specimen of that name does not start, and says where.
    std::fs::rename(&driver, folder.path().join("sound-text.sys")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
    command.arg("run").arg(folder.path().join("sound-text.sys"));
    command
        .args(["--hwid", "any_device", "--kernel"])
        .arg(artefact("rundown-lab-kernel"));
    let ended = command.output().unwrap();
    let (code, text) = (ended.status.code(), String::from_utf8_lossy(&ended.stderr));
    assert!(
        code == Some(1)
            && text.contains("AddDevice (the driver has none) returned")
            && text.contains("dbg: 1 2 3 4 5")
            && text.contains("REPEAT:         rundown-lab run "),
        "{code:?} {text}"
    );
}

/// The results as CI systems read them: a test for the run and, where it passed, one for each sweep; a failure has the bug check and the command
/// that repeats it.
#[test]
fn results_are_written_as_junits_xml() {
    let folder = tempfile::tempdir().unwrap();
    let (script, xml) = (folder.path().join("script"), folder.path().join("results.xml"));
    let run = |function: u32, expected: i32| {
        let request = format!("ioctl $1 {:#x} 0 -", 0x22_0000 | function << 2);
        std::fs::write(
            &script,
            format!("open 22334455-6677-8899-0102-030405060708 rw\n{request}\n"),
        )
        .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
        command.arg("run").arg(artefact("specimens.sys")).arg("--sweeps");
        command.arg("--failure").arg(folder.path().join("failed.json"));
        for (option, file) in [
            ("--kernel", artefact("rundown-lab-kernel")),
            ("--inf", artefact("specimens.inf")),
            ("--script", script.clone()),
            ("--junit", xml.clone()),
        ] {
            command.arg(option).arg(file);
        }
        let (code, text) = output(&mut command);
        assert_eq!(code, Some(expected), "{text}");
        std::fs::read_to_string(&xml).unwrap()
    };
    let passed = run(0x810, 0);
    assert!(
        passed.contains(r#"tests="6" skipped="0" failures="0" errors="0""#),
        "{passed}"
    );
    for what in ["low-resources", "cancel", "close", "kill", "unload"] {
        assert!(passed.contains(&format!(r#"name="sweep {what}""#)), "{passed}");
    }
    let failed = run(0x801, 1);
    assert!(
        failed.contains(r#"tests="1" skipped="0" failures="1" errors="0""#)
            && failed.contains("MULTIPLE_IRP_COMPLETE_REQUESTS")
            && failed.contains("REPEAT: rundown-lab run "),
        "{failed}"
    );
}

/// Runs a sweep over one request to the specimen `device`, in `folder`: exit code, and what it printed.
fn sweep(folder: &Path, what: &str, function: u32, pending: &str) -> (Option<i32>, String) {
    let script = folder.join("script");
    let request = format!("{pending} ioctl $1 {:#x} 0 -", 0x22_0000 | function << 2);
    std::fs::write(
        &script,
        format!("open 22334455-6677-8899-0102-030405060708 rw\n{request}\n"),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
    command
        .args(["sweep", "--what", what, "--patience", "2", "--points", "20"])
        .arg("--failure")
        .arg(folder.join("failed.json"));
    for (option, file) in [
        ("--kernel", artefact("rundown-lab-kernel")),
        ("--driver", artefact("specimens.sys")),
        ("--script", script),
    ] {
        command.arg(option).arg(file);
    }
    output(&mut command)
}

/// Repeats what a sweep in `folder` left.
fn repeat(folder: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rundown-lab"));
    output(command.arg("repeat").arg(folder.join("failed.json")))
}

/// Each sweep finds what it is for, names the point and the command that repeats it, and passes what is sound. The file that it leaves repeats
/// that point, and no other.
#[test]
fn sweeps_find_what_they_are_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("failed.json");
    for what in ["low-resources", "cancel", "close", "kill", "unload"] {
        let (code, text) = sweep(folder.path(), what, 0x810, "");
        assert!(
            code == Some(0) && text.starts_with(&format!("passed {what}: ")) && !file.exists(),
            "{code:?} {text}"
        );
    }
    for (what, function, pending, says) in [
        ("low-resources", 0x811, "", "pool blocks and 0 threads are left"),
        ("low-resources", 0x812, "", "KMODE_EXCEPTION_NOT_HANDLED"),
        (
            "low-resources",
            0x813,
            "",
            "is answered with 0xc0000001, which `low-resources` does not explain",
        ),
        ("cancel", 0x809, "&", "is not answered"),
        ("unload", 0x80A, "", "leaves 1 device(s) behind"),
    ] {
        let (code, text) = sweep(folder.path(), what, function, pending);
        assert!(
            code == Some(1) && text.contains(says),
            "{what} {function:#x}: {says} was expected: {code:?} {text}"
        );
        assert!(
            text.contains("REPEAT: rundown-lab sweep ") && text.contains(" --at "),
            "{text}"
        );
        let points = |text: &str| -> Vec<String> {
            let faults = text.lines().filter_map(|line| line.strip_prefix("  at "));
            faults
                .map(|fault| fault.split(':').next().unwrap_or_default().to_owned())
                .collect()
        };
        let first = points(&text).swap_remove(0);
        let (code, text) = repeat(folder.path());
        assert!(
            code == Some(1) && text.contains(says) && points(&text).iter().all(|point| *point == first),
            "{what} {function:#x} at {first} was to be repeated: {code:?} {text}"
        );
        std::fs::remove_file(&file).unwrap();
    }
}

/// A driver that disables interrupts for ever on the boot processor stops the kernel's clock, and with it every limit that the kernel keeps by itself. The
/// host then says where each processor stands, and the kernel, asked by an NMI, where each thread does. On another processor the kernel itself reports.
#[test]
fn a_machine_that_no_longer_reacts_is_looked_into() {
    for_all(&["1", "2"], |cpus| {
        let mut lab = Lab::ready(serve().arg("--driver").arg(artefact("specimens.sys")).args([
            "--timeout",
            "8",
            "--cpus",
            cpus,
        ]));
        let handle = lab.open("open 22334455-6677-8899-0102-030405060708 rw");
        lab.send(&format!("ioctl {handle} 0x0022202c 4 -"));
        let ended = lab.end();
        let last = ended.lines.last().map(String::as_str).unwrap_or_default();
        let timed_out = ended.code == Some(1) && last.starts_with("bugcheck 0x1AB00003 RUN_TIMEOUT ");
        let (processors, report) = ended.errors.split_once("*** RUN_TIMEOUT").unwrap_or_default();
        let by_host = ["PROCESSOR:      0 (", "interrupts disabled", "device::control"];
        let looked_into = by_host.iter().all(|text| processors.contains(text));
        let by_itself = processors.is_empty() && *cpus != "1";
        (timed_out && report.contains("device::control") && (looked_into || by_itself))
            .then_some(())
            .ok_or_else(|| format!("{cpus} processors: {:?} {last}\n{}", ended.code, ended.errors))
    });
}

/// Requests that a WDM driver handles wrongly.
#[test]
fn each_offence_with_a_request_is_found() {
    for_all(DEVICE, |offence| {
        let function = u32::from_str_radix(&offence.specimen[2..], 16).expect("names are functions");
        let mut lab = Lab::ready(serve().arg("--driver").arg(artefact("specimens.sys")).args([
            "--patience",
            "2",
            "--seed",
            "5",
        ]));
        let handle = lab.open("open 22334455-6677-8899-0102-030405060708 rw");
        assert_eq!(
            lab.ask(&format!("ioctl {handle} 0x00222000 0 -")).0,
            0,
            "a sound request"
        );
        let method = match offence.options {
            DIRECT => 2,
            NEITHER => 3,
            _ => 0,
        };
        let id = lab.send(&format!(
            "ioctl {handle} {:#x} 4 -",
            0x22_0000 | function << 2 | method
        ));
        lab.settle(id, Duration::from_secs(2));
        lab.send("quit");
        let ended = lab.end();
        let last = ended.lines.last().map(String::as_str).unwrap_or_default();
        let name = code::name(offence.code);
        let right = ended.code == Some(1)
            && last.starts_with(&format!("bugcheck {:#010X} {name} ", offence.code).replacen("0X", "0x", 1))
            && last.contains(offence.says)
            && offence
                .first
                .is_none_or(|first| ended.errors.contains(&format!("BUGCHECK_P1:    {first:x}\n")))
            && offence
                .second
                .is_none_or(|second| ended.errors.contains(&format!("BUGCHECK_P2:    {second:x}\n")));
        right.then_some(()).ok_or_else(|| {
            format!(
                "{}: {name} {:x?} was expected: {ended:?}",
                offence.specimen, offence.first
            )
        })
    });
}

/// What touches the last byte of a buffer, makes a kernel's handle, or takes all of the memory and is served none the less: one
/// after the other, in one run that passes.
#[test]
fn sound_requests_pass() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    let mut lab = Lab::ready(
        serve()
            .arg("--driver")
            .arg(artefact("specimens.sys"))
            .args(["--seed", "5", "--report"])
            .arg(&file),
    );
    let handle = lab.open("open 22334455-6677-8899-0102-030405060708 rw");
    for function in SOUND_REQUESTS {
        for method in [0, 2] {
            let code = 0x22_0000 | function << 2 | method;
            assert_eq!(
                lab.ask(&format!("ioctl {handle} {code:#x} 4 -")).0,
                0,
                "{code:#x}"
            );
        }
    }
    // METHOD_NEITHER: the client's own memory, probed, and locked.
    for (function, output) in [(0x830, "04030201"), (0x835, "5a5a5a5a"), (0x836, "5b5b5b5b")] {
        let code = 0x22_0003 | function << 2;
        assert_eq!(
            lab.ask(&format!("ioctl {handle} {code:#x} 4 01020304")),
            (0, output.into()),
            "{code:#x}"
        );
    }
    assert_eq!(lab.ask("quit").0, 0);
    let ended = lab.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(
        report["findings"][0]
            .as_str()
            .is_some_and(|text| text.starts_with("the driver exhausted memory")),
        "{report}"
    );
}

/// Runs a specimen on a machine that counts instructions; the longest stay at `DISPATCH_LEVEL`, microseconds.
fn longest_stay(case: &str, meanwhile: impl FnOnce(&mut Machine)) -> u64 {
    let boot = Boot {
        accelerator: Accelerator::Counted,
        ..Boot::new(2, format!("case={case} mode=counted"))
    };
    let ended = boot.run_with(&specimens(), meanwhile);
    expect(&boot, &ended, PASSED, "log: passed").unwrap();
    let counters = ended.log.lines().rfind(|line| line.contains(" dispatch_stay="));
    Counters::parse(counters.unwrap_or_default()).dispatch_stay
}

/// 5 ms, 10 microseconds many times, and 1 ms behind 1.5 ms of waiting for a lock: also when the host stops the machine again and again.
/// What the judge did meanwhile is no part of it.
#[test]
fn stays_at_dispatch_level_are_measured() {
    for (case, expected) in [
        ("stay-at-dispatch", 4_950..=5_050),
        ("short-stays", 9..=25),
        ("wait-for-lock", 2_450..=2_550),
    ] {
        let idle = longest_stay(case, |_| ());
        let busy = longest_stay(case, |machine| {
            stutter(machine, "log: passed", Duration::from_millis(20));
        });
        println!("{case}: {idle} microseconds, on a busy host {busy}");
        assert!(
            expected.contains(&idle) && expected.contains(&busy),
            "{case}: {idle}, {busy}, not {expected:?}"
        );
    }
}

/// After a suspension the driver's time-stamp counter begins anew, on every processor and for the rest of the run; the performance
/// counter has gone on, and went on meanwhile.
#[test]
fn a_suspension_restarts_the_time_stamp_counter() {
    let folder = tempfile::tempdir().unwrap();
    let counters = |lab: &mut Lab, handle: &str| -> (u64, u64) {
        let (status, output) = lab.ask(&format!("ioctl {handle} 0x002220b0 16 -"));
        assert_eq!((status, output.len()), (0, 32), "{output}");
        let word = |from: usize| {
            u64::from_str_radix(&output[from..from + 16], 16)
                .unwrap()
                .swap_bytes()
        };
        (word(0), word(16))
    };
    for cpus in ["1", "4"] {
        let mut lab = Lab::ready(
            serve()
                .arg("--driver")
                .arg(artefact("specimens.sys"))
                .args(["--seed", "5", "--cpus", cpus]),
        );
        let handle = lab.open("open 22334455-6677-8899-0102-030405060708 rw");
        // The counter is that of a processor that has run for a second, and then some.
        std::thread::sleep(Duration::from_secs(1));
        let mut before = counters(&mut lab, &handle);
        for _ in 0..2 {
            assert_eq!(lab.ask("suspend").0, 0);
            let after = counters(&mut lab, &handle);
            assert!(
                after.0 < before.0,
                "{cpus} processors: {before:?}, then {after:?}"
            );
            // 100 ms, units of 100 ns.
            assert!(
                after.1 - before.1 >= 1_000_000,
                "{cpus} processors: {before:?}, then {after:?}"
            );
            std::thread::sleep(Duration::from_secs(1));
            before = counters(&mut lab, &handle);
            assert!(before.0 > after.0 && before.1 > after.1);
        }
        assert_eq!(lab.ask("quit").0, 0);
        assert_eq!(lab.end().code, Some(0));
    }
    // Without symbols nobody knows where the counter is read.
    let alone = folder.path().join("specimens.sys");
    std::fs::copy(artefact("specimens.sys"), &alone).unwrap();
    std::fs::copy(artefact("specimens.inf"), alone.with_extension("inf")).unwrap();
    let mut lab = Lab::ready(serve().arg("--driver").arg(&alone));
    assert_eq!(lab.ask("suspend").0, 0xC000_00BB);
    assert_eq!(lab.ask("quit").0, 0);
    assert_eq!(lab.end().code, Some(0));
}
