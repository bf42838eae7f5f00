//! How long a processor stays at `DISPATCH_LEVEL`: by the lab's count of instructions, not by the driver's.

use std::fmt::Write as _;

use rundown_abi::{
    Arm, Header, INTERFACE_GUID_TEXT, StressQuery, StressStart, StressStarted, Waiter, Workload, flags, ioctl,
};
use rundown_suite::{SUCCESS, play};
use zerocopy::IntoBytes;

use crate::{
    bounds::waiters,
    common::{arms, start},
};

/// The longest stay, microseconds (docs/threat-model.md).
const LONGEST: u64 = 100;
/// The longest hold at `DISPATCH_LEVEL`, but for one of 50 microseconds, since the driver measures the time-stamp counter's rate: on a
/// machine that counts instructions a thousand cycles are a microsecond.
const HOLD: u32 = 49_000;
/// The longest operation there, microseconds: some dozens of instructions, and those of the other processors meanwhile.
const MOMENT: u64 = 10;
/// How long a run lasts for each arm, milliseconds.
const TURNS: u32 = 4;

/// A workload's runs at each level, with holds that take no time and with the longest; or but those in which somebody is at
/// `DISPATCH_LEVEL`.
fn runs(workload: Workload, threads: u32, all: bool) -> Vec<StressStart> {
    let mut runs = Vec::new();
    for &waiter in waiters(workload) {
        let at_dispatch = workload == Workload::Dpcs || (workload.has_owner() && waiter == Waiter::Dispatch);
        if !at_dispatch && !all {
            continue;
        }
        let arms = Arm::of_set(arms(workload))
            .filter(|arm| waiter != Waiter::Dispatch || !arm.waits_below_dispatch())
            .fold(0, |set, arm| set | arm.bit());
        for hold_cycles in [HOLD, 0].into_iter().take(1 + usize::from(at_dispatch)) {
            runs.push(StressStart {
                threads,
                waiter: waiter as u32,
                hold_cycles,
                flags: flags::FORCE_NATIVE_AT_DISPATCH,
                ..start(workload, arms, TURNS * arms.count_ones())
            });
        }
    }
    runs
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Carries runs out, one after the other, on a machine with so many processors; the longest stay, and where it began.
fn longest(cpus: u32, runs: &[StressStart]) -> Option<(u64, String)> {
    let mut script = format!("open {INTERFACE_GUID_TEXT} rw\n");
    for (index, start) in runs.iter().enumerate() {
        let line = 2 + 3 * index;
        let room = size_of::<StressStarted>();
        let start_bytes = hex(start.as_bytes());
        let query = hex(Header::of::<StressQuery>().as_bytes());
        // Threads take a quantum, of up to 12 ms here, to notice that a turn is over; a stop waits for them.
        writeln!(
            script,
            "ioctl $1 {:#x} {room} {start_bytes}\nsleep {}\nioctl $1 {:#x} 0 {query}{{{line}:8-16}}",
            ioctl::STRESS_START,
            2 * start.milliseconds,
            ioctl::STRESS_STOP,
        )
        .unwrap();
    }
    script.push_str("close $1\n");
    let cpus = cpus.to_string();
    let played = play(&["--cpus", &cpus, "--seed", "1", "--mode", "counted"], &script);
    played.verdict.assert_passed();
    let refused: Vec<_> = played
        .answers
        .iter()
        .filter(|answer| *answer.1 != SUCCESS)
        .collect();
    assert!(
        refused.is_empty() && played.answers.len() == 2 * runs.len() + 2,
        "{:x?}",
        played.answers
    );
    played.verdict.dispatch_stay()
}

/// A stay's length is the instructions of all processors together, so it is too large by as much as the others had nothing to do with it.
/// Two processors are who waits and who is waited for; with a third two of them are holders.
#[test]
fn nobody_stays_at_dispatch_level_for_long() {
    for cpus in [2, 3] {
        for &workload in Workload::ALL {
            let runs = runs(workload, 2 * cpus, cpus == 2);
            if runs.is_empty() {
                continue;
            }
            let stay = longest(cpus, &runs);
            println!("{cpus} processors, {workload:?}: {stay:?}");
            match stay {
                Some((microseconds, _)) if workload.has_owner() => {
                    // Or they are not measured.
                    let least = u64::from(HOLD) / 1_000 * 9 / 10;
                    assert!(
                        (least..=LONGEST).contains(&microseconds),
                        "{cpus} processors, {workload:?}: {stay:?}"
                    );
                }
                // The reference for that level raises the IRQL for the moment of an operation; nobody else has anything to do there.
                Some((microseconds, _)) => {
                    assert!(
                        arms(workload) & Arm::OursDispatch.bit() != 0 && microseconds <= MOMENT,
                        "{cpus} processors, {workload:?}: {stay:?}"
                    );
                }
                None => assert!(!workload.has_owner(), "{workload:?} is not measured"),
            }
        }
    }
}
