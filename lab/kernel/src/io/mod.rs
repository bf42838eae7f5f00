//! The I/O manager, the Plug and Play manager for one root device, and the registry key of its service.
//!
//! | module | what it is |
//! |---|---|
//! | [`object`] | NT's structures, byte for byte |
//! | [`irp`] | requests: sending, completing, cancelling |
//! | [`device`] | device objects and their stacks |
//! | [`names`] | what a name in the object manager's tree must be |
//! | [`interface`] | device interfaces and symbolic links |
//! | [`driver`] | a driver from its entry point to its unload routine |
//! | [`pnp`] | the root device: added, started, removed |
//! | [`client`] | what a user-mode process does: open, control, cancel, close, die |
//! | [`registry`] | the service's key |

pub mod client;
pub mod device;
pub mod driver;
pub mod interface;
pub mod irp;
pub mod names;
pub mod object;
pub mod pnp;
pub mod registry;
