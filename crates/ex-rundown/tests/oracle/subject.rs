//! What differs between the references, as far as the oracle is concerned.

use ex_rundown::{
    AllocatedCacheAwareRundownRef, DispatchRundownRef, Protection, RundownRef, State,
    WideCacheAwareRundownRef, WideRundownRef,
};

use crate::scripted::Scripted;

/// Which misuse a type's state shows.
#[derive(Clone, Copy)]
pub(crate) struct Detects {
    /// A release with nothing held. Otherwise the next wait shows it.
    pub(crate) underflow: bool,
    /// A release too many while a thread waits.
    pub(crate) too_many_while_waiting: bool,
    /// Counts that NT's 32-bit arithmetic would truncate.
    pub(crate) counts_from_2_to_the_31: bool,
}

pub(crate) trait Subject: Protection + std::fmt::Debug + 'static {
    const DETECTS: Detects;
    fn make() -> Self;
    /// References outstanding while it is live; `None` when run-down has begun.
    fn outstanding(&self) -> Option<u64>;
    /// Whether a contested wait may happen at `DISPATCH_LEVEL`.
    const WAITS_AT_DISPATCH: bool = true;
    /// Whether a wait spins before it sleeps.
    const SPINS: bool = true;
}

impl Subject for RundownRef<Scripted> {
    const DETECTS: Detects = Detects {
        underflow: true,
        too_many_while_waiting: true,
        counts_from_2_to_the_31: false,
    };
    fn make() -> Self {
        Self::new()
    }
    fn outstanding(&self) -> Option<u64> {
        match self.state() {
            State::Live(references) => Some(references as u64),
            State::RunDown | State::Waiting(_) => None,
        }
    }
}

impl Subject for WideRundownRef<Scripted> {
    const DETECTS: Detects = Detects {
        underflow: true,
        too_many_while_waiting: false,
        counts_from_2_to_the_31: false,
    };
    fn make() -> Self {
        Self::new()
    }
    fn outstanding(&self) -> Option<u64> {
        WideRundownRef::outstanding(self).map(|references| references as u64)
    }
}

impl Subject for AllocatedCacheAwareRundownRef<Scripted> {
    const DETECTS: Detects = Detects {
        underflow: false,
        too_many_while_waiting: false,
        counts_from_2_to_the_31: true,
    };
    const WAITS_AT_DISPATCH: bool = false;
    const SPINS: bool = false;
    fn make() -> Self {
        Self::new().expect("memory")
    }
    fn outstanding(&self) -> Option<u64> {
        let mut sum = 0_usize;
        for slot in 0..self.slots() {
            match self.slot_state(slot) {
                Some(State::Live(references)) => sum = sum.wrapping_add(references * 2),
                _ => return None,
            }
        }
        Some(sum as u64 / 2)
    }
}

/// The types whose state is a sum.
const OF_A_SUM: Detects = Detects {
    underflow: false,
    too_many_while_waiting: false,
    counts_from_2_to_the_31: false,
};

impl Subject for WideCacheAwareRundownRef<Scripted> {
    const DETECTS: Detects = OF_A_SUM;
    fn make() -> Self {
        Self::new().expect("memory")
    }
    fn outstanding(&self) -> Option<u64> {
        WideCacheAwareRundownRef::outstanding(self).map(|references| references as u64)
    }
}

impl Subject for DispatchRundownRef<Scripted> {
    const DETECTS: Detects = OF_A_SUM;
    const WAITS_AT_DISPATCH: bool = false;
    fn make() -> Self {
        Self::new().expect("memory")
    }
    fn outstanding(&self) -> Option<u64> {
        DispatchRundownRef::outstanding(self).map(|references| references as u64)
    }
}
