//! NT's pair and NT's wait as rows of the benchmark, measured in the same rounds as ours, the floor and the peers.

use std::hint::black_box;

use ex_rundown::{Strict, WayOut};
use rundown_bench::{
    handover,
    measure::{CoreId, Slice},
    report::NT,
    rows::{self, Form, Plan},
    subjects::Subject,
};

use crate::{Arm, Native, Ours, Word, interop, probe::Monitorx};

/// A word that NT's code works on.
#[derive(Debug)]
struct Nt<'a> {
    native: &'a Native,
    word: Word,
}

impl Subject for Nt<'_> {
    /// As [`Subject::called_pair`]: NT's routines can only be called.
    fn pair(&self) {
        self.called_pair();
    }

    #[inline]
    fn called_pair(&self) {
        let (acquire, release) = self.native.pair();
        // SAFETY: a word is an `EX_RUNDOWN_REF`, and nobody waits for it while it is measured, so the code does not fault.
        if unsafe { acquire(self.word.as_ptr()) } != 0 {
            // SAFETY: as above; just acquired.
            unsafe { release(self.word.as_ptr()) };
        }
    }

    fn disable(&self) -> bool {
        self.native.wait(&self.word);
        true
    }

    #[inline]
    fn called_refused(&self) {
        let (acquire, _) = self.native.pair();
        // SAFETY: a word is an `EX_RUNDOWN_REF`.
        black_box(unsafe { acquire(self.word.as_ptr()) });
    }
}

/// Ours on the event and the `MONITORX` that NT's code has here; the other rows of ours are on std's.
static OURS: Ours<Strict> = Ours::new();

/// The rows of the benchmark, and NT's among them.
#[must_use]
pub fn plans(native: &Native) -> Vec<Plan<'_>> {
    let mut plans = rows::plans();
    let make = || Nt {
        native,
        // SAFETY: nobody waits for it.
        word: unsafe { Word::new() },
    };
    rows::pairs(&mut plans, NT, &[Form::Call], make);
    // Of those measured only `Pause` and `Monitorx` spin for a time, and their hand-over has to come before its end.
    native.set_spin_cycles(interop::settings(WayOut::Pause).spin_cycles);
    let ways_out = [WayOut::Monitorx, WayOut::Pause, WayOut::Dispatch, WayOut::Event];
    for way_out in ways_out {
        if way_out == WayOut::Monitorx && !Monitorx::probe().executes {
            continue;
        }
        let arms: [(&str, &dyn Arm); 2] = [(NT, native), ("RundownRef on NT's event", &OURS)];
        for (name, arm) in arms {
            plans.push(rows::handover(format!("{name}, {way_out:?}"), move |cores| {
                handed_over(cores, arm, way_out)
            }));
        }
    }
    plans
}

/// Nanoseconds of one hand-over.
fn handed_over(cores: &[CoreId], arm: &dyn Arm, way_out: WayOut) -> Slice {
    let held = || {
        // SAFETY: one thread has it.
        let word = unsafe { Word::new() };
        assert!(arm.acquire(&word), "it is new");
        word
    };
    handover::between(
        cores,
        way_out,
        held,
        |word| interop::settings(way_out).with(|| arm.wait(word)),
        // SAFETY: `held` acquired it.
        |word| unsafe { arm.release(word) },
    )
}
