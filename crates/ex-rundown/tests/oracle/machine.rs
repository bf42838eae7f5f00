//! Runs a sequence of operations on a reference and on the oracle, side by side.

use std::{
    cell::RefCell,
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

use ex_rundown::{Misuse, WayOut};

use crate::{
    map::{Oracle, Stage, Verdict},
    scripted::{Scripted, Ways},
    subject::Subject,
};

/// One operation; the number is who does it, and the processor that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Acquire(u8),
    AcquireEx(u8, u32),
    Release(u8),
    ReleaseEx(u8, u32),
    Wait,
    Completed,
    Reinitialize,
}

/// What a sequence came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) contested_waits: usize,
    pub(crate) misuse: Option<Misuse>,
}

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Granted(bool),
    Waited(WayOut),
    Done,
}

trait Step {
    fn step(&self);
}

thread_local! {
    /// The machine that runs, for the platform's hooks.
    static RUNNING: RefCell<Option<std::rc::Rc<dyn Step>>> = const { RefCell::new(None) };
}

struct Machine<R> {
    reference: R,
    oracle: Oracle,
    ops: RefCell<VecDeque<Op>>,
    outcome: RefCell<Outcome>,
}

/// Expected misuse panics by the ten thousand: only what is not expected is worth printing.
fn quiet_about_misuse() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Misuse>() {
                before(info);
            }
        }));
    });
}

pub(crate) fn run<R: Subject>(ops: &[Op], ways: Ways) -> Outcome {
    quiet_about_misuse();
    let ways = match ways {
        Ways::Dispatch if !R::WAITS_AT_DISPATCH => Ways::Asleep,
        ways => ways,
    };
    Scripted::prepare(ways, || {
        let machine = RUNNING.with_borrow(Clone::clone).expect("a machine runs");
        machine.step();
    });
    let machine = std::rc::Rc::new(Machine {
        reference: R::make(),
        oracle: Oracle::new(R::DETECTS),
        ops: RefCell::new(ops.iter().copied().collect()),
        outcome: RefCell::default(),
    });
    RUNNING.set(Some(machine.clone()));
    let result = panic::catch_unwind(AssertUnwindSafe(|| machine.run_all()));
    RUNNING.set(None);
    if let Err(payload) = result {
        eprintln!("{ways:?} {ops:?}");
        panic::resume_unwind(payload);
    }
    machine.outcome.take()
}

impl<R: Subject> Machine<R> {
    fn run_all(&self) {
        loop {
            let Some(op) = self.ops.borrow_mut().pop_front() else {
                return;
            };
            self.perform(op);
            self.compare();
        }
    }

    /// The words agree with the map.
    fn compare(&self) {
        let Some(total) = self.oracle.total() else {
            return;
        };
        let expected = (self.oracle.stage() == Stage::Live).then_some(total);
        assert_eq!(self.reference.outstanding(), expected);
    }

    fn perform(&self, op: Op) {
        let verdict = self.oracle.judge(op);
        match verdict {
            Verdict::Undefined => {}
            // It is found before anything is changed, so that the sequence goes on as if nothing had been.
            Verdict::Misuse(expected) => {
                let before = format!("{:?}", self.reference);
                let payload = panic::catch_unwind(AssertUnwindSafe(|| self.call(op)))
                    .expect_err("misuse is not detected");
                match payload.downcast::<Misuse>() {
                    Ok(seen) => assert_eq!(*seen, expected, "{op:?}"),
                    Err(payload) => panic::resume_unwind(payload),
                }
                assert_eq!(format!("{:?}", self.reference), before, "{op:?} changed it");
                self.outcome.borrow_mut().misuse = Some(expected);
            }
            Verdict::Granted => assert_eq!(self.call(op), Answer::Granted(true), "{op:?}"),
            Verdict::Refused => assert_eq!(self.call(op), Answer::Granted(false), "{op:?}"),
            Verdict::Done if op == Op::Wait => {
                assert_eq!(self.call(op), Answer::Waited(WayOut::Drained));
            }
            Verdict::Done => assert_eq!(self.call(op), Answer::Done),
            Verdict::Waits => {
                self.outcome.borrow_mut().contested_waits += 1;
                let Answer::Waited(way_out) = self.call(op) else {
                    panic!("only a wait waits");
                };
                let allowed: &[WayOut] = match (R::SPINS, Scripted::ways()) {
                    (false, _) | (_, Ways::Asleep) => &[WayOut::Event],
                    (_, Ways::Pause) => &[WayOut::Pause, WayOut::Event],
                    (_, Ways::Monitorx) => &[WayOut::Monitorx, WayOut::Event],
                    (_, Ways::Dispatch) => &[WayOut::Dispatch],
                };
                assert!(allowed.contains(&way_out), "{way_out:?}, not one of {allowed:?}");
                self.oracle.waited();
            }
        }
    }

    /// Does it on the reference.
    fn call(&self, op: Op) -> Answer {
        if let Op::Acquire(who) | Op::AcquireEx(who, _) | Op::Release(who) | Op::ReleaseEx(who, _) = op {
            Scripted::move_to(who.into());
        }
        match op {
            Op::Acquire(_) => return Answer::Granted(self.reference.acquire()),
            Op::AcquireEx(_, count) => return Answer::Granted(self.reference.acquire_ex(count)),
            // SAFETY: the oracle says that the reference is owned, or that this type detects that it is not.
            Op::Release(_) => unsafe { self.reference.release() },
            // SAFETY: as above.
            Op::ReleaseEx(_, count) => unsafe { self.reference.release_ex(count) },
            Op::Wait => return Answer::Waited(self.reference.wait()),
            Op::Completed => self.reference.completed(),
            Op::Reinitialize => self.reference.reinitialize(),
        }
        Answer::Done
    }
}

impl<R: Subject> Step for Machine<R> {
    /// What happens while the waiter waits: the sequence goes on; at its end the holders leave.
    fn step(&self) {
        let next = self.ops.borrow_mut().pop_front();
        let op = next.unwrap_or_else(|| {
            let (who, count) = self.oracle.any_holder().expect("the waiter waits for nobody");
            // In steps of what a counted release can take, and on another processor than it was acquired on.
            Op::ReleaseEx(who, u32::try_from(count).unwrap_or(u32::MAX))
        });
        self.perform(op);
        // A nested wait cannot be: whatever was done, the outer one is still waiting, or its holders are gone.
        assert_eq!(self.oracle.stage(), Stage::Waiting);
    }
}
