//! What comes of a step on an object: a line for people, an object for programs.

use std::fmt::{self, Display};

use rundown_abi::{ObjectLimits, ObjectWaited};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    names::{ObjectKind, ObjectPhase, WaitEnd},
    record::Failure,
    show::count,
};

/// What came of a step. `object` is the number that steps name it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// An object was made.
    Created {
        /// Its number.
        object: usize,
        /// What it is made of.
        kind: ObjectKind,
        /// Whether acquires are granted, which they are not when it starts disabled.
        live: bool,
    },
    /// Every reference that was asked for was granted.
    Acquired {
        /// The object.
        object: u64,
        /// How many; none is a question.
        count: u32,
        /// By the driver's own count, afterwards.
        outstanding: u64,
    },
    /// Run-down has begun, and nothing was acquired.
    Refused {
        /// The object.
        object: u64,
        /// By the driver's own count.
        outstanding: u64,
    },
    /// References were released.
    Released {
        /// The object.
        object: u64,
        /// How many.
        count: u32,
        /// By the driver's own count, afterwards.
        outstanding: u64,
    },
    /// Run-down has begun, and its end is not there yet.
    Waiting {
        /// The object.
        object: u64,
    },
    /// A wait has ended.
    RunDown {
        /// The object.
        object: u64,
        /// How; absent when this client does not know.
        end: Option<WaitEnd>,
        /// After how long.
        microseconds: u64,
    },
    /// The request of a wait ended without it: it was cancelled, or the driver refused it.
    WaitGivenUp {
        /// The object.
        object: u64,
        /// Why.
        error: Failure,
    },
    /// The cancellation of a wait's request is under way.
    Cancelling {
        /// The object.
        object: u64,
    },
    /// It is marked as run down.
    Completed {
        /// The object.
        object: u64,
    },
    /// It is live again.
    Reinitialized {
        /// The object.
        object: u64,
    },
    /// It is gone.
    Destroyed {
        /// The object.
        object: u64,
    },
    /// What an object's words say.
    State(State),
    /// What objects may cost, and how far that is used.
    Limits(Limits),
    /// The driver, or this client, refused the step, and nothing happened.
    Failed {
        /// Why.
        error: Failure,
    },
}

/// An object's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct State {
    /// The object.
    pub object: u64,
    /// The driver's own view of it; absent when this client does not know.
    pub phase: Option<ObjectPhase>,
    /// References by the driver's own count.
    pub outstanding: u64,
    /// References by what the words say.
    pub decoded: u64,
    /// A wait goes on in the driver.
    pub wait: bool,
    /// The pointer of a finished wait is left in the word.
    pub stale: bool,
    /// Pointers are masked, because the caller lacks `SeDebugPrivilege`.
    pub masked: bool,
    /// The words themselves in hexadecimal; absent for a masked pointer.
    pub words: Vec<Option<String>>,
}

/// What objects may cost, and how far that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Limits {
    /// Objects of a handle.
    pub objects: u32,
    /// How many there are.
    pub objects_now: u32,
    /// Bytes of pool for a handle's objects.
    pub bytes: u64,
    /// How many are taken.
    pub bytes_now: u64,
    /// Waits on the device.
    pub waits: u32,
    /// How many go on.
    pub waits_now: u32,
    /// References on an object.
    pub references: u32,
}

impl Outcome {
    /// The end of a wait.
    #[must_use]
    pub fn run_down(object: u64, waited: &ObjectWaited) -> Self {
        Self::RunDown {
            object,
            end: rundown_abi::WaitEnd::from_wire(waited.end).map(WaitEnd::of),
            microseconds: waited.microseconds,
        }
    }
}

impl State {
    /// What the driver told of an object.
    #[must_use]
    pub fn of(object: u64, state: &rundown_abi::ObjectState) -> Self {
        let has = |flag| state.flags & flag != 0;
        let word = |&word: &u64| (word != rundown_abi::ObjectState::MASK).then(|| format!("{word:#018x}"));
        Self {
            object,
            phase: rundown_abi::ObjectPhase::from_wire(state.phase).map(ObjectPhase::of),
            outstanding: state.outstanding,
            decoded: state.decoded,
            wait: has(rundown_abi::ObjectState::WAIT),
            stale: has(rundown_abi::ObjectState::STALE),
            masked: has(rundown_abi::ObjectState::MASKED),
            words: state
                .words
                .iter()
                .take(state.word_count as usize)
                .map(word)
                .collect(),
        }
    }
}

impl Limits {
    /// What the driver told.
    #[must_use]
    pub const fn of(limits: &ObjectLimits) -> Self {
        Self {
            objects: limits.objects,
            objects_now: limits.objects_now,
            bytes: limits.bytes,
            bytes_now: limits.bytes_now,
            waits: limits.waits,
            waits_now: limits.waits_now,
            references: limits.references,
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { object, kind, live } => {
                let state = if *live { "live" } else { "run down" };
                write!(f, "{object}: {}, {state}", kind.name())
            }
            Self::Acquired {
                object,
                count: 0,
                outstanding,
            } => write!(f, "{object}: live, {} outstanding", count(*outstanding)),
            Self::Acquired {
                object,
                count: granted,
                outstanding,
            } => write!(
                f,
                "{object}: acquired {}, {} outstanding",
                count((*granted).into()),
                count(*outstanding)
            ),
            Self::Refused { object, outstanding } => write!(
                f,
                "{object}: refused, run-down has begun; {} outstanding",
                count(*outstanding)
            ),
            Self::Released {
                object,
                count: given,
                outstanding,
            } => write!(
                f,
                "{object}: released {}, {} outstanding",
                count((*given).into()),
                count(*outstanding)
            ),
            Self::Waiting { object } => write!(f, "{object}: waiting; release its references"),
            Self::RunDown {
                object,
                end,
                microseconds,
            } => write!(
                f,
                "{object}: run down, {}, after {} us",
                end.map_or("ended unknown", WaitEnd::name),
                count(*microseconds)
            ),
            Self::WaitGivenUp { object, error } => write!(f, "{object}: {}", error.message),
            Self::Cancelling { object } => write!(f, "{object}: cancelling the request"),
            Self::Completed { object } => write!(f, "{object}: completed"),
            Self::Reinitialized { object } => write!(f, "{object}: live again"),
            Self::Destroyed { object } => write!(f, "{object}: destroyed"),
            Self::State(state) => state.fmt(f),
            Self::Limits(limits) => limits.fmt(f),
            Self::Failed { error } => f.write_str(&error.message),
        }
    }
}

impl Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}, {} outstanding, the words say {}",
            self.object,
            self.phase.map_or("unknown", ObjectPhase::name),
            count(self.outstanding),
            count(self.decoded)
        )?;
        for (is, meaning) in [
            (self.wait, "a wait goes on in the driver"),
            (self.stale, "the pointer of a finished wait is left in the word"),
            (self.masked, "pointers are masked"),
        ] {
            if is {
                write!(f, ", {meaning}")?;
            }
        }
        self.words
            .iter()
            .try_for_each(|word| write!(f, "\n    {}", word.as_deref().unwrap_or("a pointer")))
    }
}

impl Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "objects {} of {}, bytes {} of {}, waits on the device {} of {}, references on an object at most {}",
            self.objects_now,
            self.objects,
            count(self.bytes_now),
            count(self.bytes),
            self.waits_now,
            self.waits,
            count(self.references.into())
        )
    }
}
