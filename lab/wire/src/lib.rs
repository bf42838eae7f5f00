//! The bytes between `rundown-lab` on the host and the test kernel in the machine.
//!
//! There are four roads, and each has its module:
//!
//! | road | direction | module |
//! |---|---|---|
//! | the initrd that QEMU hands to the kernel | host to guest, once | [`boot`], with [`native`] code and a [`script`] inside |
//! | COM1, length-prefixed frames | both ways | [`frame`], with [`counters`] inside |
//! | the debug console (port 0xE9), lines of text | guest to host | [`dump`] |
//! | rings in memory, read while the machine runs | guest to host | [`trace`] |
//!
//! [`code`] lists the judge's checks. [`sddl`] is here because both ends read the device's security descriptor: the host refuses a bad one before
//! the boot, the guest's I/O manager checks every open against it. [`tracelogging`] is here because it can be tested on the host.
//!
//! All integers are little-endian. Both ends are built from the same sources, so a version number that differs is an
//! error and never a negotiation. Nothing here panics on input: what cannot be read is a [`WireError`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod codec;

pub mod boot;
pub mod code;
pub mod counters;
pub mod dump;
pub mod frame;
pub mod native;
pub mod script;
pub mod sddl;
pub mod trace;
pub mod tracelogging;

pub use codec::WireError;
