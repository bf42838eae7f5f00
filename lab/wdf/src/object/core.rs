//! What an object is.

use super::kind::Kind;
use crate::layout::EXECUTION_LEVEL_PASSIVE;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use rundown_lab_kernel::lock::IrqLock;

/// What an object is besides being one.
pub trait Body: Any + Send + Sync {
    /// The object is being deleted: what it has begun ends.
    fn dispose(&self, _object: &Arc<Object>) {}

    /// The same once the driver's cleanup callbacks have returned.
    fn dispose_last(&self, _object: &Arc<Object>) {}

    /// The object is destroyed: what it has goes.
    fn destroy(&self) {}

    /// As a place that requests are in.
    fn holder(&self) -> Option<&dyn Holder> {
        None
    }
}

/// A plain object, a resource list.
pub struct Plain;

impl Body for Plain {}

/// What requests wait in, or were presented from; it is told what becomes of them.
pub trait Holder {
    /// A presented request is completed, or has gone elsewhere.
    fn gone(&self, holder: &Arc<Object>, request: &Arc<Object>);
    /// The IRP of a waiting request was cancelled.
    fn canceled(&self, holder: &Arc<Object>, request: &Arc<Object>);
    /// A request that the driver has and marked is cancelled: its callback is owed.
    fn canceled_at_driver(&self, holder: &Arc<Object>, request: Arc<Object>);
}

/// Memory that a driver attached to an object, with its callbacks.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) unique_type: u64,
    /// 0 where there are only callbacks.
    pub(super) memory: u64,
    pub(super) evt_cleanup: u64,
    pub(super) evt_destroy: u64,
}

/// A framework object; `body` says the rest.
pub struct Object {
    pub(super) handle: u64,
    pub(super) kind: Kind,
    pub(super) body: Box<dyn Body>,
    pub(super) parent: IrqLock<Option<Arc<Object>>>,
    pub(super) children: IrqLock<Vec<Arc<Object>>>,
    pub(super) contexts: IrqLock<Vec<Context>>,
    pub(super) references: AtomicI64,
    pub(super) deleted: AtomicBool,
    /// `WDF_EXECUTION_LEVEL`, with inheritance resolved.
    pub(super) execution_level: AtomicU32,
    /// `WDF_SYNCHRONIZATION_SCOPE`, with inheritance resolved.
    pub(super) scope: AtomicU32,
    /// The driver's address that created it, for reports.
    pub(super) caller: u64,
}

impl Object {
    /// Its body; the object is of that type, since its handle was looked up as such.
    pub fn body<T: Body>(&self) -> &T {
        let body: &dyn Any = &*self.body;
        body.downcast_ref()
            .unwrap_or_else(|| unreachable!("a {} is no {}", self.kind.name(), core::any::type_name::<T>()))
    }

    /// As a place that requests are in.
    pub fn holder(&self) -> Option<&dyn Holder> {
        self.body.holder()
    }

    /// Its handle, as drivers have it.
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The driver's address that created it; 0 if the framework did by itself.
    pub fn caller(&self) -> u64 {
        self.caller
    }

    /// Its parent in the tree.
    pub fn parent(&self) -> Option<Arc<Object>> {
        self.parent.lock().clone()
    }

    /// Whether its callbacks are called at `PASSIVE_LEVEL` only.
    pub fn is_passive(&self) -> bool {
        self.execution_level.load(Ordering::Relaxed) == EXECUTION_LEVEL_PASSIVE
    }

    /// `WDF_SYNCHRONIZATION_SCOPE`.
    pub fn scope(&self) -> u32 {
        self.scope.load(Ordering::Relaxed)
    }
}
