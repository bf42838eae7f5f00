//! The engine over std's threads: a sound reference passes, and unsound ones are found.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use ex_rundown::{DISPATCH_LEVEL, Platform, RundownRef, WayOut};
use rundown_std::{Settings, Std};
use rundown_stress::{Holder, Plan, Reference, Run, Tally, Thread};

struct HostThread;

impl Thread for HostThread {
    fn cycles() -> u64 {
        Std::timestamp()
    }

    fn pause() {
        thread::yield_now();
    }

    fn at_dispatch_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        Settings {
            irql: DISPATCH_LEVEL,
            ..Settings::current()
        }
        .with(body)
    }
}

const PLAN: Plan = Plan {
    hold_cycles: 2_000,
    gap_cycles: 4_000,
    at_dispatch_level: false,
    seed: 1,
};

fn holders(count: usize) -> Vec<Holder> {
    (0..count).map(|_| Holder::new()).collect()
}

fn run<R: Reference>(reference: R, plan: Plan, generations: u64) -> Tally {
    let run = Run::new(reference, holders(3), plan);
    let start = Instant::now();
    thread::scope(|scope| {
        for index in 0..3 {
            let run = &run;
            scope.spawn(move || run.hold(index, &mut HostThread));
        }
        run.own(&mut HostThread, || {
            run.tally().generations >= generations || start.elapsed() > Duration::from_mins(1)
        });
    });
    run.tally()
}

#[test]
fn a_sound_reference_passes() {
    for at_dispatch_level in [false, true] {
        let tally = run(
            RundownRef::<Std>::new(),
            Plan {
                at_dispatch_level,
                ..PLAN
            },
            3_000,
        );
        assert_eq!(tally.generations, 3_000);
        assert_eq!((tally.poisoned, tally.inside), (0, 0));
        assert!(
            tally.acquires > 0 && tally.refused > 0 && tally.contested > 0,
            "{tally:?}"
        );
        let waits = tally.waits;
        let blocked = waits.mwaitx + waits.pause + waits.dispatch + waits.event + waits.late;
        assert_eq!(waits.drained + blocked, tally.generations);
        assert_eq!(tally.contested, blocked);
        assert_eq!(waits.dispatch > 0, at_dispatch_level);
        assert_eq!(waits.event + waits.late + waits.pause > 0, !at_dispatch_level);
    }
}

/// Refuses as it should and never waits.
#[derive(Default)]
struct DoesNotWait(AtomicUsize);

impl Reference for DoesNotWait {
    fn protect(&self, body: impl FnOnce()) -> bool {
        let granted = self.0.load(Relaxed) == 0;
        if granted {
            body();
        }
        granted
    }
    fn run_down(&self) -> Option<WayOut> {
        self.0.store(1, Relaxed);
        None
    }
    fn complete(&self) {}
    fn reinitialize(&self) {
        self.0.store(0, Relaxed);
    }
}

#[test]
fn a_wait_that_does_not_wait_is_found() {
    let tally = run(DoesNotWait::default(), PLAN, 3_000);
    assert!(tally.inside > 0, "{tally:?}");
    assert!(tally.poisoned > 0, "{tally:?}");
    assert_eq!(
        tally.waits,
        rundown_stress::Waits::default(),
        "it does not tell how its waits end"
    );
}

/// Grants when it should refuse.
struct NeverRefuses;

impl Reference for NeverRefuses {
    fn protect(&self, body: impl FnOnce()) -> bool {
        body();
        true
    }
    fn run_down(&self) -> Option<WayOut> {
        None
    }
    fn complete(&self) {}
    fn reinitialize(&self) {}
}

#[test]
fn a_grant_after_run_down_is_found() {
    let tally = run(NeverRefuses, PLAN, 3_000);
    assert_eq!(tally.refused, 0);
    assert!(tally.poisoned > 0, "{tally:?}");
}

#[test]
fn a_run_can_be_stopped() {
    let run = Run::new(RundownRef::<Std>::new(), holders(1), PLAN);
    thread::scope(|scope| {
        scope.spawn(|| run.hold(0, &mut HostThread));
        scope.spawn(|| run.own(&mut HostThread, || false));
        thread::sleep(Duration::from_millis(20));
        run.stop();
    });
    assert!(run.tally().generations > 0);
}
