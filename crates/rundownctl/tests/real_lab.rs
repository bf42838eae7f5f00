//! The client against the driver itself, in a machine of the lab: `RUNDOWN_LAB_DIR` names the folder that
//! `cargo xtask lab` fills. Without it nothing is run, and each test says so.
#![cfg(unix)]

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

/// The client's output, of a machine with two processors; `None` where there is no lab.
fn client(arguments: &[&str]) -> Option<Output> {
    let Some(folder) = env::var_os("RUNDOWN_LAB_DIR") else {
        eprintln!("NOT RUN: RUNDOWN_LAB_DIR is not set");
        return None;
    };
    // Tests run in the package's folder.
    let folder = PathBuf::from(folder)
        .canonicalize()
        .expect("the lab's folder is there");
    let target = format!(
        "lab:program={},cpus=2,seed=3",
        folder.join("rundown-lab").display()
    );
    let output = Command::new(env!("CARGO_BIN_EXE_rundownctl"))
        .args(["--target", &target])
        .args(arguments)
        .output()
        .expect("the client starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    Some(output)
}

fn json(arguments: &[&str]) -> Option<Value> {
    let output = client(arguments)?;
    Some(serde_json::from_slice(&output.stdout).expect("one JSON object"))
}

#[test]
fn a_storm_finds_no_violation() {
    let Some(run) = json(&["stress", "--json", "--threads", "2", "--duration", "300"]) else {
        return;
    };
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
    let Some(output) = client(&[&["objects"][..], &steps].concat()) else {
        return;
    };
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
fn ours_does_what_the_reference_does() {
    let Some(verdict) = json(&["conform", "--json", "--steps", "20000", "--seed", "9"]) else {
        return;
    };
    for pair in verdict["pairs"].as_array().unwrap() {
        assert_eq!(
            (&pair["steps"], &pair["differences"]),
            (&20_000.into(), &0.into()),
            "{pair}"
        );
    }
    let Some(verdict) = json(&["interop", "--json", "--rounds", "20"]) else {
        return;
    };
    for pairing in verdict["pairings"].as_array().unwrap() {
        assert_eq!(
            (&pairing["rounds"], &pairing["failed"]),
            (&20.into(), &Value::Null),
            "{pairing}"
        );
    }
}
