//! Objects: every request, every kind, every refusal; waits that pend.

mod common;

use common::Objects as _;
use rundown_abi::{
    ObjectCounted, ObjectCreate, ObjectCreated, ObjectKind, ObjectLimits, ObjectLimitsRequest, ObjectPhase,
    ObjectQuery, ObjectRelease, ObjectState, ObjectWaited, Refusal, WaitEnd, ioctl, limits,
};
use rundown_suite::{CANCELLED, INVALID_HANDLE, Machine, SUCCESS};

const NATIVE: [ObjectKind; 2] = [ObjectKind::Native, ObjectKind::NativeCacheAware];

#[test]
fn a_life_of_every_kind() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let mut numbers = Vec::new();
    for &kind in ObjectKind::ALL {
        let object = machine.create(handle, kind);
        numbers.push(object);
        assert_eq!(machine.acquire(handle, object, 1), Ok((true, 1)), "{kind:?}");
        assert_eq!(machine.acquire(handle, object, 5), Ok((true, 6)), "{kind:?}");
        assert_eq!(machine.acquire(handle, object, 0), Ok((true, 6)), "{kind:?}");
        let state = machine.state(handle, object);
        assert_eq!(ObjectPhase::from_wire(state.phase), Some(ObjectPhase::Live));
        assert_eq!(
            (state.outstanding, state.decoded, state.flags),
            (6, 6, 0),
            "{kind:?}"
        );
        let words = match kind {
            ObjectKind::Ours | ObjectKind::Native => 1,
            // Two words; or one for each of two processors.
            ObjectKind::OursWide | ObjectKind::OursCacheAware | ObjectKind::NativeCacheAware => 2,
        };
        assert_eq!(state.word_count, words, "{kind:?}");
        let sum = state
            .words
            .iter()
            .fold(0_u64, |sum, word| sum.wrapping_add(*word));
        assert_eq!(sum, 12, "{kind:?}: {:x?}", &state.words[..2]);
        assert_eq!(machine.release(handle, object, 4), Ok(2));
        assert_eq!(machine.release(handle, object, 1), Ok(1));
        assert_eq!(machine.release(handle, object, 1), Ok(0));

        // Run down with nobody inside.
        let waited = machine.wait_to_end(handle, object).expect("nobody is inside");
        assert_eq!(waited.object, object);
        let end = WaitEnd::from_wire(waited.end).unwrap();
        assert_eq!(
            end,
            if NATIVE.contains(&kind) {
                WaitEnd::Untold
            } else {
                WaitEnd::Drained
            }
        );
        assert_eq!(machine.acquire(handle, object, 1), Ok((false, 0)), "{kind:?}");
        assert_eq!(machine.acquire(handle, object, 0), Ok((false, 0)), "{kind:?}");
        let state = machine.state(handle, object);
        assert_eq!(
            ObjectPhase::from_wire(state.phase),
            Some(ObjectPhase::RunDown),
            "{kind:?}"
        );

        assert_eq!(machine.completed(handle, object), Ok(()));
        assert_eq!(machine.acquire(handle, object, 1), Ok((false, 0)), "{kind:?}");
        assert_eq!(machine.reinitialize(handle, object), Ok(()));
        assert_eq!(machine.acquire(handle, object, 1), Ok((true, 1)), "{kind:?}");
        assert_eq!(machine.release(handle, object, 1), Ok(0));

        let disabled = ObjectCreate::new(kind, true);
        let created: ObjectCreated = machine.ask(handle, ioctl::OBJECT_CREATE, &disabled).unwrap();
        assert_eq!(
            machine.acquire(handle, created.object, 1),
            Ok((false, 0)),
            "{kind:?}"
        );
        assert_eq!(machine.reinitialize(handle, created.object), Ok(()));
        assert_eq!(
            machine.acquire(handle, created.object, 1),
            Ok((true, 1)),
            "{kind:?}"
        );
        assert_eq!(machine.release(handle, created.object, 1), Ok(0));
        for object in [object, created.object] {
            assert_eq!(machine.destroy(handle, object), Ok(()));
            assert_eq!(machine.destroy(handle, object), Err(Refusal::NoSuchObject));
        }
    }
    numbers.dedup();
    assert_eq!(numbers.len(), ObjectKind::ALL.len(), "no number is used twice");
    machine.quit().assert_passed();
    println!("{} kinds lived", ObjectKind::ALL.len());
}

#[test]
fn a_wait_pends_until_the_last_release() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let mut waits = 0;
    for &kind in ObjectKind::ALL {
        for references in [1, 2, 1000] {
            let object = machine.create(handle, kind);
            assert_eq!(
                machine.acquire(handle, object, references),
                Ok((true, references.into()))
            );
            let wait = machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object));
            let state = machine.state_once_waiting(handle, object);
            assert_eq!(
                (state.outstanding, state.decoded),
                (references.into(), references.into()),
                "{kind:?}"
            );
            assert_eq!(state.flags & ObjectState::WAIT, ObjectState::WAIT);
            assert_eq!(
                state.flags & ObjectState::MASKED,
                ObjectState::MASKED,
                "{kind:?}: {:x?}",
                &state.words[..2]
            );
            assert!(state.words.contains(&ObjectState::MASK));
            assert!(
                state
                    .words
                    .iter()
                    .all(|&word| word == ObjectState::MASK || word < 1 << 32),
                "no pointer comes out"
            );
            assert_eq!(
                machine.acquire(handle, object, 1),
                Ok((false, references.into())),
                "{kind:?}"
            );
            for left in (0..references.min(2)).rev() {
                assert!(
                    !machine.is_answered(wait),
                    "{kind:?}: {left} and one references are out"
                );
                let count = if left == 0 && references > 2 {
                    references - 1
                } else {
                    1
                };
                let expected = if left == 0 { 0 } else { references - 1 };
                assert_eq!(machine.release(handle, object, count), Ok(expected.into()));
            }
            let waited: ObjectWaited = machine.answer(wait).unwrap();
            let end = WaitEnd::from_wire(waited.end).unwrap();
            if NATIVE.contains(&kind) {
                assert_eq!(end, WaitEnd::Untold);
            } else {
                assert!(
                    ![WaitEnd::Untold, WaitEnd::Drained, WaitEnd::Dispatch].contains(&end),
                    "{kind:?}: {end:?}"
                );
            }
            let state = machine.state(handle, object);
            assert_eq!(ObjectPhase::from_wire(state.phase), Some(ObjectPhase::RunDown));
            assert_eq!(
                state.flags & ObjectState::STALE != 0,
                NATIVE.contains(&kind),
                "{kind:?}"
            );
            assert_eq!(machine.destroy(handle, object), Ok(()));
            waits += 1;
        }
    }
    machine.quit().assert_passed();
    println!("{waits} waits were ended by a release");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a row for each misuse")]
fn misuse_is_refused() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let mut refused = 0;
    let mut expect = |got: Result<(), Refusal>, expected: Refusal, what: &str| {
        assert_eq!(got, Err(expected), "{what}");
        refused += 1;
    };
    for &kind in ObjectKind::ALL {
        let native = NATIVE.contains(&kind);
        let object = machine.create(handle, kind);
        expect(
            machine.release(handle, object, 1).map(drop),
            Refusal::NotHeld,
            "release with word 0",
        );
        machine.acquire(handle, object, 2).unwrap();
        expect(
            machine.release(handle, object, 3).map(drop),
            Refusal::NotHeld,
            "too many on a live word",
        );
        expect(
            machine.release(handle, object, u32::MAX).map(drop),
            Refusal::NotHeld,
            "far too many",
        );
        expect(
            machine.release(handle, object, 0).map(drop),
            Refusal::Count,
            "none",
        );
        expect(
            machine.completed(handle, object),
            Refusal::ReferencesOut,
            "completed with references out",
        );
        expect(
            machine.reinitialize(handle, object),
            Refusal::ReferencesOut,
            "re-initialised with references out",
        );
        expect(
            machine.destroy(handle, object),
            Refusal::ReferencesOut,
            "destroyed with references out",
        );
        expect(
            machine.acquire(handle, object, limits::REFERENCES - 1).map(drop),
            Refusal::TooManyReferences,
            "one more than may be out",
        );
        assert_eq!(
            machine.acquire(handle, object, limits::REFERENCES - 2),
            Ok((true, limits::REFERENCES.into()))
        );
        assert_eq!(
            machine.state(handle, object).decoded,
            u64::from(limits::REFERENCES),
            "{kind:?}"
        );
        assert_eq!(machine.release(handle, object, limits::REFERENCES - 2), Ok(2));

        let wait = machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object));
        machine.state_once_waiting(handle, object);
        let second = machine.wait_to_end(handle, object).map(drop);
        expect(second, Refusal::WaitGoingOn, "two concurrent waits");
        expect(
            machine.completed(handle, object),
            Refusal::WaitGoingOn,
            "completed during a wait",
        );
        expect(
            machine.reinitialize(handle, object),
            Refusal::WaitGoingOn,
            "re-initialised during a wait",
        );
        expect(
            machine.destroy(handle, object),
            Refusal::WaitGoingOn,
            "destroyed during a wait",
        );
        expect(
            machine.release(handle, object, 3).map(drop),
            Refusal::NotHeld,
            "too many during a wait",
        );
        assert_eq!(machine.release(handle, object, 2), Ok(0));
        machine.answer::<ObjectWaited>(wait).unwrap();

        expect(
            machine.release(handle, object, 1).map(drop),
            Refusal::NotHeld,
            "a release after the wait",
        );
        let second = machine.wait_to_end(handle, object);
        if native {
            expect(
                second.map(drop),
                Refusal::WouldHang,
                "a second wait with nothing in between",
            );
        } else {
            assert_eq!(
                second.map(|waited| waited.end),
                Ok(WaitEnd::Drained as u32),
                "as documented"
            );
        }
        assert_eq!(machine.completed(handle, object), Ok(()));
        expect(
            machine.release(handle, object, 1).map(drop),
            Refusal::NotHeld,
            "release with word 1",
        );
        let third = machine.wait_to_end(handle, object);
        if kind == ObjectKind::NativeCacheAware {
            expect(third.map(drop), Refusal::WouldHang, "hangs with two slots");
        } else {
            third.expect("a wait on what is run down has no effect and is not an error");
        }
        assert_eq!(machine.destroy(handle, object), Ok(()));
        let gone = [
            machine.acquire(handle, object, 1).map(drop),
            machine.release(handle, object, 1).map(drop),
            machine.completed(handle, object),
            machine.reinitialize(handle, object),
            machine.destroy(handle, object),
            machine.wait_to_end(handle, object).map(drop),
            machine
                .ask::<ObjectState>(handle, ioctl::OBJECT_STATE, &ObjectQuery::new(object))
                .map(drop),
        ];
        for got in gone {
            expect(got, Refusal::NoSuchObject, "it is destroyed");
        }
    }
    machine.quit().assert_passed();
    println!("{refused} refusals");
}

#[test]
fn caps_have_their_own_refusals() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let [handle, other] = [machine.open(), machine.open()];
    let mut objects = Vec::new();
    for _ in 0..limits::OBJECTS {
        objects.push(machine.create(handle, ObjectKind::OursCacheAware));
    }
    let more = ObjectCreate::new(ObjectKind::Ours, false);
    let refused = machine.ask::<ObjectCreated>(handle, ioctl::OBJECT_CREATE, &more);
    assert_eq!(refused, Err(Refusal::TooManyObjects));
    let now = |machine: &mut Machine, handle| -> ObjectLimits {
        machine
            .ask(handle, ioctl::OBJECT_LIMITS, &ObjectLimitsRequest::new())
            .unwrap()
    };
    let full = now(&mut machine, handle);
    assert_eq!((full.objects_now, full.waits_now), (limits::OBJECTS, 0));
    assert!(full.bytes_now > 0 && full.bytes_now <= full.bytes);
    assert_eq!(
        now(&mut machine, other).objects_now,
        0,
        "another handle has its own"
    );

    // The waits are the whole driver's.
    let held = machine.create(other, ObjectKind::Native);
    machine.acquire(other, held, 1).unwrap();
    let mut waits = Vec::new();
    for &object in &objects {
        machine.acquire(handle, object, 1).unwrap();
        waits.push(machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object)));
    }
    assert_eq!(waits.len(), limits::WAITS as usize);
    for &object in &objects {
        machine.state_once_waiting(handle, object);
    }
    assert_eq!(now(&mut machine, other).waits_now, limits::WAITS);
    assert_eq!(
        machine.wait_to_end(other, held).map(drop),
        Err(Refusal::TooManyWaits)
    );
    machine.release(handle, objects[0], 1).unwrap();
    machine.answer::<ObjectWaited>(waits[0]).unwrap();
    let wait = machine.send::<ObjectWaited>(other, ioctl::OBJECT_WAIT, &ObjectQuery::new(held));
    machine.state_once_waiting(other, held);
    assert_eq!(machine.close(handle), SUCCESS);
    for wait in &waits[1..] {
        assert_eq!(
            machine.answer::<ObjectWaited>(*wait),
            Err(CANCELLED),
            "the close ends it"
        );
    }
    machine.release(other, held, 1).unwrap();
    machine.answer::<ObjectWaited>(wait).unwrap();
    assert_eq!(now(&mut machine, other).waits_now, 0);
    machine.quit().assert_passed();
    println!("{} objects, {} waits at a time", limits::OBJECTS, limits::WAITS);
}

#[test]
fn objects_belong_to_their_handle() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let [owner, stranger] = [machine.open(), machine.open()];
    for &kind in ObjectKind::ALL {
        let object = machine.create(owner, kind);
        machine.acquire(owner, object, 1).unwrap();
        assert_eq!(
            machine.acquire(stranger, object, 1).map(drop),
            Err(Refusal::NoSuchObject)
        );
        assert_eq!(
            machine.release(stranger, object, 1).map(drop),
            Err(Refusal::NoSuchObject)
        );
        assert_eq!(machine.destroy(stranger, object), Err(Refusal::NoSuchObject));
        assert_eq!(
            machine.wait_to_end(stranger, object).map(drop),
            Err(Refusal::NoSuchObject)
        );
        assert_eq!(machine.state(owner, object).outstanding, 1, "nothing was changed");
    }
    // References are out, and nobody ever gives them back but the driver.
    assert_eq!(machine.close(owner), SUCCESS);
    assert_eq!(machine.close(stranger), SUCCESS);
    machine.quit().assert_passed();
}

#[test]
fn a_wait_ends_by_cancel_close_and_death() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    for &kind in ObjectKind::ALL {
        let handle = machine.open();
        let object = machine.create(handle, kind);
        machine.acquire(handle, object, 1).unwrap();
        let wait = machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object));
        machine.state_once_waiting(handle, object);
        // The request is abandoned; the wait goes on, and the object lives.
        assert_eq!(machine.cancel(wait), SUCCESS);
        assert_eq!(machine.answer::<ObjectWaited>(wait), Err(CANCELLED));
        let state = machine.state(handle, object);
        assert_eq!(
            (state.flags & ObjectState::WAIT, state.decoded),
            (ObjectState::WAIT, 1),
            "{kind:?}"
        );
        assert_eq!(
            machine.wait_to_end(handle, object).map(drop),
            Err(Refusal::WaitGoingOn)
        );
        assert_eq!(machine.release(handle, object, 1), Ok(0));
        while machine.state(handle, object).flags & ObjectState::WAIT != 0 {}
        assert_eq!(machine.reinitialize(handle, object), Ok(()));
        // Again, and the handle goes.
        machine.acquire(handle, object, 3).unwrap();
        let wait = machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object));
        machine.state_once_waiting(handle, object);
        assert_eq!(machine.close(handle), SUCCESS);
        assert_eq!(machine.answer::<ObjectWaited>(wait), Err(CANCELLED), "{kind:?}");
        // Again, and the process dies below.
        let handle = machine.open();
        let object = machine.create(handle, kind);
        machine.acquire(handle, object, 3).unwrap();
        let _pends = machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object));
        machine.state_once_waiting(handle, object);
    }
    machine.die().assert_passed();
    println!("{} waits each by cancel, close and death", ObjectKind::ALL.len());
}

/// The last releases and the close of the handle at the same time, in each order: a wait succeeds exactly when its release
/// came first, and is cancelled otherwise.
#[test]
fn a_close_races_with_the_last_release() {
    for mode in ["smp", "chaos"] {
        close_against_release(mode, 1_000);
    }
}

fn close_against_release(mode: &str, points: usize) {
    let mut machine = Machine::boot(&["--cpus", "2", "--mode", mode, "--seed", "1"]);
    let mut count = [0; 2];
    for round in 0..points / ObjectKind::ALL.len() {
        let handle = machine.open();
        let waits = ObjectKind::ALL.iter().map(|&kind| {
            let object = machine.create(handle, kind);
            machine.acquire(handle, object, 1).unwrap();
            let query = ObjectQuery::new(object);
            (
                object,
                machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &query),
            )
        });
        let waits: Vec<_> = waits.collect();
        for (object, _) in &waits {
            machine.state_once_waiting(handle, *object);
        }
        let mut close = None;
        let mut tickets = Vec::new();
        for (index, (object, _)) in waits.iter().enumerate() {
            if index == round % (waits.len() + 1) {
                close = Some(machine.send_close(handle));
            }
            let release = ObjectRelease::new(*object, 1);
            tickets.push(machine.send::<ObjectCounted>(handle, ioctl::OBJECT_RELEASE, &release));
        }
        let close = close.unwrap_or_else(|| machine.send_close(handle));
        for ((ticket, (_, wait)), kind) in tickets.into_iter().zip(waits).zip(ObjectKind::ALL) {
            let released = machine.answer::<ObjectCounted>(ticket);
            let waited = machine.answer::<ObjectWaited>(wait);
            let what = format!("{mode}, round {round}, {kind:?}: {released:?}, {waited:?}");
            match released {
                Ok(counted) => {
                    assert_eq!(counted.outstanding, 0, "{what}");
                    assert!(waited.is_ok(), "{what}");
                    count[0] += 1;
                }
                Err(status) => {
                    // The handle was gone before the request was sent, or before it was carried out.
                    let late = [INVALID_HANDLE, Refusal::NoSuchObject.status()];
                    assert!(late.contains(&status), "{what}");
                    assert_eq!(waited, Err(CANCELLED), "{what}");
                    count[1] += 1;
                }
            }
        }
        assert_eq!(machine.answer_raw(close), Ok(Vec::new()));
    }
    machine.quit().assert_passed();
    let [succeeded, cancelled] = count;
    assert!(succeeded > 0 && cancelled > 0, "{mode}: {count:?}");
    println!("{mode}: {points} waits, {succeeded} ended by a release, {cancelled} cancelled by the close");
}

#[test]
fn pointers_are_shown_to_debuggers_only() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    for access in ["rw admin", "rw debugger"] {
        let handle = machine.try_open(access).unwrap();
        for &kind in ObjectKind::ALL {
            let object = machine.create(handle, kind);
            machine.acquire(handle, object, 1).unwrap();
            let wait = machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object));
            let state = machine.state_once_waiting(handle, object);
            // Kernel addresses have their upper bits set.
            let shown = state
                .words
                .iter()
                .any(|&word| word >> 47 == 0x1_ffff && word != ObjectState::MASK);
            let masked = state.flags & ObjectState::MASKED != 0;
            assert_eq!(
                (shown, masked),
                (access == "rw debugger", access == "rw admin"),
                "{kind:?}, {access}"
            );
            machine.release(handle, object, 1).unwrap();
            machine.answer::<ObjectWaited>(wait).unwrap();
            // What NT's wait has left behind is a pointer still, and into a stack that may be another's now.
            let state = machine.state(handle, object);
            let native = NATIVE.contains(&kind);
            let shown = state
                .words
                .iter()
                .any(|&word| word >> 47 == 0x1_ffff && word != ObjectState::MASK);
            let masked = state.flags & ObjectState::MASKED != 0;
            assert_eq!(
                state.flags & ObjectState::STALE != 0,
                native,
                "{kind:?}, {access}"
            );
            assert_eq!(
                (shown, masked),
                (native && access == "rw debugger", native && access == "rw admin"),
                "{kind:?}, {access}: {:x?}",
                &state.words[..2]
            );
        }
    }
    machine.quit().assert_passed();
}

#[test]
fn every_structure_is_checked_before_anything_is_done() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let object = machine.create(handle, ObjectKind::Ours);
    let reader = machine.try_open("r").unwrap();
    let requests: &[(u32, Vec<u8>, usize)] = &common::every_request(object);
    let mut refused = 0;
    for (code, input, capacity) in requests {
        let mut expect = |machine: &mut Machine, input: &[u8], capacity: usize, expected: Refusal| {
            let ticket = machine.send_raw(handle, *code, input, capacity);
            assert_eq!(
                machine.answer_raw(ticket),
                Err(expected.status()),
                "{code:#x}: {expected:?}"
            );
            refused += 1;
        };
        for length in 0..input.len() {
            expect(&mut machine, &input[..length], *capacity, Refusal::InputTooShort);
        }
        let longer = [&input[..], &[0]].concat();
        expect(&mut machine, &longer, *capacity, Refusal::InputTooLong);
        let mut other = input.clone();
        other[4] += 1;
        expect(&mut machine, &other, *capacity, Refusal::Version);
        let mut other = input.clone();
        other[0] += 1;
        expect(&mut machine, &other, *capacity, Refusal::Size);
        for room in [0, capacity.saturating_sub(1)] {
            if room < *capacity {
                expect(&mut machine, input, room, Refusal::OutputTooSmall);
            }
        }
        if code >> 14 & 3 == 3 {
            let ticket = machine.send_raw(reader, *code, input, *capacity);
            assert_eq!(
                machine.answer_raw(ticket),
                Err(0xC000_0022),
                "{code:#x} needs writing"
            );
        }
    }
    assert_eq!(machine.state(handle, object).outstanding, 0, "nothing was done");
    machine.quit().assert_passed();
    println!("{refused} refusals of {} requests", requests.len());
}
