//! The I/O manager, the Plug and Play manager for one root device, and the registry key of its service.
//!
//! | module | what it is |
//! |---|---|
//! | [`object`] | NT's structures, byte for byte |
//! | [`irp`] | requests: sending, completing, cancelling |
//! | [`device`] | device objects and their stacks |
//! | [`interface`] | device interfaces and symbolic links |
//! | [`driver`] | a driver from its entry point to its unload routine |
//! | [`pnp`] | the root device: added, started, removed |
//! | [`client`] | what a user-mode process does: open, control, cancel, close, die |
//! | [`worker`] | system worker threads |
//! | [`registry`] | the service's key |
//! | [`control`] | COM1: requests from the host, replies to it |
//! | [`exports`] | what of all this ntoskrnl.exe exports |

pub mod client;
pub mod control;
pub mod device;
pub mod driver;
pub mod exports;
pub mod interface;
pub mod irp;
pub mod object;
pub mod pnp;
pub mod registry;
pub mod script;
pub mod service;
pub mod status;
pub mod worker;

pub use exports::EXPORTS;
