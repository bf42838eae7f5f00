//! Run-down protection for Windows drivers.
//!
//! [`ex_rundown`] knows no system. This crate is what it needs of the NT kernel: [`Nt`] is its platform, so that a driver has
//!
//! ```
//! use ex_rundown::{Rundown, RundownRef};
//! use ex_rundown_nt::Nt;
//!
//! /// What a device keeps, for as long as somebody uses it.
//! struct Extension;
//!
//! static EXTENSION: Rundown<Extension, RundownRef<Nt>> = Rundown::<_, RundownRef<Nt>>::empty();
//! ```
//!
//! # The system's own routines
//!
//! [`NativeRundown`] and [`NativeCacheAware`] are the same thing over `ExAcquireRundownProtection` and its family, which Driver
//! Verifier and `WinDbg` know. They implement [`Protection`](ex_rundown::Protection), so guards and [`Rundown`](ex_rundown::Rundown)
//! work on them too, and the two are exchanged by one line:
//!
//! ```
//! # use ex_rundown::Rundown;
//! # struct Extension;
//! type Protection = ex_rundown_nt::NativeRundown; // or ex_rundown::RundownRef<ex_rundown_nt::Nt>
//! static EXTENSION: Rundown<Extension, Protection> = Rundown::<_, Protection>::empty();
//! ```
//!
//! # Regions
//!
//! Who holds protection below `DISPATCH_LEVEL` may be suspended with it, and then the owner waits as long. [`CriticalRegion`] keeps
//! that off, and [`protect`] is the closure form in one.
//!
//! # Linking
//!
//! The routines are bound to `ntoskrnl.exe` by their names. There is nothing to configure, and the crate goes with any version of
//! `wdk-sys`, or without. x64 only, where the IRQL is in CR8: elsewhere it is empty.
//! All routines but `ExAllocatePool2` (Windows 10 version 2004) are older than Windows 10.
#![no_std]
#![deny(unsafe_code)]
#![cfg(target_arch = "x86_64")]

#[allow(unsafe_code, reason = "`DispatchPlatform` is an unsafe trait")]
mod dispatch;
#[allow(
    unsafe_code,
    reason = "the system's routines take what they are given on trust"
)]
pub mod native;
#[allow(unsafe_code, reason = "the NT side of the seam")]
mod platform;
#[allow(unsafe_code, reason = "raw memory is its business")]
pub mod pool;
#[allow(unsafe_code, reason = "the system's routines are foreign functions")]
pub mod processors;
#[allow(
    unsafe_code,
    reason = "as `processors`; and the guard gives back the reference that it owns"
)]
mod region;
#[allow(unsafe_code, reason = "fields at fixed addresses")]
mod shared_data;
pub mod spin_budget;
#[allow(unsafe_code, reason = "foreign functions")]
mod system;

pub use dispatch::{Raised, flush_grace_periods};
pub use native::{NativeCacheAware, NativeRundown};
pub use platform::{Nt, RUNDOWN_PROTECTION_MISUSE};
pub use region::{CriticalRegion, protect};
pub use system::Event;
