//! NT's pair as rows of the benchmark, measured in the same rounds as ours, the floor and the peers.

use std::hint::black_box;

use rundown_bench::{
    report::NT,
    rows::{self, Form, Plan},
    subjects::Subject,
};

use crate::{Arm, Native, Word};

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

/// The rows of the benchmark, and NT's among them.
#[must_use]
pub fn plans(native: &Native) -> Vec<Plan<'_>> {
    let mut plans = rows::plans();
    let make = || Nt {
        native,
        word: Word::new(),
    };
    rows::pairs(&mut plans, NT, &[Form::Call], make);
    plans
}
