//! Each thing that must not be, alone, in a driver that only answers: it arrives in the text, the JSON, the page and the exit
//! code. The number is one that occurs nowhere else, so a counter that is left out, or shown as another, is missed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::{Value, json};

#[path = "fake/program.rs"]
mod program;

const NUMBER: u64 = 1_234_567;
const SHOWN: &str = "1 234 567";

fn fake_lab() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(program::fake_lab)
}

/// The client's output with a driver, or a lab, of which this is wrong.
fn client(wrong: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rundownctl"))
        .args(["--target", "lab"])
        .args(arguments)
        .env("RUNDOWN_LAB", fake_lab())
        .env("RUNDOWN_FAKE", wrong)
        .output()
        .expect("the client starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it writes text")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("it writes one JSON object")
}

fn page_file(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"))
}

/// Something that must not be, and where it has to show in a run's outcome.
struct Alarm {
    /// What is wrong with the driver, or the lab.
    wrong: String,
    exit_code: i32,
    /// What the run's JSON has at these places.
    json: Vec<(&'static str, Value)>,
    /// What lines of the text have in them, of whatever commands.
    lines: Vec<[&'static str; 2]>,
    /// What lines of the table of counters have in them, which a comparison does not print.
    table: Option<[&'static str; 2]>,
    /// What the page says.
    page: &'static str,
}

fn alarms() -> Vec<Alarm> {
    let zero = || json!(0);
    let counter = |wrong: &str, json, lines, table| Alarm {
        wrong: format!("{wrong}={NUMBER}"),
        exit_code: 1,
        json,
        lines,
        table,
        page: "1 234 567 violations",
    };
    let dead = |wrong: &str, why| Alarm {
        wrong: wrong.into(),
        exit_code: 5,
        json: vec![("/error/kind", json!("driver-failed"))],
        lines: Vec::new(),
        table: None,
        page: why,
    };
    let whole = ["/violations/poisoned", "/violations/inside"];
    let arm = ["/arms/0/violations/poisoned", "/arms/0/violations/inside"];
    let of_all = ["VIOLATED: storm of all arms: ", SHOWN];
    let of_arm = ["VIOLATED: storm of ours: ", SHOWN];
    vec![
        counter(
            "poisoned",
            vec![
                (whole[0], json!(NUMBER)),
                (whole[1], zero()),
                (arm[0], zero()),
                (arm[1], zero()),
            ],
            vec![
                of_all,
                ["VIOLATED", ": 1 234 567 time(s) a holder found the object gone"],
            ],
            None,
        ),
        counter(
            "inside",
            vec![
                (whole[0], zero()),
                (whole[1], json!(NUMBER)),
                (arm[0], zero()),
                (arm[1], zero()),
            ],
            vec![of_all, ["VIOLATED", ", 1 234 567 time(s) a wait returned early"]],
            None,
        ),
        counter(
            "arm-poisoned",
            vec![
                (whole[0], zero()),
                (whole[1], zero()),
                (arm[0], json!(NUMBER)),
                (arm[1], zero()),
            ],
            vec![of_arm],
            Some(["violations: poison seen", SHOWN]),
        ),
        counter(
            "arm-inside",
            vec![
                (whole[0], zero()),
                (whole[1], zero()),
                (arm[0], zero()),
                (arm[1], json!(NUMBER)),
            ],
            vec![of_arm],
            Some(["  wait returned early", SHOWN]),
        ),
        Alarm {
            json: vec![
                ("/stall/waits", json!(NUMBER)),
                ("/stall/milliseconds", json!(NUMBER + 1)),
                ("/stall/generation", json!(NUMBER + 2)),
                ("/stall/holders", json!(NUMBER + 3)),
                ("/stall/arm", json!("ours")),
                ("/stall/word", json!("waiting")),
            ],
            lines: vec![
                ["STALLED: 1 234 567 wait(s)", "1 234 568 ms"],
                ["generation 1 234 569 of ours", "holders 0x12d68a"],
            ],
            page: "1 234 567 stalled waits",
            ..counter("stall", Vec::new(), Vec::new(), None)
        },
        dead(
            "bugcheck",
            "bugcheck 0x000000d1 DRIVER_IRQL_NOT_LESS_OR_EQUAL it fell over",
        ),
        dead("leak", "the driver failed"),
    ]
}

fn assert_line(said: &str, [first, second]: [&str; 2], what: &str) {
    let found = said
        .lines()
        .any(|line| line.contains(first) && line.contains(second));
    assert!(found, "{what}: no line has {first:?} and {second:?}:\n{said}");
}

/// `stress`, `watch`, `compare` and `report` of the same driver.
#[test]
fn each_alarm_arrives_everywhere() {
    for alarm in alarms() {
        let wrong = &alarm.wrong[..];
        let page = page_file(&format!("{}.html", wrong.split('=').next().unwrap()));
        for (command, options, runs) in [
            ("stress", &["--arm", "ours"][..], ""),
            ("compare", &["--arm", "ours", "--workload", "storm"], "/runs/0"),
        ] {
            let what = format!("{command} with {wrong}");
            let output = client(
                wrong,
                &[&[command, "--json", "--report", &page], options].concat(),
            );
            assert_eq!(output.status.code(), Some(alarm.exit_code), "{what}: {output:?}");
            let value = json_of(&output);
            for (place, expected) in &alarm.json {
                let found = value.pointer(&format!("{runs}{place}"));
                assert_eq!(found, Some(expected), "{what}, {place}: {value}");
            }
            let written = fs::read_to_string(&page).unwrap();
            assert!(
                written.contains(alarm.page),
                "{what}: the page does not say {:?}",
                alarm.page
            );

            let output = client(wrong, &[&[command], options].concat());
            assert_eq!(output.status.code(), Some(alarm.exit_code), "{what}");
            let said = text(&output.stdout);
            alarm
                .lines
                .iter()
                .for_each(|line| assert_line(&said, *line, &what));
            if command == "stress" {
                alarm
                    .table
                    .iter()
                    .for_each(|line| assert_line(&said, *line, &what));
            }
            if alarm.exit_code == 5 {
                assert!(text(&output.stderr).contains("the driver failed"), "{what}");
            }
        }
        let output = client(wrong, &["watch", "--arm", "ours", "--duration", "5000"]);
        assert_eq!(output.status.code(), Some(alarm.exit_code), "watch with {wrong}");
        let said = text(&output.stdout);
        let lines = alarm.lines.iter().chain(&alarm.table);
        lines.for_each(|line| assert_line(&said, *line, wrong));
    }
}

/// A page about runs of the past tells by its exit code, too, what they found.
#[test]
fn a_page_about_a_file_has_the_exit_code_of_its_runs() {
    for alarm in alarms().iter().filter(|alarm| alarm.exit_code < 5) {
        let [file, page] = ["record.json", "record.html"].map(page_file);
        fs::write(&file, client(&alarm.wrong, &["stress", "--json"]).stdout).unwrap();
        let output = client("", &["report", &file, "--out", &page]);
        assert_eq!(output.status.code(), Some(alarm.exit_code), "{}", alarm.wrong);
        assert!(
            fs::read_to_string(&page).unwrap().contains(alarm.page),
            "{}",
            alarm.wrong
        );
    }
}

/// A violation that the protocol learns to tell of has to get its place above.
#[test]
fn there_is_no_other_violation() {
    let output = client("", &["stress", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let value = json_of(&output);
    for place in ["/violations", "/arms/0/violations"] {
        assert_eq!(
            value.pointer(place),
            Some(&json!({"poisoned": 0, "inside": 0})),
            "{place}"
        );
    }
    assert_eq!(value["stall"], Value::Null);
    for alarm in ["VIOLATED", "STALLED"] {
        assert!(!text(&client("", &["stress"]).stdout).contains(alarm));
    }
}

#[test]
fn a_difference_arrives() {
    let conform = |arguments: &[&str]| {
        client(
            "differs=9",
            &[&["conform", "--pair", "plain", "--seed", "9"], arguments].concat(),
        )
    };
    let output = conform(&["--json"]);
    let pair = json_of(&output)["pairs"][0].clone();
    assert_eq!(
        (
            output.status.code(),
            &pair["differences"],
            &pair["differing_seed"]
        ),
        (Some(1), &json!(1), &json!(9))
    );
    let step = pair["trace"][0].as_str().unwrap();
    assert!(
        step.contains("word 0x4, 2 references") && step.contains("word 0x2, 1 references"),
        "{step}"
    );
    let output = conform(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert_line(&said, ["plain: ", ", 1 differences"], "conform");
    assert_line(&said, ["DIFFERENCE with seed 9", ""], "conform");

    let output = client("fails", &["interop", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let value = json_of(&output);
    let pairings = value["pairings"].as_array().unwrap();
    assert_eq!(pairings.len(), 4);
    for pairing in pairings {
        assert_eq!(
            pairing["failed"],
            json!({"check": "word", "expected": 31, "found": 57})
        );
    }
    let output = client("fails", &["interop"]);
    assert_eq!(output.status.code(), Some(1));
    for pairing in pairings {
        let name = pairing["pairing"].as_str().unwrap();
        assert_line(&text(&output.stdout), [name, "FAILED at "], "interop");
        assert_line(&text(&output.stdout), [name, "expected 31, found 57"], "interop");
    }
    for sound in [&["conform", "--pair", "plain"][..], &["interop"]] {
        assert_eq!(client("", sound).status.code(), Some(0), "{sound:?}");
    }
}
