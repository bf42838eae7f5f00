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

/// The client's output, of a machine with two processors.
fn client(arguments: &[&str]) -> Output {
    let folder = env::var_os("RUNDOWN_LAB_DIR").expect("RUNDOWN_LAB_DIR names the lab's folder");
    // Tests run in the package's folder, and a relative path is meant from the workspace's.
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let program = root.join(folder).join("rundown-lab");
    let target = format!("lab:program={},cpus=2,seed=3", program.display());
    let output = Command::new(env!("CARGO_BIN_EXE_rundownctl"))
        .args(["--target", &target])
        .args(arguments)
        .output()
        .expect("the client starts");
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
