//! Every refusal that docs/ioctl.md lists is provoked once, by the request that it is for.

mod common;
#[path = "common/stress.rs"]
mod stress;

use std::collections::BTreeMap;

use common::{Objects as _, every_request};
use rundown_abi::{
    Arm, ConformanceResult, ConformanceRun, Info, InfoRequest, InteropResult, InteropRun, ObjectCreate,
    ObjectCreated, ObjectKind, ObjectQuery, ObjectWaited, Pair, Pairing, Refusal, StressQuery, StressStart,
    Waiter, Workload, flags, ioctl, limits,
};
use rundown_suite::{Handle, Machine, SUCCESS, inf_with};
use stress::Stress as _;
use zerocopy::IntoBytes;

/// The document, whose last table is the refusals'.
const DOCUMENT: &str = include_str!("../../../docs/ioctl.md");

/// What was provoked, by NTSTATUS, and how.
#[derive(Default)]
struct Provoked(BTreeMap<u32, &'static str>);

impl Provoked {
    /// Notes an answer that has to be this refusal.
    fn expect<A>(&mut self, refusal: Refusal, how: &'static str, answer: Result<A, Refusal>) {
        assert_eq!(answer.err(), Some(refusal), "{how}");
        self.0.insert(refusal.status(), how);
    }
}

fn storm() -> StressStart {
    StressStart::storm(Arm::Ours, 2, 100)
}

#[test]
fn every_refusal_of_the_document_is_provoked() {
    let mut provoked = Provoked::default();
    bytes(&mut provoked);
    runs(&mut provoked);
    objects(&mut provoked);
    machines(&mut provoked);

    let documented: BTreeMap<u32, &str> = DOCUMENT.lines().filter_map(row).collect();
    for (status, name) in &documented {
        let how = provoked.0.get(status).unwrap_or(&"NOT PROVOKED");
        println!("0x{status:08X} {name}: {how}");
    }
    println!(
        "{} refusals documented, {} provoked",
        documented.len(),
        provoked.0.len()
    );
    assert_eq!(documented.len(), Refusal::ALL.len());
    assert!(
        provoked.0.keys().eq(documented.keys()),
        "what the document lists and what the driver answers are not the same"
    );
}

/// `| 0xC0000010 | ``STATUS_INVALID_DEVICE_REQUEST`` | ... |`
fn row(line: &str) -> Option<(u32, &str)> {
    let (status, rest) = line.strip_prefix("| 0x")?.split_once(" | `STATUS_")?;
    let status = u32::from_str_radix(status, 16).ok()?;
    Some((status, rest.split_once('`')?.0))
}

/// What is wrong with any request's bytes.
fn bytes(provoked: &mut Provoked) {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let mut ask = |code: u32, input: &[u8], room: usize| {
        let ticket = machine.send_raw(handle, code, input, room);
        machine.answer_raw(ticket).map_err(rundown_suite::refusal)
    };
    let info = InfoRequest::new();
    let room = size_of::<Info>();
    let sound = info.as_bytes();
    // A byte more in the header's size, or in its version.
    let changed = |offset: usize| {
        let mut bytes = sound.to_vec();
        bytes[offset] += 1;
        bytes
    };
    assert!(ask(ioctl::QUERY_INFO, sound, room).is_ok());
    let unknown = ioctl::QUERY_INFO + 0x3FC;
    provoked.expect(
        Refusal::UnknownCode,
        "a code that is none",
        ask(unknown, sound, room),
    );
    provoked.expect(
        Refusal::Version,
        "another version",
        ask(ioctl::QUERY_INFO, &changed(4), room),
    );
    provoked.expect(
        Refusal::Size,
        "another size",
        ask(ioctl::QUERY_INFO, &changed(0), room),
    );
    let short = ask(ioctl::QUERY_INFO, &sound[..sound.len() - 1], room);
    provoked.expect(Refusal::InputTooShort, "a byte less", short);
    let long = ask(ioctl::QUERY_INFO, &[sound, &[0]].concat(), room);
    provoked.expect(Refusal::InputTooLong, "a byte more", long);
    let small = ask(ioctl::QUERY_INFO, sound, room - 1);
    provoked.expect(Refusal::OutputTooSmall, "a byte less of room", small);
    machine.quit().assert_passed();
}

/// What makes a sound stress run wrong.
type Change = fn(&mut StressStart);

/// What is wrong with a stress run.
fn runs(provoked: &mut Provoked) {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let wrong: [(Refusal, &str, Change); 15] = [
        (Refusal::Arm, "no arm", |s| s.arms = 0),
        (Refusal::Workload, "workload 0", |s| s.workload = 0),
        (Refusal::Threads, "no threads", |s| s.threads = 0),
        (Refusal::Milliseconds, "no time", |s| s.milliseconds = 0),
        (Refusal::Rounds, "no rounds", |s| s.rounds = 0),
        (Refusal::WarmUp, "a warm-up as long as a turn", |s| {
            s.warm_up_milliseconds = 50;
        }),
        (Refusal::Waiter, "waiter 0", |s| s.waiter = 0),
        (Refusal::Hold, "a hold of 2^32 cycles", |s| {
            s.hold_cycles = u32::MAX;
        }),
        (Refusal::Gap, "a gap of 2^32 cycles", |s| s.gap_cycles = u32::MAX),
        (Refusal::Spin, "a spin of 2^32 cycles", |s| {
            s.spin_cycles = u32::MAX;
        }),
        (Refusal::Batch, "an empty batch", |s| s.batch = 0),
        (Refusal::Reserved, "a reserved field", |s| s.reserved = 1),
        (Refusal::FloorWorkload, "a floor in a storm", |s| {
            s.arms = Arm::LockXadd.bit();
        }),
        (
            Refusal::CacheAwareAtDispatch,
            "a cache-aware wait at DISPATCH_LEVEL",
            |s| {
                s.arms = Arm::OursCacheAware.bit();
                s.waiter = Waiter::Dispatch as u32;
            },
        ),
        (
            Refusal::NativeAtDispatch,
            "a native wait at DISPATCH_LEVEL",
            |s| {
                s.arms = Arm::Native.bit();
                s.waiter = Waiter::Dispatch as u32;
            },
        ),
    ];
    for (refusal, how, change) in wrong {
        let mut start = storm();
        change(&mut start);
        provoked.expect(refusal, how, machine.start(handle, &start));
    }
    let no_run = machine.stop(handle, 1);
    provoked.expect(Refusal::NoSuchRun, "a run that was not started", no_run);
    let long = StressStart {
        milliseconds: 60_000,
        ..storm()
    };
    let run = machine.start(handle, &long).unwrap();
    provoked.expect(Refusal::Busy, "a second run", machine.start(handle, &storm()));
    machine.stop(handle, run).unwrap();
    machine.quit().assert_passed();
}

/// What is wrong with a step on an object.
fn objects(provoked: &mut Provoked) {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let mut create = every_request(0)[1].1.clone();
    create[8] = 0;
    let ticket = machine.send_raw(handle, ioctl::OBJECT_CREATE, &create, size_of::<ObjectCreated>());
    let no_kind = machine.answer_raw(ticket).map_err(rundown_suite::refusal);
    provoked.expect(Refusal::Kind, "kind 0", no_kind);

    let object = machine.create(handle, ObjectKind::Native);
    provoked.expect(
        Refusal::NoSuchObject,
        "another number",
        machine.acquire(handle, object + 1, 1),
    );
    provoked.expect(
        Refusal::Count,
        "a release of 0",
        machine.release(handle, object, 0),
    );
    provoked.expect(
        Refusal::NotHeld,
        "a release without an acquire",
        machine.release(handle, object, 1),
    );
    machine.acquire(handle, object, limits::REFERENCES).unwrap();
    let one_more = machine.acquire(handle, object, 1);
    provoked.expect(Refusal::TooManyReferences, "one more than the limit", one_more);
    machine.release(handle, object, limits::REFERENCES - 1).unwrap();
    provoked.expect(
        Refusal::ReferencesOut,
        "completed with one out",
        machine.completed(handle, object),
    );
    let wait = machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object));
    machine.state_once_waiting(handle, object);
    provoked.expect(
        Refusal::WaitGoingOn,
        "a second wait",
        machine.wait_to_end(handle, object),
    );
    machine.release(handle, object, 1).unwrap();
    machine.answer::<ObjectWaited>(wait).unwrap();
    let again = machine.wait_to_end(handle, object);
    provoked.expect(
        Refusal::WouldHang,
        "a wait on the pointer of the one before",
        again,
    );

    let pair = ConformanceRun {
        pair: 0,
        ..ConformanceRun::new(Pair::Plain, 8, 1)
    };
    let no_pair = machine.ask::<ConformanceResult>(handle, ioctl::CONFORMANCE_RUN, &pair);
    provoked.expect(Refusal::Pair, "pair 0", no_pair);
    let no_steps = machine.ask::<InteropResult>(
        handle,
        ioctl::INTEROP_RUN,
        &InteropRun::new(Pairing::OursWaitsNativeReleases, 0, 1),
    );
    provoked.expect(Refusal::Steps, "no rounds", no_steps);

    // The next creation of the driver's is the object's.
    assert_eq!(machine.command("at 1 fail"), SUCCESS);
    let no_pool = try_create(&mut machine, handle, ObjectKind::OursCacheAware);
    provoked.expect(Refusal::Resources, "an allocation that fails", no_pool);

    for _ in 1..limits::OBJECTS {
        machine.create(handle, ObjectKind::Ours);
    }
    let one_more = try_create(&mut machine, handle, ObjectKind::Ours);
    provoked.expect(Refusal::TooManyObjects, "one more than the limit", one_more);
    let first = object + 1;
    let waits: Vec<_> = (0..u64::from(limits::WAITS) - 1)
        .map(|index| {
            let object = first + index;
            machine.acquire(handle, object, 1).unwrap();
            machine.send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(object))
        })
        .collect();
    for index in 0..waits.len() as u64 {
        machine.state_once_waiting(handle, first + index);
    }
    let steps = ConformanceRun::new(Pair::Plain, 8, 1);
    let two_more = machine.ask::<ConformanceResult>(handle, ioctl::CONFORMANCE_RUN, &steps);
    provoked.expect(Refusal::TooManyWaits, "two waits more, and one is left", two_more);
    for (index, wait) in (0..).zip(waits) {
        machine.release(handle, first + index, 1).unwrap();
        machine.answer::<ObjectWaited>(wait).unwrap();
    }
    machine.quit().assert_passed();
}

fn try_create(machine: &mut Machine, handle: Handle, kind: ObjectKind) -> Result<ObjectCreated, Refusal> {
    machine.ask(handle, ioctl::OBJECT_CREATE, &ObjectCreate::new(kind, false))
}

/// What another machine is needed for.
fn machines(provoked: &mut Provoked) {
    let dispatch = StressStart {
        waiter: Waiter::Dispatch as u32,
        ..storm()
    };
    let mut one = Machine::boot(&["--cpus", "1"]);
    let handle = one.open();
    provoked.expect(
        Refusal::OneProcessor,
        "a waiter at DISPATCH_LEVEL, alone",
        one.start(handle, &dispatch),
    );
    one.quit().assert_passed();

    let mut verified = Machine::boot(&["--cpus", "2", "--verifier", "1"]);
    let handle = verified.open();
    let forced = StressStart {
        arms: Arm::Native.bit(),
        flags: flags::FORCE_NATIVE_AT_DISPATCH,
        ..dispatch
    };
    let refused = verified.start(handle, &forced);
    provoked.expect(
        Refusal::NativeUnderVerifier,
        "the same, native, forced, under Verifier",
        refused,
    );
    verified.quit().assert_passed();

    let folder = tempfile::tempdir().expect("a temporary folder");
    let inf = inf_with(&[("MaximumBytes", 50_000)], folder.path());
    let mut lowered = Machine::boot(&["--cpus", "2", "--inf", &inf]);
    let handle = lowered.open();
    let many = StressStart {
        threads: 64,
        workload: Workload::Contended as u32,
        ..storm()
    };
    provoked.expect(
        Refusal::Bytes,
        "64 threads in 50 000 bytes",
        lowered.start(handle, &many),
    );
    lowered.quit().assert_passed();

    // A slot for each processor that there may come to be.
    let mut large = Machine::boot(&["--cpus", "2", "--max-processors", "300"]);
    let handle = large.open();
    let refused = (0..limits::OBJECTS)
        .map(|_| try_create(&mut large, handle, ObjectKind::OursCacheAware))
        .find(Result::is_err)
        .expect("so many slots are more than a megabyte");
    provoked.expect(Refusal::TooManyBytes, "cache-aware objects of 300 slots", refused);
    large.quit().assert_passed();

    let mut foreign = Machine::boot(&["--cpus", "2", "--foreign-layout", "1"]);
    let handle = foreign.open();
    let steps = ConformanceRun::new(Pair::Plain, 8, 1);
    let refused = foreign.ask::<ConformanceResult>(handle, ioctl::CONFORMANCE_RUN, &steps);
    provoked.expect(
        Refusal::ForeignLayout,
        "lock-step with another wait block",
        refused,
    );
    // Alone, the native routines are as good as ever.
    let native = StressStart {
        arms: Arm::Native.bit() | Arm::NativeCacheAware.bit(),
        ..storm()
    };
    assert!(foreign.run_to_end(handle, &native).generations > 0);
    foreign.quit().assert_passed();

    let mut removed = Machine::boot(&["--cpus", "2"]);
    let handle = removed.open();
    assert_eq!(removed.command("surprise-remove"), SUCCESS);
    let refused = removed.result(handle, StressQuery::new(1).run);
    let object = removed.ask::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &ObjectQuery::new(1));
    assert!(refused.is_err());
    provoked.expect(Refusal::Removed, "a wait after the surprise", object);
    removed.quit().assert_passed();
}
