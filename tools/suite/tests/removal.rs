//! Removal: vetoed while somebody uses the device; by surprise, it ends what goes on.

mod common;

#[path = "common/stress.rs"]
mod stress;

use common::{Objects as _, protocol};
use rundown_abi::{
    Arm, ObjectKind, ObjectQuery, ObjectState, ObjectWaited, Refusal, StressStart, StressStarted, ioctl,
};
use rundown_suite::{Handle, Machine, SUCCESS, refusal};
use stress::Stress as _;

/// `STATUS_DEVICE_BUSY`.
const DEVICE_BUSY: u32 = 0x8000_0011;

#[test]
fn a_removal_is_vetoed_while_a_handle_is_open_and_changes_nothing() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    assert_eq!(machine.command("query-remove"), SUCCESS, "nobody uses it");
    let [first, second] = [machine.open(), machine.open()];
    let object = machine.create(first, ObjectKind::Ours);
    machine.acquire(first, object, 2).unwrap();
    let wait = machine.send::<ObjectWaited>(first, ioctl::OBJECT_WAIT, &ObjectQuery::new(object));
    machine.state_once_waiting(first, object);
    assert_eq!(machine.command("query-remove"), DEVICE_BUSY);
    let state = machine.state(first, object);
    assert_eq!(
        (state.outstanding, state.flags & ObjectState::WAIT),
        (2, ObjectState::WAIT)
    );
    assert!(!machine.is_answered(wait));
    machine.release(first, object, 2).unwrap();
    machine.answer::<ObjectWaited>(wait).unwrap();
    assert_eq!(machine.close(first), SUCCESS);
    assert_eq!(machine.command("query-remove"), DEVICE_BUSY, "one handle is left");
    assert_eq!(machine.close(second), SUCCESS);
    assert_eq!(machine.command("query-remove"), SUCCESS, "all have closed");
    let third = machine.open();
    machine.create(third, ObjectKind::Native);
    assert_eq!(machine.close(third), SUCCESS);
    machine.quit().assert_passed();
}

#[test]
fn a_surprise_ends_waits_and_refuses_what_comes_after() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handles = [machine.open(), machine.open()];
    let mut waits = Vec::new();
    let mut last = 0;
    for handle in handles {
        for &kind in ObjectKind::ALL {
            let object = machine.create(handle, kind);
            machine.acquire(handle, object, 3).unwrap();
            waits.push(machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object)));
            machine.state_once_waiting(handle, object);
            last = object;
        }
    }
    assert_eq!(machine.command("surprise-remove"), SUCCESS);
    for wait in &waits {
        assert_eq!(
            machine.answer::<ObjectWaited>(*wait).map(drop),
            Err(Refusal::Removed.status())
        );
    }
    for handle in handles {
        every_request_is_refused(&mut machine, handle, last);
    }
    assert!(machine.try_open("rw").is_err(), "the interface is gone");
    assert_eq!(machine.close(handles[0]), SUCCESS);
    // The other handle is closed by the end of the process; IRP_MN_REMOVE_DEVICE comes after it.
    machine.quit().assert_passed();
    println!("{} waits ended by a surprise", waits.len());
}

/// The device is gone: requests are told so, but for those that only ask what driver and machine are.
fn every_request_is_refused(machine: &mut Machine, handle: Handle, object: u64) {
    for (code, input, room) in protocol(object, 1) {
        let ticket = machine.send_raw(handle, code, &input, room);
        let status = machine.answer_raw(ticket).err();
        if [ioctl::QUERY_INFO, ioctl::QUERY_CODE].contains(&code) {
            assert_eq!(status, None, "{code:#x} only tells");
        } else {
            assert_eq!(status, Some(Refusal::Removed.status()), "{code:#x}");
        }
    }
}

/// A run that lasts longer than the test.
fn long(threads: u32) -> StressStart {
    StressStart::storm(Arm::Ours, threads, 600_000)
}

#[test]
fn a_surprise_ends_a_run() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let [starter, other] = [machine.open(), machine.open()];
    let run = machine.start(starter, &long(4)).unwrap();
    while machine.result(starter, run).unwrap().generations == 0 {}
    assert!(machine.held().threads > 0);
    assert_eq!(machine.command("surprise-remove"), SUCCESS);
    assert_eq!(machine.held().threads, 0, "its threads are gone with the device");
    for handle in [starter, other] {
        every_request_is_refused(&mut machine, handle, 1);
    }
    assert_eq!(machine.held().threads, 0, "nothing was started");
    machine.quit().assert_passed();
}

/// Starts that are under way when the device goes, before it and behind it.
#[test]
fn a_start_races_with_a_surprise() {
    const BOOTS: u32 = 12;
    let mut count = [0; 2];
    for boot in 1..=BOOTS {
        let seed = boot.to_string();
        let mut machine = Machine::boot(&["--cpus", "2", "--mode", "chaos", "--seed", &seed]);
        let handles = [machine.open(), machine.open(), machine.open()];
        let start_all = |machine: &mut Machine, number| {
            handles.map(|handle| {
                let start = StressStart {
                    seed: number,
                    ..long(2)
                };
                (
                    handle,
                    machine.send::<StressStarted>(handle, ioctl::STRESS_START, &start),
                )
            })
        };
        let before = (0..boot % 4)
            .map(|number| start_all(&mut machine, number.into()))
            .collect::<Vec<_>>();
        let surprise = machine.send_command("surprise-remove");
        let behind = (0..6)
            .map(|number| start_all(&mut machine, number))
            .collect::<Vec<_>>();
        assert_eq!(machine.answer_raw(surprise), Ok(Vec::new()));
        for (handle, ticket) in before.into_iter().chain(behind).flatten() {
            match machine.answer::<StressStarted>(ticket).map_err(refusal) {
                Ok(_) => count[0] += 1,
                Err(Refusal::Removed) => count[1] += 1,
                Err(Refusal::Busy) => {}
                Err(other) => panic!("{handle:?}: {other:?}"),
            }
        }
        assert_eq!(
            machine.held().threads,
            0,
            "boot {boot}: a run outlived the device"
        );
        machine.quit().assert_passed();
    }
    let [started, removed] = count;
    assert!(started > 0 && removed > 0, "{count:?}");
    println!("{started} runs started before the surprise and ended by it, {removed} starts refused");
}

/// A handle is closed under its run, and another one starts the next as soon as it may: that one is not the close's to end.
#[test]
fn a_close_ends_no_run_but_its_own() {
    const ATTEMPTS: u32 = 60;
    let mut machine = Machine::boot(&["--cpus", "2", "--mode", "chaos", "--seed", "1"]);
    let other = machine.open();
    let mut started = 0;
    for _ in 0..ATTEMPTS {
        let first = machine.open();
        machine.start(first, &long(1)).unwrap();
        let close = machine.send_close(first);
        let starts: Vec<_> = (0..12)
            .map(|_| machine.send::<StressStarted>(other, ioctl::STRESS_START, &long(1)))
            .collect();
        assert_eq!(machine.answer_raw(close), Ok(Vec::new()));
        for start in starts {
            match machine.answer::<StressStarted>(start).map_err(refusal) {
                Ok(answer) => {
                    let result = machine.result(other, answer.run);
                    assert!(result.is_ok(), "run {}: {result:?}", answer.run);
                    machine.stop(other, answer.run).unwrap();
                    started += 1;
                }
                Err(refusal) => assert_eq!(refusal, Refusal::Busy),
            }
        }
    }
    machine.quit().assert_passed();
    assert!(started > 0);
    println!("{started} runs started behind {ATTEMPTS} closes");
}
