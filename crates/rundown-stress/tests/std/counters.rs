//! Every counter by itself: for each there is a subject that raises it, and what a subject does not do is not counted.

use std::{
    collections::BTreeSet,
    process,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use ex_rundown::WayOut;
use rundown_stress::{Level, LockXadd, Plan, Reference, Role, Tally, Ticket, Waits, Workload};

use crate::{
    PLAN, arm,
    host::{self, HostThread},
    plain, plan,
    references::{DoesNotWait, NeverRefuses},
};

/// Longer than a thread waits for a processor anywhere.
const PATIENCE: Duration = Duration::from_secs(30);

/// The counters that are not zero, by name.
fn raised(tally: Tally) -> BTreeSet<&'static str> {
    // Field by field: a counter that is added here has no subject yet, and fails the test.
    let Tally {
        acquires,
        refused,
        generations,
        contested,
        waits,
        poisoned,
        inside,
    } = tally;
    let Waits {
        drained,
        mwaitx,
        pause,
        dispatch,
        event,
        late,
    } = waits;
    let counters = [
        ("acquires", acquires),
        ("refused", refused),
        ("generations", generations),
        ("contested", contested),
        ("drained", drained),
        ("mwaitx", mwaitx),
        ("pause", pause),
        ("dispatch", dispatch),
        ("event", event),
        ("late", late),
        ("poisoned", poisoned),
        ("inside", inside),
    ];
    counters
        .into_iter()
        .filter_map(|(name, count)| (count > 0).then_some(name))
        .collect()
}

/// The names of all counters.
fn every() -> BTreeSet<&'static str> {
    raised(Tally {
        acquires: 1,
        refused: 1,
        generations: 1,
        contested: 1,
        waits: Waits {
            drained: 1,
            mwaitx: 1,
            pause: 1,
            dispatch: 1,
            event: 1,
            late: 1,
        },
        poisoned: 1,
        inside: 1,
    })
}

/// How far a generation of a scripted reference is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Live,
    RunDown,
    /// Between the end of the wait and the re-initialisation.
    Dead,
}

#[derive(Debug, Default)]
struct Moment {
    phase: Phase,
    generation: u64,
    /// References that are out.
    out: u32,
    /// Grants and releases of this generation.
    granted: u32,
    released: u32,
    /// Holders that have come to wait for the next generation.
    blocked: u32,
    /// Nobody comes any more.
    holders_go: bool,
    owner_goes: bool,
}

/// What holders and owner of a scripted reference wait for each other with.
#[derive(Clone, Default)]
struct Script(Arc<(Mutex<Moment>, Condvar)>);

impl Script {
    /// Changes the moment, and wakes everybody.
    fn change<R>(&self, change: impl FnOnce(&mut Moment) -> R) -> R {
        let result = change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
        result
    }

    fn wait(&self, until: impl Fn(&Moment) -> bool) {
        let moment = self.0.0.lock().unwrap();
        let (moment, timeout) = self
            .0
            .1
            .wait_timeout_while(moment, PATIENCE, |moment| !until(moment))
            .unwrap();
        if timeout.timed_out() {
            // A panic would end this thread alone, and the others wait for it.
            eprintln!("nobody came: {moment:?}");
            process::exit(1);
        }
    }

    /// The owner waits, unless no holder is left.
    fn owner_waits(&self, until: impl Fn(&Moment) -> bool) {
        self.wait(|moment| moment.owner_goes || until(moment));
    }

    /// A holder waits for the next generation. While the owner waits for holders, it may be sent home.
    fn holder_waits(&self) {
        let generation = self.change(|moment| {
            moment.blocked += 1;
            moment.generation
        });
        self.wait(|moment| {
            moment.generation != generation || (moment.holders_go && moment.phase != Phase::Dead)
        });
    }

    fn enter(&self, phase: Phase) {
        self.change(|moment| moment.phase = phase);
    }

    fn renew(&self) {
        self.change(|moment| {
            moment.phase = Phase::Live;
            moment.generation += 1;
            (moment.granted, moment.released, moment.blocked) = (0, 0, 0);
        });
    }

    fn grant(&self, count: u32) {
        self.change(|moment| {
            moment.out += count;
            moment.granted += 1;
        });
    }

    fn release(&self, ticket: &Ticket) {
        self.change(|moment| {
            moment.out -= ticket.count();
            moment.released += 1;
        });
    }

    fn phase(&self) -> Phase {
        self.change(|moment| moment.phase)
    }
}

/// Refuses, and says that its waits end in one way.
struct EndsBy(WayOut);

impl Reference for EndsBy {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, _: u32) -> bool {
        false
    }
    fn release(&self, _: Ticket) {
        unreachable!("nothing is granted");
    }
    fn run_down(&self) -> Option<WayOut> {
        Some(self.0)
    }
    fn complete(&self) {}
    fn reinitialize(&self) {}
    fn word(&self) -> Option<usize> {
        None
    }
}

/// Grants while it is dead, and then only.
struct GrantsTheDead(Script);

impl Reference for GrantsTheDead {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, count: u32) -> bool {
        self.0.change(|moment| {
            let granted = moment.phase == Phase::Dead && moment.granted == 0;
            if granted {
                moment.out += count;
                moment.granted += 1;
            }
            granted
        })
    }
    fn release(&self, ticket: Ticket) {
        self.0.release(&ticket);
    }
    fn run_down(&self) -> Option<WayOut> {
        Some(WayOut::Drained)
    }
    fn complete(&self) {
        // The object was poisoned before.
        self.0.enter(Phase::Dead);
        self.0
            .owner_waits(|moment| moment.granted == 1 && moment.out == 0);
    }
    fn reinitialize(&self) {
        self.0.renew();
    }
    fn word(&self) -> Option<usize> {
        None
    }
}

/// Its wait returns while a reference is parked, which nobody looks at before the next generation.
struct ForgetsTheParked(Script);

impl Reference for ForgetsTheParked {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, _: u32) -> bool {
        let granted = self.0.change(|moment| {
            let granted = moment.phase != Phase::Dead && moment.granted == 0 && !moment.holders_go;
            moment.granted += u32::from(granted);
            granted
        });
        if !granted {
            self.0.holder_waits();
        }
        granted
    }
    fn release(&self, _: Ticket) {}
    fn run_down(&self) -> Option<WayOut> {
        // Who was granted it has parked it, and is back.
        self.0
            .owner_waits(|moment| moment.granted == 1 && moment.blocked == 2);
        self.0.enter(Phase::Dead);
        Some(WayOut::Drained)
    }
    fn complete(&self) {}
    fn reinitialize(&self) {
        self.0.renew();
    }
    fn word(&self) -> Option<usize> {
        None
    }
}

/// Its wait returns when the first part of a batch is released.
struct ForgetsTheRest(Script);

impl Reference for ForgetsTheRest {
    const RELEASED_ANYWHERE: bool = true;

    fn acquire(&self, count: u32) -> bool {
        let granted = self.0.phase() == Phase::Live;
        if granted {
            self.0.grant(count);
        } else {
            self.0.holder_waits();
        }
        granted
    }
    fn release(&self, ticket: Ticket) {
        self.0.release(&ticket);
        // Until the object is poisoned, if this was the first part and the owner waits.
        self.0
            .wait(|moment| moment.out == 0 || moment.phase != Phase::RunDown || moment.owner_goes);
    }
    fn run_down(&self) -> Option<WayOut> {
        self.0.enter(Phase::RunDown);
        self.0
            .owner_waits(|moment| moment.out == 0 || moment.released % 2 == 1);
        Some(WayOut::Drained)
    }
    fn complete(&self) {
        self.0.enter(Phase::Dead);
        self.0.wait(|moment| moment.out == 0);
    }
    fn reinitialize(&self) {
        self.0.renew();
    }
    fn word(&self) -> Option<usize> {
        None
    }
}

/// Runs one arm until `expected` counters have risen; which have then, when all threads are gone.
fn run<R: Reference + Send>(
    plan: Plan,
    script: &Script,
    expected: &[&'static str],
    reference: impl FnMut() -> R,
) -> BTreeSet<&'static str> {
    let expected: BTreeSet<_> = expected.iter().copied().collect();
    let run = host::new(
        plan,
        vec![arm(plan, reference)],
        1,
        Duration::from_hours(1),
        Duration::ZERO,
    );
    thread::scope(|scope| {
        let run = &run;
        for index in 0..plan.holders {
            scope.spawn(move || host::hold(run, index));
        }
        if plan.workload.has_owner() {
            scope.spawn(|| run.work(Role::Owner, &mut HostThread));
        }
        scope.spawn(|| run.conduct::<HostThread>(|_| ()));
        let begin = Instant::now();
        while !expected.is_subset(&raised(run.tally(0))) && begin.elapsed() < PATIENCE / 3 {
            thread::sleep(Duration::from_millis(1));
        }
        run.stop();
        script.change(|moment| moment.holders_go = true);
        run.await_threads(plan.holders);
        script.change(|moment| moment.owner_goes = true);
    });
    raised(run.tally(0))
}

/// Checks that subjects raise what they should and nothing else, and remembers what.
#[derive(Default)]
struct Subjects(BTreeSet<&'static str>);

impl Subjects {
    fn check<R: Reference + Send>(
        &mut self,
        name: &str,
        plan: Plan,
        expected: &[&'static str],
        mut reference: impl FnMut(Script) -> R,
    ) {
        let script = Script::default();
        let raised = run(plan, &script, expected, || reference(script.clone()));
        assert_eq!(raised, expected.iter().copied().collect(), "{name}");
        self.0.extend(raised);
    }
}

#[test]
fn each_counter_rises_for_what_it_counts_and_for_nothing_else() {
    let mut subjects = Subjects::default();
    let of = |workload, holders| Plan {
        holders,
        ..plan(workload)
    };

    subjects.check("a floor", of(Workload::Contended, 1), &["acquires"], |_| {
        LockXadd::new()
    });
    subjects.check("run down", of(Workload::Refused, 1), &["refused"], |_| plain());
    let drained = ["refused", "generations", "drained"];
    subjects.check("drained", of(Workload::Storm, 1), &drained, |_| {
        EndsBy(WayOut::Drained)
    });
    for (way_out, name) in [
        (WayOut::Monitorx, "mwaitx"),
        (WayOut::Pause, "pause"),
        (WayOut::Dispatch, "dispatch"),
        (WayOut::Event, "event"),
        (WayOut::Late, "late"),
    ] {
        let expected = ["refused", "generations", "contested", name];
        subjects.check(name, of(Workload::Storm, 1), &expected, |_| EndsBy(way_out));
    }

    let expected = ["acquires", "poisoned"];
    subjects.check(
        "a grant of what is run down",
        of(Workload::Refused, 1),
        &expected,
        |_| NeverRefuses,
    );
    let expected = ["acquires", "refused", "generations", "drained", "poisoned"];
    for workload in [Workload::Storm, Workload::Batches, Workload::Dpcs] {
        subjects.check(
            "a grant between run-down and re-initialise",
            of(workload, 1),
            &expected,
            GrantsTheDead,
        );
    }
    let at_dispatch = Plan {
        waiter: Level::Dispatch,
        ..of(Workload::Storm, 1)
    };
    subjects.check(
        "the same at DISPATCH_LEVEL",
        at_dispatch,
        &expected,
        GrantsTheDead,
    );
    let expected = ["acquires", "refused", "generations", "drained", "inside"];
    subjects.check(
        "a parked reference is forgotten",
        of(Workload::HandOff, 2),
        &expected,
        ForgetsTheParked,
    );
    let expected = [
        "acquires",
        "refused",
        "generations",
        "drained",
        "poisoned",
        "inside",
    ];
    subjects.check(
        "half a batch is forgotten",
        of(Workload::Batches, 1),
        &expected,
        ForgetsTheRest,
    );
    let expected = [
        "acquires",
        "refused",
        "generations",
        "contested",
        "poisoned",
        "inside",
    ];
    subjects.check(
        "a wait that does not wait",
        of(Workload::Storm, 3),
        &expected,
        |_| DoesNotWait::default(),
    );

    assert_eq!(subjects.0, every(), "each counter has a subject");
}

/// Nothing was handed over in a wait that nobody held up.
#[test]
fn a_hand_over_needs_somebody_who_left_during_the_wait() {
    let plan = Plan { holders: 1, ..PLAN };
    let run = host::run(
        plan,
        vec![arm(plan, || EndsBy(WayOut::Event))],
        1,
        Duration::from_millis(20),
    );
    assert!(run.tally(0).contested > 0);
    assert_eq!(rundown_stress::Arm::hand_over(&run.arms()[0]).samples, 0);
}
