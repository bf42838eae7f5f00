//! Removal: vetoed while somebody uses the device; by surprise, it ends what goes on.

mod common;

use common::Objects as _;
use rundown_abi::{
    ConformanceResult, ConformanceRun, Info, InfoRequest, InteropResult, InteropRun, ObjectCreate,
    ObjectCreated, ObjectKind, ObjectQuery, ObjectState, ObjectWaited, Pair, Pairing, Refusal, ioctl,
};
use rundown_suite::{Machine, SUCCESS};

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
        let query = ObjectQuery::new(last);
        let create = ObjectCreate::new(ObjectKind::Ours, false);
        let refused = [
            machine
                .ask::<ObjectCreated>(handle, ioctl::OBJECT_CREATE, &create)
                .map(drop),
            machine
                .ask::<ObjectState>(handle, ioctl::OBJECT_STATE, &query)
                .map(drop),
            machine.release(handle, last, 1).map(drop),
            machine.wait_to_end(handle, last).map(drop),
            machine
                .ask::<ConformanceResult>(
                    handle,
                    ioctl::CONFORMANCE_RUN,
                    &ConformanceRun::new(Pair::Plain, 1, 1),
                )
                .map(drop),
            machine
                .ask::<InteropResult>(
                    handle,
                    ioctl::INTEROP_RUN,
                    &InteropRun::new(Pairing::OursAcquiresNativeReleases, 1, 1),
                )
                .map(drop),
        ];
        assert!(
            refused.iter().all(|refusal| *refusal == Err(Refusal::Removed)),
            "{refused:?}"
        );
        // What only tells is told.
        machine
            .ask::<Info>(handle, ioctl::QUERY_INFO, &InfoRequest::new())
            .unwrap();
    }
    assert!(machine.try_open("rw").is_err(), "the interface is gone");
    assert_eq!(machine.close(handles[0]), SUCCESS);
    // The other handle is closed by the end of the process; IRP_MN_REMOVE_DEVICE comes after it.
    machine.quit().assert_passed();
    println!("{} waits ended by a surprise", waits.len());
}
