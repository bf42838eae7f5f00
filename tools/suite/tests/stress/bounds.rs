//! How long a run may last: as long as was asked for, and what its threads need to notice that a turn is over.

use std::time::{Duration, Instant};

use rundown_abi::{Arm, StressStart, Waiter, Workload, flags};
use rundown_suite::{Handle, Machine};

use crate::common::{Stress as _, assert_sound, start};

/// More than 40 passes of 64 threads over two processors take (docs/threat-model.md: one per turn), also on a host that is busy with
/// other machines. Holders that waited for each other took half a minute.
const MARGIN: Duration = Duration::from_secs(8);

/// The levels that make a difference to a workload.
pub(crate) fn waiters(workload: Workload) -> &'static [Waiter] {
    if workload.has_owner() {
        Waiter::ALL
    } else {
        &[Waiter::Passive]
    }
}

/// Every workload at every level with as many threads as a request may ask for; how long each lasted beyond its duration.
fn overtimes(machine: &mut Machine, handle: Handle) -> Vec<(String, Duration)> {
    let limits = machine.info(handle).limits;
    let mut overtimes = Vec::new();
    for &workload in Workload::ALL {
        for &waiter in waiters(workload) {
            let start = StressStart {
                threads: limits.threads,
                // Each turn has an end to be late at.
                rounds: 10,
                waiter: waiter as u32,
                flags: flags::FORCE_NATIVE_AT_DISPATCH,
                ..start(workload, Arm::Ours.bit() | Arm::Native.bit(), 400)
            };
            let holds = if workload == Workload::Dpcs || (workload.has_owner() && waiter == Waiter::Dispatch)
            {
                limits.dispatch_hold_cycles
            } else {
                limits.hold_cycles
            };
            // As the other tests have them, and as long as they may be but for a hundredth: the driver measures the time-stamp counter's
            // rate anew for each run, and its limits in cycles move with it.
            let longest = holds - holds / 100;
            for (hold_cycles, gap_cycles) in [
                (start.hold_cycles, start.gap_cycles),
                (longest, limits.gap_cycles),
            ] {
                let start = StressStart {
                    hold_cycles,
                    gap_cycles,
                    ..start
                };
                let what = format!("{workload:?}, {waiter:?}, holds {hold_cycles}, gaps {gap_cycles}");
                let begin = Instant::now();
                let result = machine.run_to_end(handle, &start);
                let elapsed = begin.elapsed();
                let told = Duration::from_micros(result.microseconds);
                println!("{what}: {elapsed:?}, by the driver {told:?}");
                assert_sound(&what, result.violations);
                assert_eq!(result.turns_done, result.turns, "{what}");
                overtimes.push((
                    what,
                    elapsed.saturating_sub(Duration::from_millis(start.milliseconds.into())),
                ));
            }
        }
    }
    overtimes
}

#[test]
fn a_run_with_all_threads_on_two_processors_ends_on_time() {
    let mut machine = Machine::boot(&["--cpus", "2", "--seed", "11"]);
    let handle = machine.open();
    let late: Vec<_> = overtimes(&mut machine, handle)
        .into_iter()
        .filter(|(_, overtime)| *overtime > MARGIN)
        .collect();
    assert!(late.is_empty(), "beyond their duration by: {late:?}");
    machine.quit().assert_passed();
}
