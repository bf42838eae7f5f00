//! The platform of `ex-rundown` over std's threads: for tests and benchmarks on any system.
//!
//! A thread's IRQL, and what `KUSER_SHARED_DATA` would say, are thread-local settings, so that a test takes the
//! way out that it wants: see [`Settings`].
#![deny(unsafe_code)]

#[allow(
    unsafe_code,
    reason = "the platform's event is reached through pointers into a dying stack frame"
)]
mod event;
#[allow(unsafe_code, reason = "`Platform` is an unsafe trait")]
mod platform;
#[allow(
    unsafe_code,
    reason = "the C library keeps the processor's number in the thread's control block"
)]
mod processor;
mod settings;

pub use platform::Std;
pub use settings::Settings;
