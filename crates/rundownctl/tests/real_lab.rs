//! The client against the driver itself, in a machine of the lab. `RUNDOWN_LAB_DIR` names the folder that
//! `cargo xtask lab` fills:
//!
//! `RUNDOWN_LAB_DIR=target/lab cargo test -p rundownctl --test real_lab -- --ignored`
#![cfg(unix)]

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

/// What the client says of a machine with two processors.
fn run(arguments: &[&str]) -> Output {
    let folder = env::var_os("RUNDOWN_LAB_DIR").expect("RUNDOWN_LAB_DIR names the lab's folder");
    // Tests run in the package's folder, and a relative path is meant from the workspace's.
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let program = root.join(folder).join("rundown-lab");
    let target = format!("lab:program={},cpus=2,seed=3", program.display());
    Command::new(env!("CARGO_BIN_EXE_rundownctl"))
        .args(["--target", &target])
        .args(arguments)
        .output()
        .expect("the client starts")
}

/// The same, of what has to succeed.
fn client(arguments: &[&str]) -> Output {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_slice(&client(arguments).stdout).expect("one JSON object")
}

#[test]
#[ignore = "needs the lab"]
fn a_storm_finds_no_violation() {
    let run = json(&["stress", "--json", "--threads", "2", "--duration", "300"]);
    assert_eq!(run["state"], "finished");
    assert!(
        run["acquires"].as_u64() > Some(0) && run["generations"].as_u64() > Some(0),
        "{run}"
    );
    assert_eq!(
        (&run["violations"]["poisoned"], &run["violations"]["inside"]),
        (&0.into(), &0.into())
    );
    assert_eq!(run["machine"]["processors"], 2);
}

#[test]
#[ignore = "needs the lab"]
fn an_object_lives_and_is_run_down() {
    let steps = [
        "create ours",
        "acquire 1 2",
        "wait 1",
        "release 1 2",
        "state 1",
        "reinit 1",
        "acquire 1",
    ];
    let output = client(&[&["objects"][..], &steps].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "1: ours, live",
            "1: acquired 2, 2 outstanding",
            "1: waiting; release its references",
            "1: released 2, 0 outstanding"
        ]
    );
    assert!(
        lines[4].starts_with("1: run down, ") && lines[4].ends_with(" us"),
        "{said}"
    );
    assert!(
        said.contains("0x0000000000000001") && said.ends_with("1: acquired 1, 1 outstanding\n"),
        "{said}"
    );
}

#[test]
#[ignore = "needs the lab"]
fn ours_does_what_the_reference_does() {
    let verdict = json(&["conform", "--json", "--steps", "20000", "--seed", "9"]);
    for pair in verdict["pairs"].as_array().unwrap() {
        assert_eq!(
            (&pair["steps"], &pair["differences"]),
            (&20_000.into(), &0.into()),
            "{pair}"
        );
    }
    let verdict = json(&["interop", "--json", "--rounds", "20"]);
    for pairing in verdict["pairings"].as_array().unwrap() {
        assert_eq!(
            (&pairing["rounds"], &pairing["failed"]),
            (&20.into(), &Value::Null),
            "{pairing}"
        );
    }
}

/// Control codes and bytes are written out, so that they also check the protocol's layout from outside. Every refusal of the
/// driver, request by request, is the suite's (`refusals.rs`); here the name of one has to reach a person.
#[test]
#[ignore = "needs the lab"]
fn a_raw_request_is_answered_or_its_ntstatus_is_named() {
    const QUERY_INFO: &str = "0x80526000";
    const STRESS_START: &str = "0x8052e040";
    // Header (size, version), arms, workload, threads 0, milliseconds, rounds, warm-up, hold, gap, waiter, spin, batch, stall,
    // flags, reserved, seed.
    let no_threads = [72, 3, 1, 1, 0, 10, 1, 0, 100, 100, 1, 0, 1, 0, 0, 0, 1, 0_u32];
    let no_threads = hex::encode(no_threads.map(u32::to_le_bytes).concat());
    let info = "0800000003000000";
    let output = client(&["raw", QUERY_INFO, info, "--out", "120"]);
    assert!(output.stdout.starts_with(b"7800000003000000"), "{output:?}");

    let refused: [(&str, &[&str]); 4] = [
        (
            "STATUS_INVALID_DEVICE_REQUEST",
            &["0x80527ffc", info, "--out", "120"],
        ),
        (
            "STATUS_INVALID_PARAMETER_3",
            &[STRESS_START, &no_threads, "--out", "16"],
        ),
        (
            "STATUS_ACCESS_DENIED",
            &[STRESS_START, &no_threads, "--out", "16", "--access", "r"],
        ),
        (
            "STATUS_ACCESS_DENIED",
            &[QUERY_INFO, info, "--out", "120", "--user"],
        ),
    ];
    for (status, arguments) in refused {
        let output = run(&[&["raw"], arguments].concat());
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let told = |line: &str| line.starts_with("rundownctl: ") && line.contains(&format!(" {status}: "));
        assert!(errors.lines().any(told), "{arguments:?}: {errors}");
    }
}
