use std::collections::BTreeSet;

use serde_json::json;

use super::{PARTS, Report, Verdict, parse, text};

const SCRIPT: &str = include_str!("../../../../scripts/walk.ps1");

fn stress(arm: &str, ways_out: u64, violations: u64) -> String {
    json!({
        "arm": arm, "state": "finished", "acquires": 1000, "generations": 10, "rate": 5000,
        "ways_out": {"drained": ways_out, "event": 0}, "violations": {"poisoned": 0, "inside": violations},
    })
    .to_string()
}

/// What a good machine records.
fn good(step: &str) -> (i64, String) {
    let device = r#"[{"instance":"ROOT\\RUNDOWN\\0000","problem":0,"inf":"oem3.inf"}]"#;
    match step {
        "system" => (
            0,
            r#"{"caption":"Windows 11 Pro","build":26100,"secure_boot":false,"processors":4}"#.into(),
        ),
        "boot-options" => (0, " TESTSIGNING NOEXECUTE=OPTIN".into()),
        "device" => (0, device.into()),
        "info" => (
            0,
            r#"{"driver_version":[0,1,0],"os_version":[10,0,26100],"spin_path":"pause"}"#.into(),
        ),
        "stress-ours" | "stress-dispatch" => (0, stress("ours", 10, 0)),
        "stress-native" => (0, stress("native", 0, 0)),
        "bad-request" => (
            4,
            "rundownctl: the request was refused with STATUS_INFO_LENGTH_MISMATCH (0xC0000004)".into(),
        ),
        "gone" | "bugchecks" => (0, "[]".into()),
        "verifier-set" => (2, "The system must be restarted".into()),
        "verifier-query" => (0, "MODULE: rundown.sys (load: 1 / unload: 0)".into()),
        _ => (0, String::new()),
    }
}

/// A walk in which one step of one part went otherwise.
fn walk(other: Option<(&str, &str, i64, &str)>) -> Report {
    let mut lines = String::new();
    for part in PARTS {
        lines += &json!({"walk": 1, "part": part.name, "time": "now"}).to_string();
        lines += "\n";
        for (step, _) in part.steps {
            let (exit, output) = match other {
                Some((in_part, name, exit, output)) if in_part == part.name && name == *step => {
                    (exit, output.into())
                }
                _ => good(step),
            };
            lines += &json!({"step": step, "command": "x", "exit": exit, "seconds": 0.5, "output": output})
                .to_string();
            lines += "\n";
        }
    }
    parse(&lines).unwrap()
}

fn why(step: &str, exit: i64, output: &str) -> String {
    let part = PARTS
        .iter()
        .find(|part| part.steps.iter().any(|(name, _)| *name == step))
        .unwrap()
        .name;
    let report = walk(Some((part, step, exit, output)));
    let failed: Vec<_> = report
        .steps
        .iter()
        .filter(|step| !matches!(step.verdict, Verdict::Passed(_)))
        .collect();
    assert_eq!(failed.len(), 1, "{report}");
    assert_eq!((failed[0].part, failed[0].name), (part, step));
    match &failed[0].verdict {
        Verdict::Failed(why) => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_walk_passes() {
    let report = walk(None);
    assert!(report.passed(), "{report}");
    assert!(
        report
            .to_string()
            .ends_with(&format!("{} passed, 0 failed, 0 missing", report.steps.len()))
    );
}

#[test]
fn each_known_failure_is_explained() {
    let system = r#"{"caption":"Windows 10","build":18363,"secure_boot":null,"processors":2}"#;
    assert!(why("system", 0, system).contains("19041"));
    let system = r#"{"caption":"Windows 11","build":26100,"secure_boot":true,"processors":2}"#;
    assert!(why("system", 0, system).contains("Secure Boot"));
    assert!(why("boot-options", 0, "NOEXECUTE=OPTIN").contains("test signing"));
    assert!(why("install", 2, "devcon.exe failed. 0xE0000247").contains("two stores"));
    assert!(why("install", 2, "devcon.exe failed.").contains("exit code 2"));
    assert!(why("install", 1, "reboot").contains("reboot"));
    for (code, word) in [(10, "refused to start"), (39, "imports"), (52, "signature")] {
        let device = format!(r#"[{{"instance":"ROOT\\RUNDOWN\\0000","problem":{code},"inf":null}}]"#);
        assert!(why("device", 0, &device).contains(word), "{code}");
    }
    assert!(why("device", 0, "[]").contains("no device"));
    assert!(why("remove", 1, "reboot").contains("handle"));
    assert!(why("info", 3, "no device").contains("exit code 3"));
    assert!(why("info", 0, "{}").contains("versions"));
    assert!(why("verifier-query", 0, "No drivers").contains("rebooted"));
    assert!(
        why(
            "gone",
            0,
            r#"[{"instance":"ROOT\\RUNDOWN\\0000","problem":0,"inf":null}]"#
        )
        .contains("still there")
    );
    assert!(why("bugchecks", 0, r#"["0x00000139"]"#).contains("0x00000139"));
    assert!(why("bad-request", 0, "00").contains("not refused"));
    assert!(why("certificate-root", 1, "x 0x800B0109").contains("trusted roots"));
}

/// Numbers and signs stand for themselves, not where they are a part of something else.
#[test]
fn a_failure_is_explained_by_whole_words() {
    for (output, says) in [
        (
            "rundownctl: C:\\oem577\\out.json: There is not enough space on the disk",
            None,
        ),
        ("577 files, error 0x2410, oem_577", Some("test signing")),
        ("error 0x2410 in oem_577.inf", None),
        ("error (577).", Some("test signing")),
        ("Failed: 0x241", Some("test signing")),
        ("0xe0000247", Some("two stores")),
        ("GetLastError=-536870329", Some("two stores")),
        (
            "The third-party INF does not contain digital signature information.",
            Some("no catalogue"),
        ),
        ("GetLastError=-536870353", Some("no catalogue")),
    ] {
        let said = why("install", 7, output);
        let explained = said.split_once("; ").map(|(_, meaning)| meaning);
        match says {
            None => assert_eq!(explained, None, "{said}"),
            Some(words) => assert!(explained.unwrap().contains(words), "{said}"),
        }
    }
}

#[test]
fn the_line_that_is_shown_is_the_reason() {
    let pnputil = "Microsoft PnP Utility\r\n\r\nAdding driver package:  rundown.inf\r\n\
                   Failed to add driver package: A file could not be verified.\r\n\r\nTotal driver packages:  1\r\n";
    assert!(why("install", 1627, pnputil).starts_with("exit code 1627: Failed to add driver package"));
    let devcon = "Device node created. Install is complete when drivers are installed...\n\
                  Updating drivers for Root\\Rundown from C:\\x\\rundown.inf.\ndevcon.exe failed.\n";
    assert!(why("install", 2, devcon).starts_with("exit code 2: devcon.exe failed."));
    assert!(why("install", 5, "Microsoft PnP Utility\n").starts_with("exit code 5: Microsoft PnP Utility"));
}

#[test]
fn a_package_that_was_installed_before_is_no_failure() {
    let again = "Microsoft PnP Utility\n\nAdding driver package:  rundown.inf\n\
                 Driver package added successfully. (Already exists in the system)\nPublished Name:         oem10.inf\n\
                 Driver package is up-to-date on device: ROOT\\RUNDOWN\\0000\n";
    let part = PARTS
        .iter()
        .find(|part| part.steps.iter().any(|(name, _)| *name == "install"));
    assert!(walk(Some((part.unwrap().name, "install", 259, again))).passed());
    let elsewhere = again.replace("up-to-date on device", "installed on no device");
    assert!(why("install", 259, &elsewhere).starts_with("exit code 259"));
}

#[test]
fn a_stress_run_has_to_have_done_something_and_to_add_up() {
    assert!(why("stress-ours", 1, &stress("ours", 10, 1)).contains("1 violations"));
    assert!(why("stress-ours", 0, &stress("ours", 9, 0)).contains("9 waits"));
    assert!(why("stress-native", 0, &stress("native", 1, 0)).contains("1 waits"));
    assert!(
        why(
            "stress-ours",
            0,
            &stress("ours", 10, 0).replace("finished", "running")
        )
        .contains("not finished")
    );
    assert!(why("stress-ours", 0, &stress("ours", 10, 0).replace("1000", "0")).contains("did nothing"));
    assert!(why("stress-ours", 0, "garbage").contains("no JSON"));
    assert!(why("stress-ours", 5, "the driver failed").contains("exit code 5"));
}

#[test]
fn what_was_not_walked_is_missing() {
    let report = parse("{\"walk\":1,\"part\":\"prepare\",\"time\":\"\"}\n").unwrap();
    assert!(!report.passed());
    assert!(
        report
            .steps
            .iter()
            .all(|step| step.verdict == Verdict::Missing && step.part != "restore")
    );
}

#[test]
fn a_step_that_is_walked_again_counts_by_its_last_time() {
    let part = "{\"walk\":1,\"part\":\"prepare\",\"time\":\"\"}\n";
    let step = |exit| format!("{{\"step\":\"test-signing\",\"exit\":{exit}}}\n");
    let verdict = |text: String| parse(&text).unwrap().steps[3].verdict.clone();
    assert!(matches!(
        verdict([part, &step(1), part, &step(0)].concat()),
        Verdict::Passed(_)
    ));
    assert!(matches!(
        verdict([part, &step(0), &step(1)].concat()),
        Verdict::Failed(_)
    ));
}

#[test]
fn a_file_that_is_no_walk_is_refused() {
    for (file, what) in [
        ("", "empty"),
        ("hello\n", "line 1"),
        ("{\"step\":\"info\",\"exit\":0}\n", "before any part"),
        ("{\"walk\":2,\"part\":\"plain\"}\n", "version 2"),
        ("{\"walk\":1,\"part\":\"other\"}\n", "no part other"),
        (
            "{\"walk\":1,\"part\":\"plain\"}\n{\"step\":\"other\",\"exit\":0}\n",
            "no step other",
        ),
    ] {
        let error = parse(file).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn windows_encodings_are_read() {
    let marked = "\u{feff}ä{}";
    let wide = |unit: fn(u16) -> [u8; 2]| marked.encode_utf16().flat_map(unit).collect();
    let encodings: [Vec<u8>; 3] = [marked.into(), wide(u16::to_le_bytes), wide(u16::to_be_bytes)];
    for bytes in encodings {
        assert_eq!(text(&bytes), "ä{}", "{bytes:x?}");
    }
}

/// The names behind `keyword '...'` in the script.
fn names(keyword: &str) -> BTreeSet<String> {
    let marks = SCRIPT
        .lines()
        .filter_map(|line| line.trim().strip_prefix(keyword)?.trim().strip_prefix('\''));
    marks
        .filter_map(|rest| Some(rest.split_once('\'')?.0.to_owned()))
        .collect()
}

#[test]
fn the_script_walks_exactly_the_steps_that_are_judged() {
    let steps: BTreeSet<String> = PARTS
        .iter()
        .flat_map(|part| part.steps.iter().map(|(name, _)| (*name).to_owned()))
        .collect();
    let walked: BTreeSet<String> = ["Step", "Record", "Invoke-Stress"]
        .into_iter()
        .flat_map(names)
        .collect();
    assert_eq!(walked, steps);
    let parts: BTreeSet<String> = PARTS.iter().map(|part| part.name.to_owned()).collect();
    assert_eq!(names("Part"), parts);
}
