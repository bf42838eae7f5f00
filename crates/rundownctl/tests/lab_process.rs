//! The client against a lab that is a shell script: processes, pipes and exit codes are real.
#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

struct Script(PathBuf);

impl Script {
    fn new(name: &str, body: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{name}.sh"));
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn client(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rundownctl"))
            .arg("--target")
            .arg(format!("lab:cpus=2,program={}", self.0.display()))
            .args(arguments)
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Answers every request with success and `$answer`, and `quit` too.
const POLITE: &str = r#"echo "ready 1 cpus=2"; while read id verb rest; do
    if [ $verb = ioctl ]; then echo "$id $answer"; else echo "$id 0x00000000 1"; fi
    if [ $verb = quit ]; then exit $verdict; fi
done"#;

#[test]
fn the_answer_is_printed() {
    let lab = Script::new(
        "answer",
        &format!("answer='0x00000000 cafe'; verdict=0; {POLITE}"),
    );
    let output = lab.client(&["raw", "0x80526000", "00", "--out", "2"]);
    assert_eq!(
        (output.status.code(), &text(&output.stdout)[..]),
        (Some(0), "cafe\n"),
        "{output:?}"
    );
}

#[test]
fn a_refusal_is_explained() {
    let lab = Script::new("refusal", &format!("answer='0xC0000010 -'; verdict=0; {POLITE}"));
    let output = lab.client(&["raw", "0x8052ffff"]);
    assert_eq!(output.status.code(), Some(4));
    let message = text(&output.stderr);
    assert!(
        message.contains("0xC0000010 STATUS_INVALID_DEVICE_REQUEST"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_leak_fails_a_client_that_had_its_answer() {
    let lab = Script::new("leak", &format!("answer='0x00000000 -'; verdict=1; {POLITE}"));
    assert_eq!(lab.client(&["raw", "0x80526000"]).status.code(), Some(5));
}

#[test]
fn a_bugcheck_is_told_and_has_its_exit_code() {
    let lab = Script::new(
        "bugcheck",
        "echo 'ready 1'; read x; echo 'bugcheck 0x000000d1 NAME it fell over'; exit 1",
    );
    let output = lab.client(&["raw", "0x80526000"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("it fell over"), "{output:?}");
}

#[test]
fn the_labs_own_exit_codes_are_told_apart() {
    for (name, exit, expected) in [("one", 1, 5), ("two", 2, 2), ("three", 3, 3), ("zero", 0, 6)] {
        let lab = Script::new(name, &format!("exit {exit}"));
        assert_eq!(
            lab.client(&["info"]).status.code(),
            Some(expected),
            "the lab's {exit}"
        );
    }
}

/// Files of people lie in folders of people.
#[test]
fn a_path_with_a_comma_reaches_the_lab_as_it_is() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("Müller #1 (x), b=c");
    fs::create_dir_all(&folder).unwrap();
    let lab = Script::new("comma", r#"shift; for each; do echo "<$each>" >&2; done; exit 2"#);
    let here = folder.join("lab, of mine.sh");
    fs::copy(&lab.0, &here).unwrap();
    let doubled = |path: &std::path::Path| path.display().to_string().replace(',', ",,");
    let listing = folder.join("l,, .txt");
    let output = Command::new(env!("CARGO_BIN_EXE_rundownctl"))
        .arg("--target")
        .arg(format!(
            "lab:native={},cpus=2,program={}",
            doubled(&listing),
            doubled(&here)
        ))
        .arg("info")
        .output()
        .unwrap();
    let said = text(&output.stderr);
    let given = format!("<--native>\n<{}>\n<--cpus>\n<2>\n", listing.display());
    assert!(said.starts_with(&given), "{said}");
}

#[test]
fn json_is_one_object_also_when_it_fails() {
    let lab = Script::new(
        "json",
        "echo 'ready 1'; read x; echo 'bugcheck 0x000000d1 NAME it fell over'; exit 1",
    );
    let output = lab.client(&["stress", "--json"]);
    assert_eq!(output.status.code(), Some(5));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["error"]["kind"], "driver-failed");
}
