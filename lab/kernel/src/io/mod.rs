//! The I/O manager, the Plug and Play manager for one root device, and the registry key of its service.
//!
//! | module | what it is |
//! |---|---|
//! | [`object`] | NT's structures, byte for byte |
//! | [`irp`] | requests: sending, completing, cancelling |
//! | [`build`] | requests that a driver has built for it |
//! | [`device`] | device objects and their stacks |
//! | [`names`] | what a name in the object manager's tree must be |
//! | [`remove_lock`], [`work_item`], [`mdl`] | what keeps a device, a driver's code and a buffer's pages while they are needed |
//! | [`interface`] | device interfaces and symbolic links |
//! | [`driver`] | a driver from its entry point to its unload routine |
//! | [`pnp`] | the root device: added, started, removed |
//! | [`client`] | what a user-mode process does: open, control, cancel, close, die |
//! | [`registry`] | the service's key |

pub mod build;
pub mod client;
pub mod device;
pub mod driver;
pub mod extension;
pub mod file;
pub mod interface;
pub mod irp;
pub mod mdl;
pub mod names;
pub mod object;
pub mod pnp;
pub mod registry;
pub mod remove_lock;
pub mod work_item;
