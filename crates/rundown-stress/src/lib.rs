//! The stress engine: arms that take turns under one workload, and the proof that each protects.
//!
//! An [`ArmOf`] is one implementation of run-down protection with its objects and counters. A [`Run`] lets several arms
//! take turns, forth and back, under one [`Workload`]. In most workloads N *holders* acquire, touch a canary, hold,
//! release, while one *owner* runs the object down, waits, poisons the canary, completes, re-initialises, again and
//! again. Two things prove that protection failed: a holder that sees anything but the canary of a living object, and
//! a wait that returns with a holder inside.
//!
//! | file | one idea |
//! |---|---|
//! | [`reference`](Reference) | what is exercised, and the [`Ticket`] for what was acquired |
//! | [`floor`](EmptyCall) | what protects nothing, to be measured from |
//! | `arm` | one arm: its objects, its counters, its part in a turn |
//! | `pairs`, `storm`, `hand_off`, `batches` | what holders do, by workload |
//! | `owner` | run-down after run-down |
//! | [`histogram`](Histogram) | distributions of times |
//! | [`schedule`](Schedule) | whose turn it is |
//! | [`run`](Run) | all of it, from turn to turn; and the watch over stalled waits |
//! | [`protocol`] | requests as plans, and figures as answers |
//!
//! The engine neither makes threads nor knows a clock, an event or a pool: a driver and a test bring their own
//! [`Thread`], [`Signals`] and [`Memory`]. It has no unsafe code.
#![no_std]
#![forbid(unsafe_code)]

mod arm;
mod batches;
mod canary;
pub mod conformance;
mod counters;
mod floor;
mod hand_off;
mod histogram;
mod memory;
mod objects;
mod owner;
mod pairs;
mod plan;
pub mod protocol;
mod random;
pub mod rate;
mod reference;
mod run;
mod sampler;
mod schedule;
#[cfg(test)]
mod script;
mod signals;
mod stage;
mod stall;
mod storm;
mod thread;
mod turns;

pub use arm::{Arm, ArmOf};
pub use counters::{Tally, Waits};
pub use floor::{EmptyCall, LockXadd};
pub use histogram::{Histogram, Latency, SHARES};
pub use memory::Memory;
pub use plan::{Level, Plan, Workload};
pub use random::Random;
pub use reference::{Reference, Ticket};
pub use run::{Event, Role, Run};
pub use schedule::Schedule;
pub use signals::Signals;
pub use stage::Stage;
pub use stall::{Stall, Waiting};
pub use thread::Thread;
pub use turns::Turn;
