//! What each step of the walk has to show, and what the known failures mean.

use serde::Deserialize;
use serde_json::Value;

use super::Record;

/// The first build with KMDF 1.31: Windows 10, version 2004.
const FIRST_BUILD: u64 = 19_041;

const STORE: &str = "the driver store refused the package: mostly the certificate is missing in one of the two stores of the \
                     local machine; %windir%\\INF\\setupapi.dev.log names the reason";
const TEST_SIGNING: &str = "test signing is off: bcdedit, and a reboot, with Secure Boot off";

const PUBLISHER: &str =
    "the signer is a trusted root, but not a trusted publisher: the second store is missing";
const ROOT: &str = "the certificate is not among the trusted roots of the local machine";
const UNSIGNED: &str = "the package has no catalogue that vouches for the INF: install the folder that cargo xtask package \
                        made, unchanged";

/// What to look for in what a tool printed, as a whole word, and what it means. The table of docs/windows.md, in short.
const KNOWN: &[(&str, &str)] = &[
    ("0xE0000247", STORE),
    // devcon prints it as a signed number.
    ("-536870329", STORE),
    ("0xE0000242", PUBLISHER),
    ("0xE000022F", UNSIGNED),
    ("-536870353", UNSIGNED),
    // SetupAPI's sentence for it, which pnputil prints without the number.
    ("does not contain digital signature information", UNSIGNED),
    ("0x800B0109", ROOT),
    ("0x00000241", TEST_SIGNING),
    ("0x241", TEST_SIGNING),
    ("577", TEST_SIGNING),
    (
        "Secure Boot",
        "Secure Boot is on; turn it off in the machine's settings",
    ),
    (
        "0xC0000428",
        "the driver's signature is not accepted: test signing is off, or the file was changed",
    ),
];

/// Whether `text` has `sign`, in whatever case, and not as a part of a longer word or number.
fn has_word(text: &str, sign: &str) -> bool {
    let [text, sign] = [text, sign].map(str::to_ascii_lowercase);
    let continues = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&sign)
        .any(|(at, _)| !text[..at].ends_with(continues) && !text[at + sign.len()..].starts_with(continues))
}

/// How a line begins that says no more than that a tool runs, or what has gone well before the failure.
const BANNERS: [&str; 8] = [
    "Microsoft PnP Utility",
    "Device node created",
    "Install is complete when",
    "Adding driver package",
    "Processing inf",
    "Driver package added successfully",
    "Published name",
    "Updating drivers for",
];

/// Device Manager's codes ("Error codes in Device Manager in Windows", Microsoft Support).
fn problem(code: i64) -> &'static str {
    match code {
        10 => {
            "code 10: the driver refused to start; its status is in Device Manager's details, its reason in the debug print"
        }
        28 => "code 28: no driver is installed for the device; did the INF's hardware ID match?",
        31 => "code 31: AddDevice failed, or the framework could not be bound",
        37 => "code 37: DriverEntry failed",
        39 => "code 39: the driver's file is missing, damaged, or imports what this system does not have",
        52 => "code 52: the signature is not accepted: test signing, Secure Boot, certificate stores",
        _ => "see \"Error codes in Device Manager\"",
    }
}

/// The first line that says something; of an output that is all banners the first.
fn first_line(text: &str) -> &str {
    let says_nothing = |line: &str| {
        let begins = |banner: &&str| {
            line.get(..banner.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(banner))
        };
        BANNERS.iter().any(begins)
    };
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines()
        .find(|line| !says_nothing(line))
        .or_else(|| lines().next())
        .unwrap_or("no output")
}

fn failure(record: &Record) -> String {
    let known = KNOWN.iter().find(|(sign, _)| has_word(&record.output, sign));
    let meaning = known.map_or_else(String::new, |(_, meaning)| format!("; {meaning}"));
    format!(
        "exit code {}: {}{meaning}\n{}",
        record.exit,
        first_line(&record.output),
        record.command
    )
}

/// What a step recorded as JSON.
fn json<'a, T: Deserialize<'a>>(record: &'a Record) -> Result<T, String> {
    // Windows' tools and warnings may have written around it.
    let line = record
        .output
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with(['{', '[']));
    let line = line.ok_or_else(|| format!("no JSON in its output: {}", first_line(&record.output)))?;
    serde_json::from_str(line).map_err(|error| format!("its JSON is not what it should be: {error}"))
}

pub(super) fn done(record: &Record) -> Result<String, String> {
    if record.exit == 0 {
        Ok(String::new())
    } else {
        Err(failure(record))
    }
}

#[derive(Deserialize)]
struct System {
    caption: String,
    build: u64,
    secure_boot: Option<bool>,
    processors: u64,
}

pub(super) fn system(record: &Record) -> Result<String, String> {
    let system: System = json(record)?;
    if system.build < FIRST_BUILD {
        return Err(format!(
            "build {}: the driver needs Windows 10, version 2004 (build {FIRST_BUILD})",
            system.build
        ));
    }
    if system.secure_boot == Some(true) {
        return Err(
            "Secure Boot is on: test signing cannot be switched on; turn it off in the machine's settings"
                .into(),
        );
    }
    Ok(format!(
        "{}, build {}, {} processors",
        system.caption, system.build, system.processors
    ))
}

pub(super) fn boot_options(record: &Record) -> Result<String, String> {
    if record.output.to_ascii_uppercase().contains("TESTSIGNING") {
        Ok(String::new())
    } else {
        Err(
            "this boot has no test signing: bcdedit /set testsigning on, with Secure Boot off, and a reboot"
                .into(),
        )
    }
}

pub(super) fn install(record: &Record) -> Result<String, String> {
    match record.exit {
        0 => Ok(String::new()),
        // pnputil's ERROR_NO_MORE_ITEMS: the package was there, and so was the device by it. Only our device matches its INF.
        259 if has_word(&record.output, "up-to-date on device") => Ok("it was installed already".into()),
        // devcon's and pnputil's.
        1 | 3010 => Err(format!(
            "a reboot is asked for, which a fresh device does not need: {}",
            first_line(&record.output)
        )),
        _ => Err(failure(record)),
    }
}

#[derive(Deserialize)]
struct Device {
    instance: String,
    problem: i64,
    inf: Option<String>,
}

pub(super) fn device(record: &Record) -> Result<String, String> {
    let devices: Vec<Device> = json(record)?;
    match devices.as_slice() {
        [] => Err("there is no device with the hardware ID Root\\Rundown".into()),
        [device] if device.problem == 0 => Ok(format!(
            "{} by {}",
            device.instance,
            device.inf.as_deref().unwrap_or("an unknown INF")
        )),
        [device] => Err(format!("{}: {}", device.instance, problem(device.problem))),
        several => Err(format!(
            "{} devices: devcon install makes a new one each time; devcon remove Root\\Rundown removes all",
            several.len()
        )),
    }
}

pub(super) fn info(record: &Record) -> Result<String, String> {
    if record.exit != 0 {
        return Err(failure(record));
    }
    let info: Value = json(record)?;
    let [driver, system] = ["driver_version", "os_version"].map(|name| {
        let numbers = info[name].as_array().map(Vec::as_slice).unwrap_or_default();
        numbers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(".")
    });
    if driver.is_empty() || system.is_empty() {
        return Err("the answer names no versions".into());
    }
    Ok(format!(
        "driver {driver} on {system}, a wait spins by {}",
        info["spin_path"].as_str().unwrap_or("?")
    ))
}

#[derive(Deserialize)]
struct Stress {
    arm: String,
    state: String,
    acquires: u64,
    generations: u64,
    ways_out: std::collections::BTreeMap<String, u64>,
    violations: std::collections::BTreeMap<String, u64>,
    rate: u64,
}

pub(super) fn stress(record: &Record) -> Result<String, String> {
    if record.exit != 0 && record.exit != 1 {
        return Err(failure(record));
    }
    let run: Stress = json(record)?;
    let violations: u64 = run.violations.values().sum();
    if violations > 0 || record.exit == 1 {
        return Err(format!(
            "{violations} violations of run-down protection: {:?}",
            run.violations
        ));
    }
    if run.violations.is_empty() {
        return Err("the counters of violations are missing".into());
    }
    if run.state != "finished" {
        return Err(format!("the run is {}, not finished", run.state));
    }
    if run.acquires == 0 || run.generations == 0 {
        return Err("the run did nothing".into());
    }
    let waits: u64 = run.ways_out.values().sum();
    // The native routine does not tell how its wait ended.
    let expected = if run.arm == "ours" { run.generations } else { 0 };
    if waits != expected {
        return Err(format!(
            "{waits} waits were counted in {} generations of the {} arm",
            run.generations, run.arm
        ));
    }
    Ok(format!(
        "{} arm: {} generations, {} acquires a second",
        run.arm, run.generations, run.rate
    ))
}

pub(super) fn bad_request(record: &Record) -> Result<String, String> {
    // rundownctl's exit code for a refusal, and the driver's own answer to an input that is too short.
    if record.exit == 4 && record.output.to_ascii_uppercase().contains("C0000004") {
        Ok("refused with STATUS_INFO_LENGTH_MISMATCH".into())
    } else {
        Err(format!(
            "an empty request was not refused as it should be. {}",
            failure(record)
        ))
    }
}

pub(super) fn remove(record: &Record) -> Result<String, String> {
    match record.exit {
        0 => Ok(String::new()),
        1 | 3010 => Err(
            "a reboot is asked for: a handle to the device was open. Close rundownctl, and remove again"
                .into(),
        ),
        _ => Err(failure(record)),
    }
}

pub(super) fn gone(record: &Record) -> Result<String, String> {
    let devices: Vec<Device> = json(record)?;
    if devices.is_empty() {
        Ok(String::new())
    } else {
        Err(format!("{} is still there", devices[0].instance))
    }
}

pub(super) fn bugchecks(record: &Record) -> Result<String, String> {
    let events: Vec<String> = json(record)?;
    match events.first() {
        None => Ok(String::new()),
        Some(first) => Err(format!(
            "{} since the walk began, the newest: {first}",
            events.len()
        )),
    }
}

pub(super) fn verifier_set(record: &Record) -> Result<String, String> {
    // 2: done, and a reboot is needed.
    if record.exit == 0 || record.exit == 2 {
        Ok(String::new())
    } else {
        Err(failure(record))
    }
}

pub(super) fn verifier_query(record: &Record) -> Result<String, String> {
    if record.output.to_ascii_lowercase().contains("rundown.sys") {
        Ok(String::new())
    } else {
        Err(
            "Driver Verifier does not watch rundown.sys: was the machine rebooted after part verifier-on?"
                .into(),
        )
    }
}
