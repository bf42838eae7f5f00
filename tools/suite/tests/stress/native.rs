//! The system's routines survive whatever a request can ask for: each arm of theirs under each workload, level and flag.
//! docs/threat-model.md argues why, row by row. `RUNDOWN_NATIVE_MILLISECONDS` makes each run longer.

use std::env;

use rundown_abi::{Arm, Limits, RunState, StressStart, Workload, flags};
use rundown_suite::Machine;

use crate::{
    bounds::waiters,
    common::{Stress as _, assert_sound, start},
};

/// What a request can ask of the system's routines. Holds and gaps are short: most happens between two generations.
fn requests(milliseconds: u32) -> Vec<StressStart> {
    let mut requests = Vec::new();
    for &arm in Arm::ALL.iter().filter(|arm| arm.is_native()) {
        for &workload in Workload::ALL {
            for &waiter in waiters(workload) {
                for sharing in [0, flags::FALSE_SHARING] {
                    requests.push(StressStart {
                        threads: 4,
                        hold_cycles: 0,
                        gap_cycles: 500,
                        waiter: waiter as u32,
                        flags: flags::FORCE_NATIVE_AT_DISPATCH | sharing,
                        seed: requests.len() as u64,
                        ..start(workload, arm.bit(), milliseconds)
                    });
                }
            }
        }
    }
    requests.retain(|start| start.check_against(&Limits::DEFAULT).is_ok());
    requests
}

#[test]
fn the_system_survives_every_request() {
    let milliseconds = env::var("RUNDOWN_NATIVE_MILLISECONDS")
        .map_or(200, |text| text.parse().expect("a number of milliseconds"));
    let requests = requests(milliseconds);
    let seconds = u64::from(milliseconds) * requests.len() as u64 * 3 / 1_000;
    let timeout = (seconds + 300).to_string();
    let mut machine = Machine::boot(&[
        "--cpus",
        "4",
        "--mode",
        "chaos",
        "--seed",
        "5",
        "--timeout",
        &timeout,
    ]);
    let handle = machine.open();
    for start in requests {
        let result = machine.run_to_end(handle, &start);
        println!(
            "arms {}, workload {}, waiter {}, flags {}: {} acquires, {} refused, {} generations",
            start.arms,
            start.workload,
            start.waiter,
            start.flags,
            result.acquires,
            result.refused,
            result.generations
        );
        assert_sound(&format!("{start:?}"), result.violations);
        assert_eq!(
            RunState::from_wire(result.state),
            Some(RunState::Finished),
            "{start:?}"
        );
    }
    machine.quit().assert_passed();
}
