//! NT's own run-down routines, from a listing, in a user process.
//!
//! A person who has `WinDbg` dumps the routines of their Windows build ([`rundown_uf`] reads the listing). Here they
//! are mapped at their own distances, not one byte changed, and called:
//!
//! - [`Native`] is the mapped code. What it calls lands in [win64 functions](exports) at the very addresses that the
//!   calls name: events on a futex, slow paths that are not listed in an independent [reference](mod@reference).
//!   What a user process may not do (read CR8, read the kernel's page of shared data) faults, and is
//!   [answered](faults) with what the [thread's settings](Settings) say.
//! - [`lockstep`] runs it and ours side by side, step by step, and compares every value and every word.
//! - [`interop`] lets one wait and the other release, by every way out.
//! - [`mod@bench`] gives NT's rows to the benchmark of ours.
//!
//! Both sides are an [`Arm`] over one word. The listing, and any part of it, is data of whoever dumped it; nothing
//! here contains or writes any.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![deny(unsafe_code)]

#[allow(
    unsafe_code,
    reason = "both sides take the word as C does, and trust their callers to be balanced"
)]
pub mod arm;
#[allow(unsafe_code, reason = "measures unsafe operations")]
pub mod bench;
mod block;
mod engine;
#[allow(
    unsafe_code,
    reason = "an event is reached through pointers into a dying stack frame"
)]
pub mod event;
#[allow(
    unsafe_code,
    reason = "the functions that NT's code calls, with NT's prototypes"
)]
pub mod exports;
#[allow(
    unsafe_code,
    reason = "a signal handler edits the registers of the code that faulted"
)]
pub mod faults;
#[allow(unsafe_code, reason = "`Platform` is an unsafe trait")]
mod host;
#[allow(unsafe_code, reason = "rescues a waiter whose releaser was wrong")]
pub mod interop;
#[allow(unsafe_code, reason = "drives both arms, and looks into a wait block")]
pub mod lockstep;
mod machine;
#[allow(unsafe_code, reason = "maps memory and makes it executable")]
mod map;
#[allow(unsafe_code, reason = "calls code that the compiler has not seen")]
mod native;
#[allow(unsafe_code, reason = "executes MONITORX and MWAITX to see whether it may")]
pub mod probe;
#[allow(unsafe_code, reason = "NT's prototypes, and a pointer into a wait block")]
pub mod reference;

pub use arm::{Arm, Ours, Word};
pub use host::Host;
pub use machine::{Counts, Seam, Settings, on_seam};
pub use native::{LoadError, Native};
