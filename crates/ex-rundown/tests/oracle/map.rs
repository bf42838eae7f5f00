//! The oracle: who holds how much, under a lock.

use std::{collections::BTreeMap, sync::Mutex};

use ex_rundown::Misuse;

use crate::{machine::Op, subject::Detects};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Live,
    Waiting,
    RunDown,
}

/// What an operation should come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Granted,
    Refused,
    Done,
    /// A wait that has to wait for the holders.
    Waits,
    Misuse(Misuse),
    /// It breaks the contract in a way that no state shows, or that this type does not detect: not to be tried.
    Undefined,
}

struct Holders {
    stage: Stage,
    held: BTreeMap<u8, u64>,
    /// Released without having been acquired, where that is found out later.
    debt: u64,
}

pub(crate) struct Oracle {
    detects: Detects,
    holders: Mutex<Holders>,
}

impl Oracle {
    pub(crate) fn new(detects: Detects) -> Self {
        let holders = Holders {
            stage: Stage::Live,
            held: BTreeMap::new(),
            debt: 0,
        };
        Self {
            detects,
            holders: Mutex::new(holders),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.holders.lock().unwrap().stage
    }

    /// All that is held; `None` when a debt makes that meaningless.
    pub(crate) fn total(&self) -> Option<u64> {
        let holders = self.holders.lock().unwrap();
        (holders.debt == 0).then(|| holders.held.values().sum())
    }

    /// Somebody who holds something, and how much.
    pub(crate) fn any_holder(&self) -> Option<(u8, u64)> {
        let holders = self.holders.lock().unwrap();
        holders
            .held
            .iter()
            .find(|(_, count)| **count > 0)
            .map(|(who, count)| (*who, *count))
    }

    /// The waiter has returned.
    pub(crate) fn waited(&self) {
        let mut holders = self.holders.lock().unwrap();
        assert_eq!(holders.stage, Stage::Waiting);
        assert!(
            holders.held.values().all(|count| *count == 0),
            "a holder is inside after the wait"
        );
        holders.stage = Stage::RunDown;
    }

    /// Does it in the map, and says what it should come to.
    pub(crate) fn judge(&self, op: Op) -> Verdict {
        let mut holders = self.holders.lock().unwrap();
        let total: u64 = holders.held.values().sum();
        let idle = total == 0 && holders.debt == 0;
        match op {
            Op::Acquire(who) => holders.acquire(who, 1),
            Op::AcquireEx(who, count) => {
                if self.detects.counts_from_2_to_the_31 && count > u32::MAX / 2 {
                    return Verdict::Misuse(Misuse::TooManyReferences);
                }
                holders.acquire(who, count.into())
            }
            Op::Release(who) => holders.release(who, 1, self.detects),
            Op::ReleaseEx(who, count) => holders.release(who, count.into(), self.detects),
            Op::Wait => match holders.stage {
                Stage::Waiting => Verdict::Misuse(Misuse::ConcurrentWait),
                Stage::RunDown => Verdict::Done,
                // What was released too often makes up for what is held: the wait would end too early. More of it ends the
                // program, since only the published block shows it (tests/sound.rs).
                Stage::Live if holders.debt > 0 => Verdict::Undefined,
                Stage::Live if idle => {
                    holders.stage = Stage::RunDown;
                    Verdict::Done
                }
                Stage::Live => {
                    holders.stage = Stage::Waiting;
                    Verdict::Waits
                }
            },
            // A debt that equals what is held hides it.
            Op::Completed | Op::Reinitialize if holders.debt > 0 && holders.debt == total => {
                Verdict::Undefined
            }
            Op::Completed if holders.stage == Stage::Waiting || !idle => {
                Verdict::Misuse(Misuse::CompletedInUse)
            }
            Op::Completed => {
                holders.stage = Stage::RunDown;
                Verdict::Done
            }
            Op::Reinitialize if holders.stage == Stage::Waiting || !idle => {
                Verdict::Misuse(Misuse::ReinitializedInUse)
            }
            Op::Reinitialize => {
                holders.stage = Stage::Live;
                Verdict::Done
            }
        }
    }
}

impl Holders {
    fn acquire(&mut self, who: u8, count: u64) -> Verdict {
        if self.stage != Stage::Live {
            return Verdict::Refused;
        }
        *self.held.entry(who).or_default() += count;
        Verdict::Granted
    }

    fn release(&mut self, who: u8, count: u64, detects: Detects) -> Verdict {
        let total: u64 = self.held.values().sum();
        let own = self.held.entry(who).or_default();
        if count == 0 {
            return Verdict::Done;
        }
        if *own >= count {
            *own -= count;
            return Verdict::Done;
        }
        // It gives back what is not its own. Only the total can show that.
        match self.stage {
            Stage::RunDown => Verdict::Misuse(Misuse::ReleaseAfterRundown),
            Stage::Live if total < count && detects.underflow => {
                Verdict::Misuse(Misuse::ReleaseWithoutAcquire)
            }
            Stage::Live if total < count && count < 1 << 31 => {
                self.debt += count;
                Verdict::Done
            }
            Stage::Waiting if total < count && detects.too_many_while_waiting => {
                Verdict::Misuse(Misuse::ReleaseTooMany)
            }
            Stage::Live | Stage::Waiting => Verdict::Undefined,
        }
    }
}
