//! The rundown driver: NT run-down protection in Rust beside NT's own, to be stressed from user mode.
//!
//! A thin KMDF shell. [`driver`] and [`device`] are what Plug and Play sees, [`queue`] takes requests, [`ioctl`] checks them
//! and calls the engine, and [`kernel`] is the NT side of each seam that the crates below leave open.
//!
//! Everything runs at `PASSIVE_LEVEL` but the parts of a stress run that ask for `DISPATCH_LEVEL`, and everything
//! that they touch is resident.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

// The panic handler. Nothing in the driver panics on input; a broken invariant ends in a bugcheck.
use wdk_panic as _;

#[allow(
    unsafe_code,
    reason = "a release behind a call, to be looked at and never called"
)]
mod code;
#[allow(unsafe_code, reason = "as `object`: each side counts what it was granted")]
mod compare;
#[allow(unsafe_code, reason = "as `device`")]
mod context;
#[allow(
    unsafe_code,
    reason = "WDF objects are created through the framework's C interface"
)]
mod device;
#[allow(unsafe_code, reason = "entry points are called by C code")]
mod driver;
#[allow(
    unsafe_code,
    reason = "tracelogging's macros have it, and a registration is a promise to take it back"
)]
mod etw;
mod ioctl;
#[allow(unsafe_code, reason = "the NT side of the seams")]
mod kernel;
#[allow(
    unsafe_code,
    reason = "what is released was acquired: an object's own count is what makes that true"
)]
mod object;
#[allow(
    unsafe_code,
    reason = "WDF requests are reached through the framework's C interface"
)]
mod pended;
#[allow(unsafe_code, reason = "as `pended`")]
mod queue;
#[allow(unsafe_code, reason = "the native routines take what they are given on trust")]
mod reference;
#[allow(unsafe_code, reason = "as `pended`")]
mod request;
#[allow(
    unsafe_code,
    reason = "what is released was acquired: the engine's tickets are what makes that true"
)]
mod stress;

/// Fallible allocations only: `Vec::try_reserve` and the like. What must be aligned beyond 16 bytes, which this
/// allocator does not know, is a [`kernel::PoolBox`].
#[global_allocator]
static ALLOCATOR: wdk_alloc::WdkAllocator = wdk_alloc::WdkAllocator;
