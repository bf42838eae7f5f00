//! NT's arithmetic on the word, and [`Parity`] beside it.

use ex_rundown::{Parity, RundownRef, State};

use crate::{
    machine::Op,
    scripted::{Scripted, Ways},
};

/// Does each operation on a word as NT does it, and on the reference, and compares the words. What waits, and what
/// hangs or crashes NT, is left out: those are compared elsewhere, or never.
pub(crate) fn run(ops: &[Op]) {
    Scripted::prepare(Ways::Asleep, || panic!("nothing waits here"));
    // SAFETY: nobody waits, so whatever happens to the word nothing else is touched.
    let reference = unsafe { RundownRef::<Scripted, Parity>::with_policy() };
    let mut word = 0_u64;
    for &op in ops {
        let active = word & 1 != 0;
        match op {
            Op::Acquire(_) => {
                assert_eq!(reference.acquire(), !active);
                word = if active { word } else { word.wrapping_add(2) };
            }
            Op::AcquireEx(_, count) => {
                assert_eq!(reference.acquire_ex(count), !active);
                // In 32 bits.
                let amount = u64::from(count.wrapping_mul(2));
                word = if active { word } else { word.wrapping_add(amount) };
            }
            // NT goes on with the null pointer.
            Op::Release(_) | Op::ReleaseEx(..) if active => {}
            Op::Release(_) => {
                // SAFETY: released once too often it goes negative, which is what is compared; nobody waits.
                unsafe { reference.release() };
                word = word.wrapping_sub(2);
            }
            Op::ReleaseEx(_, count) => {
                // SAFETY: as above.
                unsafe { reference.release_ex(count) };
                word = word.wrapping_sub(count.wrapping_mul(2).into());
            }
            // It would wait.
            Op::Wait if word > 1 => {}
            Op::Wait | Op::Completed => {
                if op == Op::Wait {
                    reference.wait();
                } else {
                    reference.completed();
                }
                word = 1;
            }
            Op::Reinitialize => {
                reference.reinitialize();
                word = 0;
            }
        }
        assert_eq!(
            reference.state(),
            State::of(usize::try_from(word).unwrap()),
            "{op:?}"
        );
    }
}
