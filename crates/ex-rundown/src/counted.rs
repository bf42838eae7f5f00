//! The counted forms of the plain reference.

use core::sync::atomic::Ordering::{Acquire, Release};

use crate::{
    Check, Misuse, Platform, RundownRef, State,
    wait_block::WaitBlock,
    word::{self, ACTIVE, Refused},
};

impl<P: Platform, C: Check> RundownRef<P, C> {
    /// Takes `count` references, unless run-down has begun (`ExAcquireRundownProtectionEx`).
    ///
    /// A count of 0 changes nothing and returns whether run-down has not begun. Under [`Parity`](crate::Parity) twice the
    /// count is computed in 32 bits, as NT does it: of 2^31 references and more the word counts too few. Under
    /// [`Strict`](crate::Strict) the word counts them all. A count that would take the word beyond `isize::MAX`, half of what
    /// it can hold, is a [misuse](Misuse::TooManyReferences) and leaves it as it is: so no number of references that
    /// nobody gives back wraps it. (On 32-bit targets that holds for [`acquire`](Self::acquire) as well; on 64-bit ones
    /// the other half is 2^62 single acquires away.)
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the word is resident.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{RundownRef, State};
    /// let reference = RundownRef::<Nt>::new();
    /// assert!(reference.acquire_ex(3));
    /// assert_eq!(reference.state(), State::Live(3));
    /// // SAFETY: acquired above, and released once.
    /// unsafe { reference.release_ex(3) };
    /// ```
    #[must_use = "without the references the object may go away at any time"]
    pub fn acquire_ex(&self, count: u32) -> bool {
        if C::CHECKED {
            return match self.acquire_within(count, isize::MAX) {
                Ok(()) => true,
                Err(Refused::RunDown) => false,
                Err(Refused::Full) => P::misuse(Misuse::TooManyReferences, self.state().word()),
            };
        }
        let more = |word: usize| (word & ACTIVE == 0).then(|| word.wrapping_add(word::truncated(count)));
        // As `acquire`: granted, it pairs with the Release of `reinitialize`; a refusal is Acquire for the
        // refused caller's sake.
        self.word.fetch_update(Acquire, Acquire, more).is_ok()
    }

    /// Takes `count` references, unless run-down has begun or the word would exceed `most`: then nothing has happened.
    pub(crate) fn acquire_within(&self, count: u32, most: isize) -> Result<(), Refused> {
        // Acquire, here and below, as in `acquire`.
        let mut value = self.word.load(Acquire);
        loop {
            let more = word::acquired_ex(value, count, most)?;
            match self.word.compare_exchange_weak(value, more, Acquire, Acquire) {
                Ok(_) => return Ok(()),
                Err(now) => value = now,
            }
        }
    }

    /// Gives `count` references back (`ExReleaseRundownProtectionEx`), and wakes the waiter with the last one.
    ///
    /// During a wait the whole count is subtracted, under both policies, as in NT.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if the word is resident.
    ///
    /// # Safety
    /// The caller owns `count` references, and gives them up.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # type Nt = rundown_std::Std;
    /// # use ex_rundown::{RundownRef, State};
    /// let reference = RundownRef::<Nt>::new();
    /// assert!(reference.acquire_ex(3));
    /// // SAFETY: three were acquired above; two go now, one later.
    /// unsafe { reference.release_ex(2) };
    /// assert_eq!(reference.state(), State::Live(1));
    /// # unsafe { reference.release() };
    /// ```
    pub unsafe fn release_ex(&self, count: u32) {
        // SAFETY: the caller's promise, handed on.
        if unsafe { !self.release_ex_unless_run_down(count) } {
            P::misuse(Misuse::ReleaseAfterRundown, ACTIVE);
        }
    }

    /// Gives `count` references back, unless the word says that it is run down: then `false`, and nothing has happened.
    ///
    /// # Safety
    /// As [`release_ex`](Self::release_ex).
    pub(crate) unsafe fn release_ex_unless_run_down(&self, count: u32) -> bool {
        // A caller that owns nothing must not reach into a waiter's frame. NT subtracts 0 there, to no effect.
        if count == 0 {
            return true;
        }
        self.memory.touch();
        // Acquire, here and in the reload: see `release`.
        let mut value = self.word.load(Acquire);
        loop {
            let block = match State::of(value) {
                State::Live(references) => {
                    if C::CHECKED && references < count as usize {
                        P::misuse(Misuse::ReleaseWithoutAcquire, value);
                    }
                    let amount = if C::CHECKED {
                        // No overflow: it is at most the word.
                        count as usize * word::COUNT_INC
                    } else {
                        word::truncated(count)
                    };
                    // Release pairs with the waiter's exchange, as in `release`.
                    match self
                        .word
                        .compare_exchange_weak(value, value.wrapping_sub(amount), Release, Acquire)
                    {
                        Ok(_) => return true,
                        Err(now) => {
                            value = now;
                            continue;
                        }
                    }
                }
                State::RunDown => return false,
                State::Waiting(block) => block,
            };
            // SAFETY: invariant 2 of the type: the caller's references are among those that the block counts,
            // since they were not released on the word.
            unsafe { WaitBlock::release::<P, C>(WaitBlock::from_word(block), count as usize) };
            return true;
        }
    }
}
