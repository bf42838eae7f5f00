//! Events for ETW: what the driver writes, read from the lab's log, beside what it answers.

#[path = "common/stress.rs"]
mod common;

use std::{collections::HashMap, fs, path::Path};

use common::{Stress as _, start};
use rundown_abi::{
    Arm, ConformanceResult, ConformanceRun, InteropResult, InteropRun, Pair, Pairing, RunState, StressQuery,
    StressResult, StressStart, Workload, ioctl,
};
use rundown_suite::Machine;

const PROVIDER: &str = "Rundown.Driver";

/// An event as the lab's log has it.
struct Event {
    guid: String,
    provider: String,
    name: String,
    fields: HashMap<String, u64>,
}

impl Event {
    fn all(log: &Path) -> Vec<Self> {
        let log = fs::read_to_string(log).expect("the lab writes its log");
        log.lines()
            .filter_map(|line| line.strip_prefix("etw: "))
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let [guid, provider, name, fields @ ..] = &words[..] else {
                    panic!("{line}")
                };
                let field = |field: &&str| {
                    let (name, value) = field.split_once('=')?;
                    Some((name.to_owned(), value.parse().ok()?))
                };
                Self {
                    guid: (*guid).to_owned(),
                    provider: (*provider).to_owned(),
                    name: (*name).to_owned(),
                    fields: fields
                        .iter()
                        .map(|word| field(word).unwrap_or_else(|| panic!("{line}: {word}")))
                        .collect(),
                }
            })
            .collect()
    }

    fn field(&self, name: &str) -> u64 {
        *self
            .fields
            .get(name)
            .unwrap_or_else(|| panic!("{} has no {name}: {:?}", self.name, self.fields))
    }
}

/// docs/events.md has the provider, and a row for the event with its fields.
fn assert_documented(event: &Event) {
    let page = include_str!("../../../docs/events.md");
    assert_eq!(event.provider, PROVIDER);
    assert!(
        page.contains(PROVIDER) && page.contains(&event.guid),
        "{}",
        event.guid
    );
    let row = page
        .lines()
        .find(|line| line.starts_with(&format!("| `{}` ", event.name)))
        .unwrap_or_else(|| panic!("docs/events.md has no {}", event.name));
    for field in event.fields.keys() {
        assert!(
            row.contains(&format!("`{field}`")),
            "docs/events.md has no {field} of {}",
            event.name
        );
    }
}

/// What a `RunFinished` has to say of a run that was answered so.
fn assert_finished(event: &Event, answer: &StressResult) {
    let ways = &answer.ways_out;
    let expected = [
        ("Run", answer.run),
        ("TurnsDone", answer.turns_done.into()),
        ("Turns", answer.turns.into()),
        ("Acquires", answer.acquires),
        ("Refused", answer.refused),
        ("Generations", answer.generations),
        ("Contested", answer.contested),
        ("Drained", ways.drained),
        ("Mwaitx", ways.mwaitx),
        ("Pause", ways.pause),
        ("Dispatch", ways.dispatch),
        ("Event", ways.event),
        ("Late", ways.late),
        ("Poisoned", answer.violations.poisoned),
        ("Inside", answer.violations.inside),
        ("Stalls", answer.stall.waits),
    ];
    for (field, value) in expected {
        assert_eq!(event.field(field), value, "{field}: {answer:?}");
    }
    // Besides the time, it has no other fields.
    assert!(event.field("Microseconds") > 0);
    assert_eq!(event.fields.len(), expected.len() + 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "field by field")]
fn every_run_and_every_comparison_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut machine = Machine::boot(&["--cpus", "2", "--seed", "5", "--log", log.to_str().unwrap()]);
    let handle = machine.open();

    let both = Arm::Ours.bit() | Arm::Native.bit();
    let whole = StressStart {
        rounds: 2,
        seed: 0x1234_5678_9ABC_DEF0,
        spin_cycles: 4_321,
        ..start(Workload::Storm, both, 400)
    };
    let whole_run = machine.run_to_end(handle, &whole);
    // Stopped in its first turn, with a wait that stalls.
    let hold = machine.info(handle).limits.hold_cycles;
    let unending = StressStart {
        threads: 1,
        hold_cycles: hold,
        stall_milliseconds: 1,
        ..start(Workload::Storm, Arm::Ours.bit(), 600_000)
    };
    let run = machine.start(handle, &unending).unwrap();
    while machine.result(handle, run).unwrap().stall.waits == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    machine.stop(handle, run).unwrap();
    let stopped = machine.result(handle, run).unwrap();
    assert_eq!(RunState::from_wire(stopped.state), Some(RunState::Stopped));

    let conformance = ConformanceRun::new(Pair::CacheAware, 1_000, 77);
    let compared: ConformanceResult = machine.ask(handle, ioctl::CONFORMANCE_RUN, &conformance).unwrap();
    let interop = InteropRun::new(Pairing::NativeWaitsOursReleases, 10, 78);
    let shared: InteropResult = machine.ask(handle, ioctl::INTEROP_RUN, &interop).unwrap();
    // What is refused is not told.
    machine
        .ask::<StressResult>(handle, ioctl::STRESS_RESULT, &StressQuery::new(99))
        .unwrap_err();
    let verdict = machine.quit();
    verdict.assert_passed();

    let events = Event::all(&log);
    events.iter().for_each(assert_documented);
    let of = |name: &str| {
        let named: Vec<&Event> = events.iter().filter(|event| event.name == name).collect();
        assert_eq!(
            verdict.events(PROVIDER, name),
            named.len() as u64,
            "the report's {name}"
        );
        named
    };

    let [first, second] = of("RunStarted")[..] else {
        panic!("two runs")
    };
    for (event, run, start, spin) in [
        (first, whole_run.run, &whole, 4_321),
        (second, run, &unending, 10_240),
    ] {
        for (field, value) in [
            ("Run", run),
            ("Arms", start.arms.into()),
            ("Workload", start.workload.into()),
            ("Threads", start.threads.into()),
            ("Waiter", start.waiter.into()),
            ("Milliseconds", start.milliseconds.into()),
            ("Rounds", start.rounds.into()),
            ("Seed", start.seed),
            ("SpinCycles", spin),
        ] {
            assert_eq!(event.field(field), value, "{field}");
        }
    }
    let [first, second] = of("RunFinished")[..] else {
        panic!("two runs")
    };
    assert_finished(first, &whole_run);
    assert_finished(second, &stopped);

    let turns = of("TurnFinished");
    let of_run = |run| turns.iter().filter(move |turn| turn.field("Run") == run);
    let numbers: Vec<u64> = of_run(whole_run.run).map(|turn| turn.field("Turn")).collect();
    assert_eq!(numbers, (0..whole_run.turns.into()).collect::<Vec<u64>>());
    // The last turns of the arms have their sums.
    let last = of_run(whole_run.run).rev().take(2);
    let acquires: u64 = last.map(|turn| turn.field("Acquires")).sum();
    assert_eq!(acquires, whole_run.acquires);
    assert_eq!(of_run(run).count(), 1, "a turn that was cut short ends too");

    let stalls = of("WaitStalled");
    assert_eq!(stalls.len() as u64, stopped.stall.waits);
    for stall in stalls {
        assert_eq!(stall.field("Run"), run);
        assert_eq!(stall.field("Arm"), Arm::Ours as u64);
        assert!(stall.field("Milliseconds") >= 1 && stall.field("Holders") <= 1);
    }
    let [ended] = of("ConformanceEnded")[..] else {
        panic!("one comparison")
    };
    for (field, value) in [
        ("Pair", conformance.pair.into()),
        ("Seed", 77),
        ("Steps", compared.steps),
        ("Differences", 0),
    ] {
        assert_eq!(ended.field(field), value, "{field}");
    }
    let [ended] = of("InteropEnded")[..] else {
        panic!("one comparison")
    };
    for (field, value) in [
        ("Pairing", interop.pairing.into()),
        ("Seed", 78),
        ("Rounds", 10),
        ("Checks", shared.checks),
        ("Differences", 0),
    ] {
        assert_eq!(ended.field(field), value, "{field}");
    }
}
