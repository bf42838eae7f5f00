//! Every refusal that docs/ioctl.md lists is provoked, by the requests that it is for; and a request that is refused has
//! changed nothing: what every other request tells, and what the lab counts, is as before.

mod common;
#[path = "common/stress.rs"]
mod stress;

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use common::{Objects as _, Sample, every_request, protocol};
use rundown_abi::{
    Arm, ConformanceResult, ConformanceRun, Info, InfoRequest, InteropResult, InteropRun, ObjectCreate,
    ObjectCreated, ObjectKind, ObjectLimits, ObjectLimitsRequest, ObjectPhase, ObjectQuery, ObjectState,
    ObjectWaited, Pair, Pairing, Refusal, RunState, StressArmQuery, StressArmResult, StressQuery,
    StressResult, StressStart, StressStarted, StressTurns, StressTurnsQuery, Waiter, Workload, flags, ioctl,
    limits,
};
use rundown_suite::{Handle, Held, Machine, SUCCESS, Ticket, inf_with, refusal};
use stress::Stress as _;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The document, whose last table is the refusals'.
const DOCUMENT: &str = include_str!("../../../docs/ioctl.md");
/// How long threads that have done their work may take to end.
const SETTLE: Duration = Duration::from_secs(10);

/// What was provoked, by NTSTATUS, and how.
#[derive(Default)]
struct Provoked(BTreeMap<u32, &'static str>);

/// A machine with a bystander, whose belongings are looked at before and after each refusal.
struct Bench<'a> {
    machine: Machine,
    /// Who is refused.
    handle: Handle,
    /// Every handle, and whose are the objects and the run.
    handles: Vec<Handle>,
    objects: Vec<(Handle, u64)>,
    run: (Handle, u64),
    /// The bystander's wait, which pends all the time.
    wait: Ticket,
    provoked: &'a mut Provoked,
    looks: usize,
}

/// What the requests that only ask tell.
#[derive(Debug, PartialEq)]
struct Told(Vec<(u32, Result<Vec<u8>, u32>)>);

impl<'a> Bench<'a> {
    /// Boots a machine, where somebody else has objects in several states and the figures of a run that is over.
    fn boot(options: &[&str], provoked: &'a mut Provoked) -> Self {
        // The bystander waits as long as the test lasts.
        let mut machine = Machine::boot(&[options, &["--patience", "300"]].concat());
        let [handle, other] = [machine.open(), machine.open()];
        let [live, waited, stale] = [ObjectKind::OursWide, ObjectKind::Ours, ObjectKind::Native]
            .map(|kind| machine.create(other, kind));
        machine.acquire(other, live, 3).unwrap();
        machine.acquire(other, waited, 2).unwrap();
        machine.acquire(other, stale, 1).unwrap();
        let [wait, ended] = [waited, stale]
            .map(|object| machine.send::<ObjectWaited>(other, ioctl::OBJECT_WAIT, &ObjectQuery::new(object)));
        machine.state_once_waiting(other, waited);
        // Its block may be one that the driver cannot read.
        while machine.state(other, stale).phase != ObjectPhase::Waiting as u32 {}
        machine.release(other, stale, 1).unwrap();
        machine.answer::<ObjectWaited>(ended).unwrap();
        let start = StressStart {
            spin_cycles: 12_345,
            ..StressStart::storm(Arm::Ours, 2, 20)
        };
        let run = machine.run_to_end(other, &start).run;
        Self {
            machine,
            handle,
            handles: vec![handle, other],
            objects: [live, waited, stale].map(|object| (other, object)).into(),
            run: (other, run),
            wait,
            provoked,
            looks: 0,
        }
    }

    /// Has the request of `ask` refused, and sees that it has changed nothing.
    fn refuse<A>(
        &mut self,
        refusal: Refusal,
        how: &'static str,
        ask: impl FnOnce(&mut Machine, Handle) -> Result<A, Refusal>,
    ) {
        self.unchanged(how, |machine, handle| {
            assert_eq!(ask(machine, handle).err(), Some(refusal), "{how}");
            true
        });
        self.provoked.0.insert(refusal.status(), how);
    }

    /// Sees that requests change nothing, if they are `refused`, as they say.
    fn unchanged(&mut self, how: &str, refused: impl FnOnce(&mut Machine, Handle) -> bool) {
        let (held, told) = (self.machine.held(), self.told());
        if !refused(&mut self.machine, self.handle) {
            return;
        }
        let begin = Instant::now();
        let more = |now: Held| now.blocks > held.blocks || now.threads > held.threads;
        while more(self.machine.held()) {
            assert!(
                begin.elapsed() < SETTLE,
                "{how}: {held:?} before, {:?} after",
                self.machine.held()
            );
            sleep(Duration::from_millis(5));
        }
        for (before, after) in told.0.iter().zip(self.told().0) {
            assert_eq!(*before, after, "{how}: what {:#x} tells", before.0);
        }
        assert!(!self.machine.is_answered(self.wait), "{how}");
        self.looks += 1;
    }

    /// What every request tells that only asks.
    fn told(&mut self) -> Told {
        let mut told = Told(Vec::new());
        let machine = &mut self.machine;
        told.add(
            machine,
            self.handle,
            ioctl::QUERY_INFO,
            &InfoRequest::new(),
            |info: &mut Info| {
                // These two are measured.
                info.cycle_frequency = 0;
                info.limits.dispatch_hold_cycles = 0;
            },
        );
        for &handle in &self.handles {
            let request = ObjectLimitsRequest::new();
            told.add(
                machine,
                handle,
                ioctl::OBJECT_LIMITS,
                &request,
                |_: &mut ObjectLimits| (),
            );
        }
        for &(handle, object) in &self.objects {
            let query = ObjectQuery::new(object);
            told.add(
                machine,
                handle,
                ioctl::OBJECT_STATE,
                &query,
                |_: &mut ObjectState| (),
            );
        }
        let (handle, run) = self.run;
        let result = machine.result(handle, run);
        if result.is_ok_and(|result| result.state == RunState::Running as u32) {
            // Its figures are others at every look.
            told.0.push((ioctl::STRESS_RESULT, Ok(Vec::new())));
            return told;
        }
        let query = StressQuery::new(run);
        told.add(
            machine,
            handle,
            ioctl::STRESS_RESULT,
            &query,
            |_: &mut StressResult| (),
        );
        let query = StressArmQuery::new(run, Arm::Ours);
        told.add(
            machine,
            handle,
            ioctl::STRESS_ARM,
            &query,
            |_: &mut StressArmResult| (),
        );
        let query = StressTurnsQuery::new(run, 0);
        told.add(
            machine,
            handle,
            ioctl::STRESS_TURNS,
            &query,
            |_: &mut StressTurns| (),
        );
        told
    }

    /// Sends a request with the n-th creation that it makes failing, for every n. Returns how many there are.
    fn starve(&mut self, how: &'static str, (code, input, room): &Sample) -> u32 {
        let mut creations = 0;
        let mut refused = true;
        while refused {
            creations += 1;
            self.unchanged(how, |machine, handle| {
                assert_eq!(machine.command(&format!("at {creations} fail")), SUCCESS);
                let ticket = machine.send_raw(handle, *code, input, *room);
                let status = machine.answer_raw(ticket).err();
                // Nothing fails any more.
                machine.held();
                refused = status.is_some();
                if refused {
                    assert_eq!(
                        status,
                        Some(Refusal::Resources.status()),
                        "{how}, creation {creations}"
                    );
                }
                refused
            });
        }
        assert!(creations > 1, "{how}: it creates nothing");
        self.provoked
            .0
            .insert(Refusal::Resources.status(), "a creation that fails");
        creations - 1
    }

    fn quit(mut self) -> usize {
        let looks = self.looks;
        let (_, object) = self.objects[1];
        let other = self.handles[1];
        self.machine.release(other, object, 2).unwrap();
        self.machine.answer::<ObjectWaited>(self.wait).unwrap();
        self.machine.quit().assert_passed();
        looks
    }
}

impl Told {
    /// Adds the answer to a request, without what `blank` takes out of it.
    fn add<A: FromBytes + IntoBytes + Immutable>(
        &mut self,
        machine: &mut Machine,
        handle: Handle,
        code: u32,
        request: &(impl IntoBytes + Immutable),
        blank: impl FnOnce(&mut A),
    ) {
        let ticket = machine.send::<A>(handle, code, request);
        let answer = machine.answer::<A>(ticket).map(|mut answer| {
            blank(&mut answer);
            answer.as_bytes().to_vec()
        });
        self.0.push((code, answer));
    }
}

fn storm() -> StressStart {
    StressStart::storm(Arm::Ours, 2, 100)
}

#[test]
fn every_refusal_of_the_document_is_provoked_and_changes_nothing() {
    let mut provoked = Provoked::default();
    let looks = bytes(&mut provoked)
        + runs(&mut provoked)
        + objects(&mut provoked)
        + machines(&mut provoked)
        + removed(&mut provoked);

    let documented: BTreeMap<u32, &str> = DOCUMENT.lines().filter_map(row).collect();
    for (status, name) in &documented {
        let how = provoked.0.get(status).unwrap_or(&"NOT PROVOKED");
        println!("0x{status:08X} {name}: {how}");
    }
    println!(
        "{} refusals documented, {} provoked; {looks} times all was as before",
        documented.len(),
        provoked.0.len()
    );
    assert_eq!(documented.len(), Refusal::ALL.len());
    assert!(
        provoked.0.keys().eq(documented.keys()),
        "what the document lists and what the driver answers are not the same"
    );
}

/// Each creation of each request that makes something fails once.
#[test]
fn a_request_without_resources_changes_nothing() {
    let mut provoked = Provoked::default();
    let mut bench = Bench::boot(&["--cpus", "2"], &mut provoked);
    let [handle, _] = bench.handles[..] else {
        unreachable!()
    };
    let waited = bench.machine.create(handle, ObjectKind::Ours);
    bench.machine.acquire(handle, waited, 1).unwrap();
    bench.objects.push((handle, waited));
    let mut counts = Vec::new();
    for (how, code) in [
        ("compare in lock-step", ioctl::CONFORMANCE_RUN),
        ("share one word", ioctl::INTEROP_RUN),
        ("make an object", ioctl::OBJECT_CREATE),
        // These two go on, or have taken another's place, when they succeed at last.
        ("start a run", ioctl::STRESS_START),
    ] {
        let all = protocol(waited, 1);
        let sample = all.iter().find(|(listed, ..)| *listed == code).unwrap();
        counts.push((how, bench.starve(how, sample)));
    }
    let every_arm = StressStart {
        arms: Arm::EVERY & !(Arm::EmptyCall.bit() | Arm::LockXadd.bit()),
        workload: Workload::Dpcs as u32,
        ..storm()
    };
    bench.run = (handle, 0);
    while bench.machine.held().threads > 1 {}
    let sample = (
        ioctl::STRESS_START,
        every_arm.as_bytes().to_vec(),
        size_of::<StressStarted>(),
    );
    counts.push((
        "start a run of every arm",
        bench.starve("start a run of every arm", &sample),
    ));
    println!("creations that failed: {counts:?}");
    bench.quit();
}

/// `| 0xC0000010 | ``STATUS_INVALID_DEVICE_REQUEST`` | ... |`
fn row(line: &str) -> Option<(u32, &str)> {
    let (status, rest) = line.strip_prefix("| 0x")?.split_once(" | `STATUS_")?;
    let status = u32::from_str_radix(status, 16).ok()?;
    Some((status, rest.split_once('`')?.0))
}

/// What is wrong with any request's bytes, and with the way that it comes.
fn bytes(provoked: &mut Provoked) -> usize {
    let mut bench = Bench::boot(&["--cpus", "2"], provoked);
    let (handle, (_, object), (_, run)) = (bench.handles[1], bench.objects[0], bench.run);
    for (code, sound, room) in protocol(object, run) {
        let mut refuse = |refusal, how, handle, code, input: &[u8], room| {
            bench.refuse(refusal, how, |machine, _| {
                let ticket = machine.send_raw(handle, code, input, room);
                machine.answer_raw(ticket).map_err(rundown_suite::refusal)
            });
        };
        // A byte more in the header's size, or in its version.
        let changed = |offset: usize| {
            let mut bytes = sound.clone();
            bytes[offset] += 1;
            bytes
        };
        let (less, more) = (&sound[..sound.len() - 1], [&sound[..], &[0]].concat());
        refuse(
            Refusal::Version,
            "another version",
            handle,
            code,
            &changed(4),
            room,
        );
        refuse(Refusal::Size, "another size", handle, code, &changed(0), room);
        refuse(Refusal::InputTooShort, "a byte less", handle, code, less, room);
        refuse(Refusal::InputTooLong, "a byte more", handle, code, &more, room);
        if room > 0 {
            // Before the fields are looked at.
            let mut wrong = sound.clone();
            wrong[8..].fill(0xFF);
            for input in [&sound, &wrong] {
                let how = "a byte less of room";
                refuse(Refusal::OutputTooSmall, how, handle, code, input, room - 1);
            }
        }
        let unknown = code + 0x3FC;
        refuse(
            Refusal::UnknownCode,
            "a code that is none",
            handle,
            unknown,
            &sound,
            room,
        );
    }
    // Another driver, with a pointer to the device.
    for caller in ["rw kernel", "rw kernel-at-dispatch"] {
        let driver = bench.machine.try_open(caller).unwrap();
        for (code, sound, room) in protocol(object, run) {
            for code in [code, code + 0x3FC] {
                bench.refuse(
                    Refusal::NoFileObject,
                    "a request without a handle",
                    |machine, _| {
                        let ticket = machine.send_raw(driver, code, &sound, room);
                        machine.answer_raw(ticket).map_err(rundown_suite::refusal)
                    },
                );
            }
        }
        assert_eq!(bench.machine.close(driver), SUCCESS);
    }
    bench.quit()
}

/// What makes a sound stress run wrong.
type Change = fn(&mut StressStart);

/// What is wrong with a stress run.
fn runs(provoked: &mut Provoked) -> usize {
    let mut bench = Bench::boot(&["--cpus", "2"], provoked);
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
        bench.refuse(refusal, how, |machine, handle| machine.start(handle, &start));
    }
    let (_, theirs) = bench.run;
    for run in [theirs, theirs + 1, 0, u64::MAX] {
        let how = "another's run, or one that was not started";
        bench.refuse(Refusal::NoSuchRun, how, |machine, handle| {
            machine.stop(handle, run)
        });
        bench.refuse(Refusal::NoSuchRun, how, |machine, handle| {
            machine.result(handle, run)
        });
        bench.refuse(Refusal::NoSuchRun, how, |machine, handle| {
            machine.arm(handle, run, Arm::Ours)
        });
    }
    let (other, _) = bench.run;
    bench.refuse(Refusal::Arm, "an arm that is not the run's", |machine, _| {
        machine.arm(other, theirs, Arm::Native)
    });
    let long = StressStart {
        milliseconds: 60_000,
        ..storm()
    };
    let (handle, other) = (bench.handles[0], bench.handles[1]);
    bench.run = (handle, bench.machine.start(handle, &long).unwrap());
    let (_, run) = bench.run;
    bench.refuse(Refusal::Busy, "a second run", |machine, handle| {
        machine.start(handle, &storm())
    });
    bench.refuse(Refusal::Busy, "another handle's run", |machine, _| {
        machine.start(other, &storm())
    });
    bench.machine.stop(handle, run).unwrap();
    bench.quit()
}

/// What is wrong with a step on an object.
#[expect(clippy::too_many_lines, reason = "one refusal after the other, on one bench")]
fn objects(provoked: &mut Provoked) -> usize {
    let mut bench = Bench::boot(&["--cpus", "2"], provoked);
    let handle = bench.handle;
    let mut create = every_request(0)[1].1.clone();
    create[8] = 0;
    bench.refuse(Refusal::Kind, "kind 0", |machine, handle| {
        let ticket = machine.send_raw(handle, ioctl::OBJECT_CREATE, &create, size_of::<ObjectCreated>());
        machine.answer_raw(ticket).map_err(refusal)
    });

    let object = bench.machine.create(handle, ObjectKind::Native);
    bench.objects.push((handle, object));
    bench.refuse(Refusal::NoSuchObject, "another number", |machine, handle| {
        machine.acquire(handle, object + 1, 1)
    });
    bench.refuse(Refusal::Count, "a release of 0", |machine, handle| {
        machine.release(handle, object, 0)
    });
    for count in [1, u32::MAX] {
        bench.refuse(
            Refusal::NotHeld,
            "a release without an acquire",
            |machine, handle| machine.release(handle, object, count),
        );
    }
    bench.machine.acquire(handle, object, limits::REFERENCES).unwrap();
    for count in [1, u32::MAX] {
        bench.refuse(
            Refusal::TooManyReferences,
            "more than the limit",
            |machine, handle| machine.acquire(handle, object, count),
        );
    }
    bench
        .machine
        .release(handle, object, limits::REFERENCES - 1)
        .unwrap();
    bench.refuse(
        Refusal::ReferencesOut,
        "completed with one out",
        |machine, handle| machine.completed(handle, object),
    );
    let query = ObjectQuery::new(object);
    let wait = bench
        .machine
        .send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &query);
    bench.machine.state_once_waiting(handle, object);
    bench.refuse(Refusal::WaitGoingOn, "a second wait", |machine, handle| {
        machine.wait_to_end(handle, object)
    });
    bench.machine.release(handle, object, 1).unwrap();
    bench.machine.answer::<ObjectWaited>(wait).unwrap();
    let how = "a wait on the pointer of the one before";
    bench.refuse(Refusal::WouldHang, how, |machine, handle| {
        machine.wait_to_end(handle, object)
    });

    let pair = ConformanceRun {
        pair: 0,
        ..ConformanceRun::new(Pair::Plain, 8, 1)
    };
    bench.refuse(Refusal::Pair, "pair 0", |machine, handle| {
        machine.ask::<ConformanceResult>(handle, ioctl::CONFORMANCE_RUN, &pair)
    });
    let rounds = InteropRun::new(Pairing::OursWaitsNativeReleases, 0, 1);
    bench.refuse(Refusal::Steps, "no rounds", |machine, handle| {
        machine.ask::<InteropResult>(handle, ioctl::INTEROP_RUN, &rounds)
    });

    bench.refuse(
        Refusal::Resources,
        "an allocation that fails",
        |machine, handle| {
            assert_eq!(machine.command("at 1 fail"), SUCCESS);
            try_create(machine, handle, ObjectKind::OursCacheAware)
        },
    );
    for _ in 1..limits::OBJECTS {
        bench.machine.create(handle, ObjectKind::Ours);
    }
    bench.refuse(
        Refusal::TooManyObjects,
        "one more than the limit",
        |machine, handle| try_create(machine, handle, ObjectKind::Ours),
    );
    // One goes on already, and one is left.
    let first = object + 1;
    let waits: Vec<_> = (0..u64::from(limits::WAITS) - 2)
        .map(|index| {
            let object = first + index;
            bench.machine.acquire(handle, object, 1).unwrap();
            let query = ObjectQuery::new(object);
            bench
                .machine
                .send::<ObjectWaited>(handle, ioctl::OBJECT_WAIT, &query)
        })
        .collect();
    for index in 0..waits.len() as u64 {
        bench.machine.state_once_waiting(handle, first + index);
    }
    let steps = ConformanceRun::new(Pair::Plain, 8, 1);
    let how = "two waits more, and one is left";
    bench.refuse(Refusal::TooManyWaits, how, |machine, handle| {
        machine.ask::<ConformanceResult>(handle, ioctl::CONFORMANCE_RUN, &steps)
    });
    for (index, wait) in (0..).zip(waits) {
        bench.machine.release(handle, first + index, 1).unwrap();
        bench.machine.answer::<ObjectWaited>(wait).unwrap();
    }
    bench.quit()
}

fn try_create(machine: &mut Machine, handle: Handle, kind: ObjectKind) -> Result<ObjectCreated, Refusal> {
    machine.ask(handle, ioctl::OBJECT_CREATE, &ObjectCreate::new(kind, false))
}

/// What another machine is needed for.
fn machines(provoked: &mut Provoked) -> usize {
    let dispatch = StressStart {
        waiter: Waiter::Dispatch as u32,
        ..storm()
    };
    let mut looks = 0;
    let mut one = Bench::boot(&["--cpus", "1"], provoked);
    let how = "a waiter at DISPATCH_LEVEL, alone";
    one.refuse(Refusal::OneProcessor, how, |machine, handle| {
        machine.start(handle, &dispatch)
    });
    looks += one.quit();

    let mut verified = Bench::boot(&["--cpus", "2", "--verifier", "1"], provoked);
    let forced = StressStart {
        arms: Arm::Native.bit(),
        flags: flags::FORCE_NATIVE_AT_DISPATCH,
        ..dispatch
    };
    let how = "the same, native, forced, under Verifier";
    verified.refuse(Refusal::NativeUnderVerifier, how, |machine, handle| {
        machine.start(handle, &forced)
    });
    looks += verified.quit();

    looks += lowered(provoked);

    // A slot for each processor that there may come to be.
    let mut large = Bench::boot(&["--cpus", "2", "--max-processors", "300"], provoked);
    let handle = large.handle;
    while try_create(&mut large.machine, handle, ObjectKind::OursCacheAware).is_ok() {}
    let how = "cache-aware objects of 300 slots";
    large.refuse(Refusal::TooManyBytes, how, |machine, handle| {
        try_create(machine, handle, ObjectKind::OursCacheAware)
    });
    looks += large.quit();

    for layout in ["1", "2"] {
        looks += foreign_layout(layout, provoked);
    }
    looks
}

/// A machine with another wait block: what a word points to is read only where a block can be.
fn foreign_layout(layout: &str, provoked: &mut Provoked) -> usize {
    let mut foreign = Bench::boot(&["--cpus", "2", "--foreign-layout", layout], provoked);
    let steps = ConformanceRun::new(Pair::Plain, 8, 1);
    let how = "lock-step with another wait block";
    foreign.refuse(Refusal::ForeignLayout, how, |machine, handle| {
        machine.ask::<ConformanceResult>(handle, ioctl::CONFORMANCE_RUN, &steps)
    });
    // Alone, the native routines are as good as ever.
    let native = StressStart {
        arms: Arm::Native.bit() | Arm::NativeCacheAware.bit(),
        ..storm()
    };
    let handle = foreign.handle;
    assert!(foreign.machine.run_to_end(handle, &native).generations > 0);
    foreign.quit()
}

/// What an administrator does not allow; and which refusal comes first.
fn lowered(provoked: &mut Provoked) -> usize {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let parameters = [
        ("MaximumBytes", 50_000),
        ("MaximumThreads", 32),
        ("MaximumObjectBytes", 20_000),
    ];
    let inf = inf_with(&parameters, folder.path());
    let mut bench = Bench::boot(&["--cpus", "2", "--inf", &inf], provoked);
    let (handle, other) = (bench.handles[0], bench.handles[1]);
    let many = StressStart {
        threads: 32,
        workload: Workload::Contended as u32,
        ..storm()
    };
    bench.refuse(Refusal::Bytes, "32 threads in 50 000 bytes", |machine, handle| {
        machine.start(handle, &many)
    });
    let too_many = StressStart {
        threads: 33,
        reserved: 1,
        ..many
    };
    bench.refuse(
        Refusal::Threads,
        "33 threads of 32, and a reserved field",
        |machine, handle| machine.start(handle, &too_many),
    );
    let long = StressStart {
        milliseconds: 60_000,
        ..storm()
    };
    bench.run = (handle, bench.machine.start(handle, &long).unwrap());
    let (_, run) = bench.run;
    bench.refuse(
        Refusal::Bytes,
        "the same while another run goes on",
        |machine, handle| machine.start(handle, &many),
    );
    bench.machine.stop(handle, run).unwrap();

    // Each handle is far from what one may have.
    let mut made = Vec::new();
    for handle in [handle, other].into_iter().cycle() {
        match try_create(&mut bench.machine, handle, ObjectKind::OursCacheAware) {
            Ok(created) => made.push((handle, created.object)),
            Err(refusal) => {
                assert_eq!(refusal, Refusal::TooManyBytesInAll);
                break;
            }
        }
    }
    let how = "objects of two handles in 20 000 bytes";
    for asked in [handle, other] {
        bench.refuse(Refusal::TooManyBytesInAll, how, |machine, _| {
            try_create(machine, asked, ObjectKind::OursCacheAware)
        });
    }
    // What is given back can be had by others.
    let (owner, object) = made[0];
    assert_eq!((owner, bench.machine.destroy(owner, object)), (handle, Ok(())));
    try_create(&mut bench.machine, other, ObjectKind::OursCacheAware).unwrap();
    let third = bench.machine.open();
    assert!(try_create(&mut bench.machine, third, ObjectKind::OursCacheAware).is_err());
    assert_eq!(bench.machine.close(handle), SUCCESS);
    bench.handle = third;
    bench.handles[0] = third;
    for _ in 1..made.len() / 2 {
        try_create(&mut bench.machine, third, ObjectKind::OursCacheAware).unwrap();
    }
    bench.quit()
}

/// After the surprise everything but what only asks is refused (see removal.rs).
fn removed(provoked: &mut Provoked) -> usize {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    assert_eq!(machine.command("surprise-remove"), SUCCESS);
    let before = machine.held();
    for (code, input, room) in protocol(1, 1) {
        if ![ioctl::QUERY_INFO, ioctl::QUERY_CODE].contains(&code) {
            let ticket = machine.send_raw(handle, code, &input, room);
            assert_eq!(
                machine.answer_raw(ticket),
                Err(Refusal::Removed.status()),
                "{code:#x}"
            );
        }
    }
    assert_eq!(machine.held(), before);
    provoked.0.insert(Refusal::Removed.status(), "after the surprise");
    machine.quit().assert_passed();
    1
}

/// Each field of each request at the ends of its range, one at a time, and all of them at once: answered, or refused as
/// documented. With overflow checks in the driver no arithmetic on what a client sends survives unseen.
#[test]
fn each_field_may_have_any_value() {
    let mut machine = Machine::boot(&["--cpus", "2"]);
    let handle = machine.open();
    let object = machine.create(handle, ObjectKind::Ours);
    machine.acquire(handle, object, 1).unwrap();
    let run = machine.run_to_end(handle, &storm()).run;
    let turns = StressTurnsQuery::new(run, 0);
    let done = machine
        .ask::<StressTurns>(handle, ioctl::STRESS_TURNS, &turns)
        .unwrap();
    assert_eq!((done.done, done.count), (2, 2));
    for first in (u32::MAX - 17..=u32::MAX).chain([2, 3, 1 << 31]) {
        let query = StressTurnsQuery { first, ..turns };
        let answer = machine
            .ask::<StressTurns>(handle, ioctl::STRESS_TURNS, &query)
            .unwrap();
        assert_eq!((answer.done, answer.count), (2, 0), "from turn {first}");
    }

    let (mut answered, mut refused) = (0, 0);
    for (code, sound, room) in protocol(object, run) {
        // What pends, or ends the object, is asked with another number only.
        let keeps = [ioctl::OBJECT_WAIT, ioctl::OBJECT_DESTROY].contains(&code);
        let mut wrong: Vec<Vec<u8>> = vec![sound.clone()];
        for at in (8..sound.len()).step_by(4) {
            for value in [0, 1, 2, 0x7FFF_FFFF, 0x8000_0000, u32::MAX - 1, u32::MAX] {
                let mut bytes = sound.clone();
                bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
                wrong.push(bytes);
            }
        }
        for at in (8..sound.len().saturating_sub(7)).step_by(8) {
            let mut bytes = sound.clone();
            bytes[at..at + 8].fill(0xFF);
            wrong.push(bytes);
        }
        let mut bytes = sound.clone();
        bytes[8..].fill(0xFF);
        wrong.push(bytes);
        for input in wrong.iter().filter(|input| !keeps || **input != sound) {
            let ticket = machine.send_raw(handle, code, input, room);
            match machine.answer_raw(ticket) {
                Ok(answer) => {
                    answered += 1;
                    if code == ioctl::STRESS_START {
                        let started = StressStarted::read_from_bytes(&answer).unwrap();
                        machine.stop(handle, started.run).unwrap();
                    }
                }
                Err(status) => {
                    // It is one, or this panics.
                    let _: Refusal = refusal(status);
                    refused += 1;
                }
            }
        }
    }
    machine.quit().assert_passed();
    println!("{answered} answered, {refused} refused");
    assert!(answered > 50 && refused > 300);
}
