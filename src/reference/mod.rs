//! The five kinds of reference that an object can be made of, behind one set of steps.

mod wait;

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, CacheAwareRundownRef, Check, RundownRef, State, Strict, WayOut,
    WideRundownRef,
};
use rundown_abi::{ObjectKind, ObjectState};

pub(crate) use self::wait::{BlockingWait, Permit, Wait, going_on};
use crate::kernel::{NativeCacheAware, NativeRundown, Nt, Routines};

/// A reference of any kind; ours with the check policy `C`.
pub(crate) enum AnyReference<C: Check = Strict> {
    Ours(RundownRef<Nt, C>),
    OursWide(WideRundownRef<Nt, C>),
    OursCacheAware(AllocatedCacheAwareRundownRef<Nt, C>),
    Native(NativeRundown),
    NativeCacheAware(NativeCacheAware),
}

/// What a reference's words say.
#[derive(Clone, Copy)]
pub(crate) enum Reading {
    /// Live, with so many references outstanding.
    Live(usize),
    /// Run down.
    RunDown,
    /// The wait block's address: somebody waits, or a finished wait has left it behind.
    Block(usize),
}

impl From<State> for Reading {
    fn from(state: State) -> Self {
        match state {
            State::Live(references) => Self::Live(references),
            State::RunDown => Self::RunDown,
            State::Waiting(block) => Self::Block(block),
        }
    }
}

/// A reference's words at one moment, and what they say.
pub(crate) struct Words {
    /// The first ones.
    pub(crate) raw: [u64; ObjectState::WORDS],
    /// All that there are.
    pub(crate) count: u32,
    pub(crate) reading: Reading,
    /// The words with a pointer in them, as bits.
    pub(crate) pointers: u64,
}

impl<C: Check> AnyReference<C> {
    /// A live reference; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(crate) fn new(kind: ObjectKind) -> Option<Self> {
        // What the rules of `Parity` forbid is unsafe here, or (counts from 2^31) never asked for by a comparison.
        Some(match kind {
            // SAFETY: see above.
            ObjectKind::Ours => Self::Ours(unsafe { RundownRef::with_policy() }),
            // SAFETY: as above.
            ObjectKind::OursWide => Self::OursWide(unsafe { WideRundownRef::with_policy() }),
            ObjectKind::OursCacheAware => {
                // SAFETY: as above.
                Self::OursCacheAware(unsafe { AllocatedCacheAwareRundownRef::with_policy() }.ok()?)
            }
            ObjectKind::Native => Self::Native(NativeRundown::new()),
            ObjectKind::NativeCacheAware => Self::NativeCacheAware(NativeCacheAware::new()?),
        })
    }

    /// Bytes of pool that a reference of this kind takes beside the value itself.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(crate) fn bytes(kind: ObjectKind) -> usize {
        match kind {
            ObjectKind::Ours | ObjectKind::OursWide | ObjectKind::Native => 0,
            ObjectKind::OursCacheAware => CacheAwareRundownRef::<Nt, C>::size_of().unwrap_or(usize::MAX),
            ObjectKind::NativeCacheAware => NativeCacheAware::bytes(),
        }
    }

    /// Takes `count` references; by the routine without a count when it is 1.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn acquire(&self, count: u32) -> bool {
        match self {
            Self::Ours(it) if count == 1 => it.acquire(),
            Self::Ours(it) => it.acquire_ex(count),
            Self::OursWide(it) if count == 1 => it.acquire(),
            Self::OursWide(it) => it.acquire_ex(count),
            Self::OursCacheAware(it) if count == 1 => it.acquire(),
            Self::OursCacheAware(it) => it.acquire_ex(count),
            Self::Native(it) => it.acquire(count),
            Self::NativeCacheAware(it) => it.acquire(count),
        }
    }

    /// Gives `count` references back; by the routine without a count when it is 1.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// The caller owns so many, at least one, and gives them up.
    pub(crate) unsafe fn release(&self, count: u32) {
        match self {
            // SAFETY: the caller's promise, handed on, here and below.
            Self::Ours(it) if count == 1 => unsafe { it.release() },
            // SAFETY: as above.
            Self::Ours(it) => unsafe { it.release_ex(count) },
            // SAFETY: as above.
            Self::OursWide(it) if count == 1 => unsafe { it.release() },
            // SAFETY: as above.
            Self::OursWide(it) => unsafe { it.release_ex(count) },
            // SAFETY: as above.
            Self::OursCacheAware(it) if count == 1 => unsafe { it.release() },
            // SAFETY: as above.
            Self::OursCacheAware(it) => unsafe { it.release_ex(count) },
            // SAFETY: as above.
            Self::Native(it) => unsafe { it.release(count) },
            // SAFETY: as above.
            Self::NativeCacheAware(it) => unsafe { it.release(count) },
        }
    }

    /// Whether a wait would never end, since the routine takes what a finished wait has left behind for references.
    /// Only while nobody waits.
    pub(crate) fn would_hang(&self) -> bool {
        let reading = self.words().reading;
        match self {
            // As documented, a second wait has no effect and is not an error.
            Self::Ours(_) | Self::OursWide(_) | Self::OursCacheAware(_) => false,
            Self::Native(_) => matches!(reading, Reading::Block(_)),
            // With two slots or more the system's hangs after `completed` as well.
            Self::NativeCacheAware(_) => !matches!(reading, Reading::Live(_)),
        }
    }

    /// Runs it down and waits; how that ended, where the routine tells.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// Nobody else waits, and it [would not hang](Self::would_hang).
    pub(crate) unsafe fn wait(&self) -> Option<WayOut> {
        match self {
            Self::Ours(it) => Some(it.wait()),
            Self::OursWide(it) => Some(it.wait()),
            Self::OursCacheAware(it) => Some(it.wait()),
            Self::Native(it) => {
                // SAFETY: the caller's promise.
                unsafe { it.wait() };
                None
            }
            Self::NativeCacheAware(it) => {
                // SAFETY: the caller's promise.
                unsafe { it.wait() };
                None
            }
        }
    }

    /// Marks it as run down.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// No reference is out, and nobody waits.
    pub(crate) unsafe fn completed(&self) {
        match self {
            Self::Ours(it) => it.completed(),
            Self::OursWide(it) => it.completed(),
            Self::OursCacheAware(it) => it.completed(),
            // SAFETY: the caller's promise.
            Self::Native(it) => unsafe { it.completed() },
            // SAFETY: the caller's promise.
            Self::NativeCacheAware(it) => unsafe { it.completed() },
        }
    }

    /// Makes it live again.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// No reference is out, and nobody waits.
    pub(crate) unsafe fn reinitialize(&self) {
        match self {
            Self::Ours(it) => it.reinitialize(),
            Self::OursWide(it) => it.reinitialize(),
            Self::OursCacheAware(it) => it.reinitialize(),
            // SAFETY: the caller's promise.
            Self::Native(it) => unsafe { it.reinitialize() },
            // SAFETY: the caller's promise.
            Self::NativeCacheAware(it) => unsafe { it.reinitialize() },
        }
    }

    /// The words, raw and decoded, one after the other: they belong together while nobody else takes a step.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn words(&self) -> Words {
        match self {
            Self::Ours(it) => Words::of_slots([it.state().word()].into_iter()),
            Self::OursWide(it) => Words::of_wide(it),
            Self::OursCacheAware(it) => {
                Words::of_slots((0..it.slots()).map(|slot| it.slot_state(slot).map_or(0, State::word)))
            }
            Self::Native(it) => Words::of_slots([it.word()].into_iter()),
            Self::NativeCacheAware(it) => Words::of_slots(it.words()),
        }
    }
}

impl<C: Check> Wait for AnyReference<C> {
    unsafe fn wait(&self) -> Option<WayOut> {
        // SAFETY: the caller's promise, handed on.
        unsafe { AnyReference::wait(self) }
    }
}

impl Words {
    /// The words of `EX_RUNDOWN_REF`s: one, or a cache-aware reference's. The first one decides whether it is live, and
    /// only the sum of live ones counts, since a slot may be negative.
    fn of_slots(slots: impl Iterator<Item = usize>) -> Self {
        let mut all = Self::none();
        let mut first = None;
        let mut sum = 0_usize;
        for word in slots {
            let state = State::of(word);
            first = first.or(Some(state));
            sum = sum.wrapping_add(word);
            all.push(word, matches!(state, State::Waiting(_)));
        }
        all.reading = match first {
            Some(State::Live(_)) | None => State::of(sum).into(),
            Some(ended) => ended.into(),
        };
        all
    }

    /// The two words of a wide reference, `state` and `waiter`.
    fn of_wide<C>(wide: &WideRundownRef<Nt, C>) -> Self {
        let word = |index: usize| {
            let address = (&raw const *wide).cast::<usize>().wrapping_add(index).cast_mut();
            // Relaxed: it is looked at, not followed.
            // SAFETY: the reference is two atomic words (`repr(C)`), and lives during the borrow.
            unsafe { AtomicUsize::from_ptr(address) }.load(Relaxed)
        };
        let [state, waiter] = [word(0), word(1)];
        let mut all = Self::none();
        all.push(state, false);
        all.push(waiter, waiter != 0);
        all.reading = match (wide.outstanding(), waiter) {
            (Some(references), _) => Reading::Live(references),
            (None, 0) => Reading::RunDown,
            (None, block) => Reading::Block(block),
        };
        all
    }

    const fn none() -> Self {
        Self {
            raw: [0; ObjectState::WORDS],
            count: 0,
            reading: Reading::Live(0),
            pointers: 0,
        }
    }

    fn push(&mut self, word: usize, is_pointer: bool) {
        if let Some(slot) = self.raw.get_mut(self.count as usize) {
            *slot = word as u64;
            self.pointers |= u64::from(is_pointer) << self.count;
        }
        self.count += 1;
    }

    /// Replaces every pointer.
    pub(crate) fn mask(&mut self) {
        for (index, word) in self.raw.iter_mut().enumerate() {
            if self.pointers >> index & 1 != 0 {
                *word = ObjectState::MASK;
            }
        }
    }
}
