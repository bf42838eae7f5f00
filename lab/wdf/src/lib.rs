//! The Kernel-Mode Driver Framework, as far as the lab has it: `WDFLDR.SYS` and the function table of KMDF 1.31 and 1.33, written anew from
//! the public headers' layouts and the documented behaviour.
//!
//! | module | what it is |
//! |---|---|
//! | [`loader`] | `WdfVersionBind`: the driver gets its function table |
//! | [`table`] | the 458 slots: a function with its IRQLs, or a trap with its name |
//! | [`names`] | what each slot is called |
//! | [`slot`], [`globals`] | what a function is; what every call carries |
//! | [`layout`] | the structures that drivers fill in |
//! | [`object`] | objects, handles, contexts, the tree in which they live and die |
//! | [`violation`] | `WDF_VIOLATION`: what a driver did against the rules |
//! | [`driver`], [`init`], [`device`], [`file`] | the objects of those names |
//! | [`dispatch`], [`create_close`], [`pnp`], [`arrival`] | from an IRP to the framework's part of it |
//! | [`queue`], [`request`] | I/O queues, and what goes through them |
//! | [`target`] | I/O targets: where a driver sends requests |
//!
//! An object's mechanism and the functions that drivers call are apart, as in KMDF's own `fxdevice.cpp` and `fxdeviceapi.cpp`: the latter are in
//! `functions`, and [`table`] has them all. What imports what is in `ARCHITECTURE.md`.
//!
//! | module | what it is |
//! |---|---|
//! | [`lock`], [`timed`], [`registry`], [`memory`], [`collection`] | locks; timers, DPCs, work items; keys; memory and strings; collections |
//!
//! # How it checks
//! Every function is reached through the kernel's export shim, which checks the IRQL that the function's declaration allows, counts, and
//! lets chaos delay. A handle is a number that is never used twice and names its type, and it is looked up at each call: a handle of
//! another type, of a deleted object, or no handle at all is `WDF_VIOLATION`. Callbacks go through the kernel's `call_driver`,
//! which checks how they come back.
//!
//! # What it leaves out
//! Bus devices, power beyond D0 at start and D3 at removal, DMA, interrupts, I/O targets of other stacks. Slots of those trap.
#![no_std]

extern crate alloc;

pub mod arrival;
pub mod call;
pub mod collection;
pub mod create_close;
pub mod device;
pub mod dispatch;
pub mod driver;
pub mod file;
pub mod globals;
pub mod init;
pub mod layout;
pub mod loader;
pub mod lock;
pub mod memory;
pub mod names;
pub mod object;
pub mod pnp;
pub mod queue;
pub mod registry;
pub mod request;
pub mod slot;
pub mod table;
pub mod target;
pub mod timed;
pub mod verifier;
pub mod violation;

/// Makes `WDFLDR.SYS` known to the image loader.
pub fn register_exports() {
    rundown_lab_kernel::ldr::export::register(loader::EXPORTS);
}
