//! Two arms, step by step, on one thread.
//!
//! Each step is done by both, each on its own word, and everything that can be seen is compared: the value returned,
//! the word, and while a wait is going on its block's `Count` and `SpinFlag`. A wait with references outstanding needs
//! somebody who releases: that is done at the wait's own [seams](crate::Seam), where it asks the machine something. So
//! the order of the questions is compared too, and every way out is taken at a known place.
//!
//! The rows of the contract that crash or hang NT are not among the steps. A release too many is, when nothing waits.

use std::{cell::RefCell, collections::VecDeque, fmt, rc::Rc, sync::atomic::Ordering::Relaxed};

use ex_rundown::{ACTIVE, COUNT_INC, DISPATCH_LEVEL, State, WayOut};
use fastrand::Rng;

use crate::{Arm, Seam, Settings, Word, block::Block, event::KEvent, on_seam};

/// What both arms do.
#[derive(Clone, Debug)]
enum Step {
    Acquire,
    Release,
    Complete,
    Reinitialize,
    Wait(Settings, Vec<Inner>),
}

/// What others do while a wait is at its seam number `seam`.
#[derive(Clone, Copy, Debug)]
struct Inner {
    seam: usize,
    acquire: bool,
}

/// What can be seen of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Granted(bool),
    At(Seam),
    Ended(WayOut),
    Live(usize),
    RunDown,
    /// A wait goes on.
    Waiting {
        count: usize,
        spinning: bool,
    },
    /// A wait has ended and its block is gone.
    Stale,
    /// Everybody has released, and the wait would never end. It is helped on.
    Hangs,
}

/// The first difference between two arms.
#[derive(Debug)]
pub struct Difference {
    /// The step, from 0.
    pub step: u64,
    /// The steps before it and what was seen, the last one being the one that differs.
    pub trace: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the arms differ at step {}:", self.step)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Difference {}

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Steps, those inside of waits included.
    pub steps: u64,
    /// Waits by way out, in the order of [`WAYS_OUT`].
    pub waits: [u64; 6],
}

/// The ways out, in the order of reports.
pub const WAYS_OUT: [WayOut; 6] = [
    WayOut::Drained,
    WayOut::Monitorx,
    WayOut::Pause,
    WayOut::Dispatch,
    WayOut::Event,
    WayOut::Late,
];

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// At least so many steps.
    pub steps: u64,
    /// Seeds them.
    pub seed: u64,
    /// Waits may spin with `MONITORX`.
    pub monitorx: bool,
    /// The second arm checks its callers: it leaves 1 where the first leaves a stale pointer, and misuse is left out.
    pub strict: bool,
}

/// Runs both arms. `set_spin_cycles` tells the first arm's code its `ExpSpinCycleCount`.
///
/// # Errors
/// The first difference.
pub fn compare(
    nt: &dyn Arm,
    ours: &dyn Arm,
    set_spin_cycles: &dyn Fn(u32),
    plan: Plan,
) -> Result<Done, Box<Difference>> {
    let mut random = Rng::with_seed(plan.seed);
    // SAFETY: one thread makes the steps of both, and a step is one that NT's contract allows.
    let word = || Rc::new(unsafe { Word::new() });
    let words = [word(), word()];
    let mut done = Done::default();
    let mut trace = VecDeque::new();
    // What the words are to be: signed, since a release too many is among the steps.
    let mut references = 0_i64;
    let mut active = false;
    while done.steps < plan.steps {
        let step = choose(&mut random, plan, references, active);
        if let Step::Wait(settings, _) = &step {
            set_spin_cycles(settings.spin_cycles);
        }
        let mut seen = run(nt, &words[0], &step, plan.strict);
        if plan.strict {
            seen.iter_mut()
                .filter(|seen| **seen == Seen::Stale)
                .for_each(|seen| *seen = Seen::RunDown);
        }
        let other = run(ours, &words[1], &step, plan.strict);
        let same = seen == other;
        trace.push_back(format!("{step:?}"));
        trace.push_back(format!("  {}: {seen:?}", nt.name()));
        if !same {
            trace.push_back(format!("  {}: {other:?}", ours.name()));
            return Err(Box::new(Difference {
                step: done.steps,
                trace: trace.into(),
            }));
        }
        trace.drain(..trace.len().saturating_sub(24));
        done.steps += 1;
        match step {
            Step::Acquire if !active => references += 1,
            Step::Acquire => (),
            Step::Release => references -= 1,
            Step::Complete => active = true,
            Step::Reinitialize => active = false,
            Step::Wait(..) => {
                done.steps += seen
                    .iter()
                    .filter(|seen| matches!(seen, Seen::Granted(_) | Seen::Waiting { .. }))
                    .count() as u64;
                active = true;
                references = 0;
                if let Some(Seen::Ended(way_out)) =
                    seen.iter().rev().find(|seen| matches!(seen, Seen::Ended(_)))
                {
                    done.waits[WAYS_OUT.iter().position(|way| way == way_out).unwrap_or_default()] += 1;
                }
            }
        }
        // A stale pointer has to be replaced before anything but an acquire.
        if active && words[0].state() != State::RunDown && random.bool() {
            let state = if random.bool() {
                State::RunDown
            } else {
                State::Live(0)
            };
            for word in &words {
                word.set(state);
            }
            active = words[0].state() == State::RunDown;
        }
    }
    Ok(done)
}

/// A step that does not crash or hang NT.
fn choose(random: &mut Rng, plan: Plan, references: i64, active: bool) -> Step {
    loop {
        match random.usize(..16) {
            0..6 => return Step::Acquire,
            6..11
                if !active
                    && (references > 0 || !plan.strict && references > -4 && random.usize(..16) == 0) =>
            {
                return Step::Release;
            }
            11 if references == 0 => return Step::Complete,
            12 if references == 0 => return Step::Reinitialize,
            13..16 if references >= 0 => return wait(random, plan, references),
            _ => (),
        }
    }
}

fn wait(random: &mut Rng, plan: Plan, references: i64) -> Step {
    let settings = Settings {
        irql: [0, 0, 1, DISPATCH_LEVEL][random.usize(..4)],
        spin_cycles: [0, 40, 400][random.usize(..3)],
        unparked_processors: [1, 2, 2, 8][random.usize(..4)],
        monitorx: plan.monitorx && random.bool(),
        cycles_per_yield: [1, 40, 140][random.usize(..3)],
    };
    // Who has not released by the last seam of its way out releases there.
    let mut inner: Vec<Inner> = (0..references)
        .map(|_| Inner {
            seam: random.usize(..6),
            acquire: false,
        })
        .collect();
    inner.extend((0..random.usize(..3)).map(|_| Inner {
        seam: random.usize(..6),
        acquire: true,
    }));
    Step::Wait(settings, inner)
}

fn run(arm: &dyn Arm, word: &Rc<Word>, step: &Step, strict: bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    match step {
        Step::Acquire => seen.push(Seen::Granted(arm.acquire(word))),
        // SAFETY: a reference is outstanding, or the word is live and the release too many is the step.
        Step::Release => unsafe { arm.release(word) },
        Step::Complete => word.set(State::RunDown),
        Step::Reinitialize => word.set(State::Live(0)),
        // NT hangs when it waits on what it has left behind; a checked wait returns.
        Step::Wait(..) if matches!(word.state(), State::Waiting(_)) && !strict => {
            word.set(State::RunDown);
            return run(arm, word, step, strict);
        }
        Step::Wait(settings, inner) => {
            if strict && matches!(word.state(), State::Waiting(_)) {
                word.set(State::RunDown);
            }
            return settings.with(|| wait_with(arm, word, inner));
        }
    }
    seen.push(look(word, false));
    seen
}

/// A wait during which `inner` happens at its seams.
fn wait_with(arm: &dyn Arm, word: &Rc<Word>, inner: &[Inner]) -> Vec<Seen> {
    // SAFETY: the hook that holds this lives until `on_seam` returns, and `arm` lives longer.
    let arm_in_hook: &'static dyn Arm = unsafe { std::mem::transmute::<&dyn Arm, &'static dyn Arm>(arm) };
    let seen = Rc::new(RefCell::new(Vec::new()));
    let hook = {
        let (seen, word) = (Rc::clone(&seen), Rc::clone(word));
        let mut left = inner.to_vec();
        let mut number = 0;
        move |seam: Seam| {
            let mut seen = seen.borrow_mut();
            seen.push(Seen::At(seam));
            seen.push(look(&word, true));
            let last_chance = seam == Seam::Sleep;
            left.retain(|inner| {
                if inner.seam > number && !last_chance {
                    return true;
                }
                if inner.acquire {
                    seen.push(Seen::Granted(arm_in_hook.acquire(&word)));
                } else {
                    // SAFETY: one of the references that the wait counts, each of which is in `inner` once.
                    unsafe { arm_in_hook.release(&word) };
                }
                seen.push(look(&word, true));
                false
            });
            number += 1;
            if left.is_empty() && would_hang(&word, seam) {
                seen.push(Seen::Hangs);
            }
        }
    };
    let way_out = on_seam(hook, || arm.wait(word));
    let mut seen = Rc::try_unwrap(seen).map_or_else(|seen| seen.take(), RefCell::into_inner);
    seen.push(Seen::Ended(way_out));
    seen.push(look(word, false));
    seen
}

/// Whether a wait at `seam` waits for somebody though nobody is left. If so, does what the last releaser should have
/// done.
fn would_hang(word: &Word, seam: Seam) -> bool {
    let State::Waiting(block) = word.state() else {
        return false;
    };
    // SAFETY: the waiter of this thread stands at a seam, so its block lives.
    let block = unsafe { &*Block::at(block) };
    match seam {
        Seam::Sleep if !block.wake_event.is_set() => {
            // SAFETY: its waiter is about to wait for it.
            unsafe { KEvent::set(&raw const block.wake_event) };
            true
        }
        Seam::Yield => block.spin_flag.fetch_and(!1, Relaxed) & 1 != 0,
        _ => false,
    }
}

fn look(word: &Word, waiting: bool) -> Seen {
    match word.state() {
        State::Live(references) => Seen::Live(references),
        State::RunDown => Seen::RunDown,
        State::Waiting(_) if !waiting => Seen::Stale,
        State::Waiting(block) => {
            // SAFETY: the waiter of this thread stands at a seam, so its block lives.
            let block = unsafe { &*Block::at(block) };
            let (count, flag) = (block.count.load(Relaxed), block.spin_flag.load(Relaxed));
            Seen::Waiting {
                count,
                spinning: flag & 1 != 0,
            }
        }
    }
}

impl Word {
    fn set(&self, state: State) {
        let value = match state {
            State::Live(references) => references * COUNT_INC,
            State::RunDown => ACTIVE,
            State::Waiting(block) => block | ACTIVE,
        };
        // SAFETY: the word is an `EX_RUNDOWN_REF`; drivers write it themselves too.
        unsafe { std::sync::atomic::AtomicUsize::from_ptr(self.as_ptr()) }
            .store(value, std::sync::atomic::Ordering::Release);
    }
}
