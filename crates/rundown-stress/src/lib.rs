//! The stress engine.
//!
//! N *holders* acquire, touch a canary, hold, release, while one *owner* runs the object down, waits, poisons the
//! canary, completes, re-initialises, again and again. Two things prove that protection failed: a holder that
//! sees anything but the canary of a living object, and a wait that returns with a holder inside.
//!
//! The engine neither makes threads nor knows a clock: a driver and a test bring their own [`Thread`]s, and each
//! calls [`Run::hold`] or [`Run::own`] on them. It allocates nothing and has no unsafe code.
#![no_std]
#![forbid(unsafe_code)]

mod canary;
pub mod conformance;
mod random;
mod reference;
mod run;
mod tally;
mod thread;

pub use random::Random;
pub use reference::Reference;
pub use run::{Plan, Run};
pub use tally::{Holder, Tally, Waits};
pub use thread::Thread;
