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
#[cfg(target_pointer_width = "64")]
#[allow(unsafe_code, reason = "`DispatchPlatform` is an unsafe trait")]
mod section;
mod settings;

pub use platform::Std;
#[cfg(target_pointer_width = "64")]
pub use section::Raised;
pub use settings::Settings;
