//! Objects: handles, contexts, references, and the tree in which they are deleted.
//!
//! # Life
//! ```text
//! created --WdfObjectDelete, or its parent's--> cleaned up --last reference gone--> destroyed
//! ```
//! Deleting an object first cleans its subtree up, children before parents (`EvtCleanupCallback`), and then takes back the
//! framework's reference to each, children first; among siblings the oldest comes first (fxobject.cpp:887,
//! fxobjectstatemachine.cpp:1184). An object is destroyed (`EvtDestroyCallback`, then its contexts are freed) with its last reference.
//!
//! # Invariants
//! - A handle is never used again, and says by itself of what type it was.
//! - An object is in the table of handles from its creation until it is destroyed.
//! - `references` counts the framework's own one until the object is deleted, and the driver's.

mod attributes;
mod core;
pub mod functions;
mod handle;
mod kind;
mod tree;

pub use self::attributes::{Allowed, attributes};
pub use self::core::{Body, Holder, Object, Plain};
pub use self::handle::{any, find};
pub use self::kind::Kind;
pub use self::tree::{answer, check_none_left, create, free, set_tag, tag};
