//! Comparisons of our reference with the system's: in lock-step, and on one word.

mod layout;
mod lockstep;
mod shared_word;
mod waiter;
mod word;

pub(crate) use self::{lockstep::run as conformance, shared_word::run as interop};
