//! A minute of everything at once; `RUNDOWN_SOAK_SECONDS` makes it longer.

#[path = "common/stress.rs"]
mod common;

use std::env;

use common::{Stress as _, arms, assert_sound, start};
use rundown_abi::{StressStart, Workload};
use rundown_suite::Machine;

/// Holds that are spread across the spin budget of 10240 cycles, so that each way out occurs.
const ACROSS_THE_BUDGET: u32 = 20_000;

#[test]
fn a_minute_of_every_workload_with_an_owner() {
    let seconds: u32 =
        env::var("RUNDOWN_SOAK_SECONDS").map_or(60, |text| text.parse().expect("a number of seconds"));
    let mut machine = Machine::boot(&[
        "--cpus",
        "4",
        "--seed",
        "1",
        "--timeout",
        &(seconds * 3 + 60).to_string(),
    ]);
    let handle = machine.open();
    let workloads: Vec<Workload> = Workload::ALL
        .iter()
        .copied()
        .filter(|workload| workload.has_owner())
        .collect();
    for &workload in &workloads {
        let share = seconds * 1_000 / u32::try_from(workloads.len()).unwrap();
        let result = machine.run_to_end(
            handle,
            &StressStart {
                threads: 5,
                hold_cycles: ACROSS_THE_BUDGET,
                rounds: 2,
                ..start(workload, arms(workload), share)
            },
        );
        println!(
            "{workload:?}: {} acquires, {} refused, {} generations, {:?}",
            result.acquires, result.refused, result.generations, result.ways_out
        );
        assert_sound("soak", result.violations);
        assert_eq!(result.stall.waits, 0, "{:?}", result.stall);
        assert!(result.acquires > 0 && result.refused > 0 && result.generations > 0);
        assert_eq!(result.turns_done, result.turns);
    }
    machine.quit().assert_passed();
}
