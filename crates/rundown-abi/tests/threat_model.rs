//! The table in `docs/threat-model.md` that says why NT survives each stress run that a request can ask for, against the
//! protocol's own enumerations: an arm, a workload or a level that is added has to be argued there.

use std::{collections::BTreeMap, fs, path::Path};

use rundown_abi::{Arm, Refusal, StressStart, Waiter, Workload, flags};

/// What the page has under its heading: the cells of each row by workload and waiter, and the arguments by letter.
struct Table {
    columns: Vec<String>,
    rows: BTreeMap<(String, String), Vec<String>>,
    arguments: Vec<String>,
}

impl Table {
    fn read() -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/threat-model.md");
        let page = fs::read_to_string(page).unwrap();
        let (_, section) = page.split_once("## Why NT survives each run\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut rows = section.lines().filter(|line| line.starts_with('|')).map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>()
        });
        let columns = rows.next().unwrap().split_off(2);
        let rows = rows
            .skip(1)
            .map(|mut row| {
                let cells = row.split_off(2);
                ((row[0].clone(), row[1].clone()), cells)
            })
            .collect();
        let arguments = section
            .lines()
            .filter_map(|line| Some(line.strip_prefix("- **")?.split_once("**")?.0.to_owned()))
            .collect();
        Self {
            columns,
            rows,
            arguments,
        }
    }
}

/// What the driver says to a run of the system's arm, forced where it has to be.
fn verdict(arm: Arm, workload: Workload, waiter: Waiter) -> Result<(), Refusal> {
    let start = StressStart {
        workload: workload as u32,
        waiter: waiter as u32,
        flags: flags::FORCE_NATIVE_AT_DISPATCH,
        ..StressStart::storm(arm, 4, 1_000)
    };
    rundown_abi::parse::<StressStart>(zerocopy::IntoBytes::as_bytes(&start)).map(|_| ())
}

#[test]
fn each_run_of_the_systems_routines_is_argued() {
    let table = Table::read();
    let native: Vec<Arm> = Arm::ALL.iter().copied().filter(|arm| arm.is_native()).collect();
    let names: Vec<String> = native.iter().map(|arm| format!("{arm:?}")).collect();
    assert_eq!(table.columns, names, "a column for each arm of the system's");
    assert_eq!(table.rows.len(), Workload::ALL.len() * Waiter::ALL.len());
    let mut used = Vec::new();
    for &workload in Workload::ALL {
        for &waiter in Waiter::ALL {
            let row = &table.rows[&(format!("{workload:?}"), format!("{waiter:?}"))];
            assert_eq!(row.len(), native.len(), "{workload:?} {waiter:?}");
            for (&arm, cell) in native.iter().zip(row) {
                let what = format!("{arm:?} {workload:?} {waiter:?}: {cell}");
                if let Err(refusal) = verdict(arm, workload, waiter) {
                    assert_eq!(*cell, format!("{refusal:?}"), "{what}");
                    continue;
                }
                let arguments: Vec<&str> = cell.split_whitespace().collect();
                for argument in &arguments {
                    assert!(table.arguments.iter().any(|known| known == argument), "{what}");
                    used.push((*argument).to_owned());
                }
                let has = |argument: &str| arguments.contains(&argument);
                assert_eq!(has("owner"), workload.has_owner(), "{what}");
                assert_eq!(
                    has("forced"),
                    workload.has_owner() && waiter == Waiter::Dispatch,
                    "{what}"
                );
                assert_eq!(has("balanced"), workload != Workload::Refused, "{what}");
                let lives_through = ["never", "once"].into_iter().filter(|argument| has(argument));
                assert_eq!(
                    lives_through.count(),
                    usize::from(!workload.has_owner()),
                    "{what}"
                );
                let crossing = ["pinned", "dpc", "renewed"]
                    .into_iter()
                    .filter(|argument| has(argument));
                let needed = arm.waits_below_dispatch() && workload.has_owner();
                assert_eq!(crossing.count(), usize::from(needed), "{what}");
            }
        }
    }
    for argument in &table.arguments {
        assert!(used.contains(argument), "{argument} argues for nothing");
    }
}
