//! Interoperation: ours and the system's routines on one word.

use ex_rundown::State;
use rundown_abi::{Header, InteropCheck, InteropResult, InteropRun, ObjectState, Pairing, Refusal};
use rundown_stress::Random;

use super::{
    layout,
    waiter::Waiter,
    word::{Native, Ours, SharedWord},
};
use crate::{
    etw,
    kernel::{PoolArc, Routines, clock::Stopwatch, yield_thread},
    reference::Permit,
};

/// How long a waiter may take to show itself, in microseconds. What it shows then is compared, and differs.
const PATIENCE: u64 = 10_000_000;
/// References that one round acquires at most at a time.
const MOST: u32 = 5;

/// Who takes a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    Native,
}

/// A check that failed.
struct Failed {
    check: InteropCheck,
    expected: u64,
    found: u64,
}

impl Failed {
    /// What was found, without a pointer: in place of one there is [`ObjectState::MASK`], as in the words of an object. What is
    /// no pointer is a number of references, or twice one.
    const fn shown(&self) -> u64 {
        if self.found > u32::MAX as u64 {
            ObjectState::MASK
        } else {
            self.found
        }
    }
}

/// Rounds on one word.
struct Rounds {
    word: PoolArc<SharedWord>,
    // INVARIANT: references that were granted and not given back.
    held: u32,
    random: Random,
    checks: u64,
    references: u64,
}

/// Runs rounds of a pairing, after a probe.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Errors
/// [`Refusal::TooManyWaits`], [`Refusal::ForeignLayout`], [`Refusal::Resources`].
pub(crate) fn run(run: &InteropRun) -> Result<InteropResult, Refusal> {
    let pairing = Pairing::from_wire(run.pairing).ok_or(Refusal::Pair)?;
    let _permit = Permit::take()?;
    layout::probe()?;
    let mut rounds = Rounds {
        word: PoolArc::new(SharedWord::new()).ok_or(Refusal::Resources)?,
        held: 0,
        random: Random::new(run.seed, 0),
        checks: 0,
        references: 0,
    };
    let waiter = |who| AnyWaiter::new(who, rounds.word.clone()).ok_or(Refusal::Resources);
    // Who acquires and who releases; with a waiter, the acquirer waits.
    let (side, other, waiter) = match pairing {
        Pairing::NativeAcquiresOursReleases => (Who::Native, Who::Ours, None),
        Pairing::OursAcquiresNativeReleases => (Who::Ours, Who::Native, None),
        Pairing::OursWaitsNativeReleases => (Who::Ours, Who::Native, Some(waiter(Who::Ours)?)),
        Pairing::NativeWaitsOursReleases => (Who::Native, Who::Ours, Some(waiter(Who::Native)?)),
    };
    let mut done = 0;
    let mut failed = None;
    while done < u64::from(run.rounds) && failed.is_none() {
        let round = match &waiter {
            None => rounds.live(side, other),
            Some(waiter) => rounds.waited(side, waiter, other),
        };
        match round {
            Ok(()) => done += 1,
            Err(check) => failed = Some(check),
        }
    }
    let result = InteropResult {
        header: Header::of::<InteropResult>(),
        pairing: run.pairing,
        differences: u32::from(failed.is_some()),
        rounds: done,
        checks: rounds.checks,
        references: rounds.references,
        failed: failed.as_ref().map_or(0, |failed| failed.check as u32),
        reserved: 0,
        expected: failed.as_ref().map_or(0, |failed| failed.expected),
        found: failed.as_ref().map_or(0, Failed::shown),
    };
    etw::interop_ended(run, &result);
    Ok(result)
}

impl Rounds {
    /// One side acquires, the other releases.
    fn live(&mut self, acquirer: Who, releaser: Who) -> Result<(), Failed> {
        for _ in 0..3 {
            self.acquire(acquirer, true)?;
            self.word_says(self.held)?;
        }
        while self.held > 0 {
            self.release(releaser);
            self.word_says(self.held)?;
        }
        Ok(())
    }

    /// One side acquires and waits, the other releases until the wait ends, and makes the word live again.
    fn waited(&mut self, side: Who, waiter: &AnyWaiter, releaser: Who) -> Result<(), Failed> {
        self.acquire(side, true)?;
        // SAFETY: the word is live: fresh, or re-initialised below; and nobody else waits.
        unsafe { waiter.begin() };
        let outcome = self.drain(waiter, releaser);
        if self.held > 0 {
            // A check has failed; the waiter has to end all the same.
            self.release_all(releaser);
        }
        waiter.join();
        outcome?;
        self.acquire(releaser, false)?;
        // SAFETY: nobody waits, and no reference is out.
        match releaser {
            Who::Ours => self.word.ours().reinitialize(),
            // SAFETY: as above.
            Who::Native => unsafe { self.word.native().reinitialize() },
        }
        self.word_says(0)
    }

    /// Releases until nothing is held, and checks the block's count before each release.
    fn drain(&mut self, waiter: &AnyWaiter, releaser: Who) -> Result<(), Failed> {
        while self.held > 0 {
            let stopwatch = Stopwatch::start();
            let mut count = self.count(waiter);
            while count != u64::from(self.held) && stopwatch.microseconds() < PATIENCE {
                yield_thread();
                count = self.count(waiter);
            }
            self.check(InteropCheck::Count, self.held.into(), count)?;
            self.check(InteropCheck::Ended, 0, waiter.is_over().into())?;
            self.acquire(releaser, false)?;
            self.release(releaser);
        }
        let stopwatch = Stopwatch::start();
        while !waiter.is_over() && stopwatch.microseconds() < PATIENCE {
            yield_thread();
        }
        self.check(InteropCheck::Ended, 1, waiter.is_over().into())
    }

    /// The count in the waiter's block.
    fn count(&self, waiter: &AnyWaiter) -> u64 {
        match State::of(self.word.native().word()) {
            // SAFETY: references are held, so the waiter waits.
            State::Waiting(block) => unsafe { waiter.count_of(block) },
            State::Live(_) | State::RunDown => 0,
        }
    }

    fn acquire(&mut self, who: Who, granted: bool) -> Result<(), Failed> {
        let count = self.draw(MOST);
        let was = match who {
            Who::Ours if count == 1 => self.word.ours().acquire(),
            Who::Ours => self.word.ours().acquire_ex(count),
            Who::Native => self.word.native().acquire(count),
        };
        if was {
            self.held += count;
            self.references += u64::from(count);
        }
        self.check(InteropCheck::Granted, granted.into(), was.into())
    }

    /// Releases some of what is held.
    fn release(&mut self, who: Who) {
        let count = self.draw(self.held.min(MOST));
        self.give_back(who, count);
    }

    fn release_all(&mut self, who: Who) {
        self.give_back(who, self.held);
    }

    fn give_back(&mut self, who: Who, count: u32) {
        match who {
            // SAFETY: by the invariant, so many are held, here and below.
            Who::Ours if count == 1 => unsafe { self.word.ours().release() },
            // SAFETY: as above.
            Who::Ours => unsafe { self.word.ours().release_ex(count) },
            // SAFETY: as above.
            Who::Native => unsafe { self.word.native().release(count) },
        }
        self.held -= count;
    }

    fn word_says(&mut self, references: u32) -> Result<(), Failed> {
        let word = self.word.native().word() as u64;
        self.check(InteropCheck::Word, u64::from(references) * 2, word)
    }

    fn check(&mut self, check: InteropCheck, expected: u64, found: u64) -> Result<(), Failed> {
        self.checks += 1;
        if expected == found {
            Ok(())
        } else {
            Err(Failed {
                check,
                expected,
                found,
            })
        }
    }

    /// From 1 to `most`.
    fn draw(&mut self, most: u32) -> u32 {
        1 + u32::try_from(self.random.up_to(most - 1)).unwrap_or(0)
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        if self.held > 0 {
            self.release_all(Who::Native);
        }
        // After a check that failed the word may count more than was granted, and its memory goes.
        if let State::Live(more @ 1..) = State::of(self.word.native().word())
            && let Ok(more) = u32::try_from(more)
        {
            // SAFETY: nobody else has the word, and that many are in it.
            unsafe { self.word.ours().release_ex(more) };
        }
    }
}

/// The waiter of either.
enum AnyWaiter {
    Ours(Waiter<Ours>),
    Native(Waiter<Native>),
}

impl AnyWaiter {
    fn new(who: Who, word: PoolArc<SharedWord>) -> Option<Self> {
        Some(match who {
            Who::Ours => Self::Ours(Waiter::new(PoolArc::new(Ours(word))?)?),
            Who::Native => Self::Native(Waiter::new(PoolArc::new(Native(word))?)?),
        })
    }

    /// # Safety
    /// As [`Waiter::begin`].
    unsafe fn begin(&self) {
        match self {
            // SAFETY: the caller's promise, handed on.
            Self::Ours(waiter) => unsafe { waiter.begin() },
            // SAFETY: as above.
            Self::Native(waiter) => unsafe { waiter.begin() },
        }
    }

    fn join(&self) {
        match self {
            Self::Ours(waiter) => waiter.join(),
            Self::Native(waiter) => waiter.join(),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Ours(waiter) => waiter.is_over(),
            Self::Native(waiter) => waiter.is_over(),
        }
    }

    /// # Safety
    /// As [`Waiter::count_of`].
    unsafe fn count_of(&self, block: usize) -> u64 {
        match self {
            // SAFETY: the caller's promise, handed on.
            Self::Ours(waiter) => unsafe { waiter.count_of(block) },
            // SAFETY: as above.
            Self::Native(waiter) => unsafe { waiter.count_of(block) },
        }
    }
}
