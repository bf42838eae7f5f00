//! Objects from their creation to their end, and the tree in which they hang.

use super::attributes;
use super::core::{Body, Context, Object};
use super::handle::{self, any};
use super::kind::Kind;
use crate::call::invoke;
use crate::layout::{
    ContextType, EXECUTION_LEVEL_DISPATCH, EXECUTION_LEVEL_INHERIT, ObjectAttributes, SCOPE_INHERIT,
    SCOPE_NONE,
};
use crate::violation::{self, violation};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use rundown_lab_kernel::bug::{bugcheck, code};
use rundown_lab_kernel::ex::references;
use rundown_lab_kernel::ke::irql::{self, DISPATCH_LEVEL};
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::ke::worker;
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::mm::pool::{self, Placement, Tag};
use rundown_lab_kernel::points;
use rundown_lab_kernel::status;

/// Context memory to handle, for `WdfObjectContextGetObject`.
pub(super) static CONTEXTS: IrqLock<BTreeMap<u64, u64>> = IrqLock::new(BTreeMap::new());
/// The tag of context memory: the driver's.
static TAG: AtomicU32 = AtomicU32::new(u32::from_le_bytes(*b"FxDr"));

/// Sets the tag of memory that is allocated on the driver's behalf.
pub fn set_tag(tag: u32) {
    TAG.store(tag, Ordering::Relaxed);
}

/// The tag of memory that is allocated on the driver's behalf.
pub fn tag() -> Tag {
    Tag(TAG.load(Ordering::Relaxed))
}

/// Creates an object with the attributes' context and callbacks. Its parent is the attributes', else `default_parent`.
///
/// # Errors
/// `STATUS_DELETE_PENDING` below a parent that is deleted already, or memory is short.
pub fn create(
    kind: Kind,
    attributes: Option<&ObjectAttributes>,
    default_parent: Option<&Arc<Object>>,
    body: impl Body,
) -> Result<Arc<Object>, i32> {
    if thread::current().caller() != 0 && points::creation_fails() {
        return Err(status::INSUFFICIENT_RESOURCES);
    }
    let parent = match attributes.map_or(0, |a| a.parent) {
        0 => default_parent.cloned(),
        handle => Some(any(handle)),
    };
    let level = attributes.map_or(EXECUTION_LEVEL_INHERIT, |a| a.execution_level);
    let scope = attributes.map_or(SCOPE_INHERIT, |a| a.synchronization_scope);
    let of_parent = |field: fn(&Object) -> &AtomicU32, default| {
        parent
            .as_ref()
            .map_or(default, |parent| field(parent).load(Ordering::Relaxed))
    };
    let level = if level == EXECUTION_LEVEL_INHERIT {
        of_parent(|o| &o.execution_level, EXECUTION_LEVEL_DISPATCH)
    } else {
        level
    };
    let scope = if scope == SCOPE_INHERIT {
        of_parent(|o| &o.scope, SCOPE_NONE)
    } else {
        scope
    };
    let object = Arc::new(Object {
        handle: handle::next(kind),
        kind,
        body: Box::new(body),
        parent: IrqLock::new(None),
        children: IrqLock::new(Vec::new()),
        contexts: IrqLock::new(Vec::new()),
        references: AtomicI64::new(1),
        deleted: AtomicBool::new(false),
        execution_level: AtomicU32::new(level),
        scope: AtomicU32::new(scope),
        caller: thread::current().caller(),
    });
    if let Some(attributes) = attributes {
        object.add_context(attributes)?;
    }
    handle::insert(&object);
    if let Some(parent) = parent {
        object.adopt(&parent).inspect_err(|_| {
            object.discard_contexts();
            handle::remove(object.handle);
        })?;
    }
    Ok(object)
}

impl Object {
    /// Hangs it below `parent`.
    ///
    /// # Errors
    /// `STATUS_DELETE_PENDING` if that is deleted already.
    fn adopt(self: &Arc<Self>, parent: &Arc<Object>) -> Result<(), i32> {
        let mut children = parent.children.lock();
        // Acquire: pairs with `clean_up`, which takes the lock after it has set this.
        if parent.deleted.load(Ordering::Acquire) {
            return Err(status::DELETE_PENDING);
        }
        *self.parent.lock() = Some(parent.clone());
        children.push(self.clone());
        Ok(())
    }

    /// The device that it is or hangs below.
    pub fn device_above(self: &Arc<Self>) -> Option<Arc<Object>> {
        let mut next = Some(self.clone());
        while let Some(object) = next {
            if object.kind == Kind::Device {
                return Some(object);
            }
            next = object.parent();
        }
        None
    }

    /// Attaches context memory (zeroed) and callbacks; the memory, if the attributes name a type, and whether it is new: of a type
    /// that is attached already it is the memory that is there.
    ///
    /// # Errors
    /// `STATUS_DELETE_PENDING` for an object that is deleted, or memory is short.
    pub fn add_context(&self, attributes: &ObjectAttributes) -> Result<(u64, bool), i32> {
        if self.deleted.load(Ordering::Acquire) {
            return Err(status::DELETE_PENDING);
        }
        let mut context = Context {
            unique_type: 0,
            memory: 0,
            evt_cleanup: attributes.evt_cleanup,
            evt_destroy: attributes.evt_destroy,
        };
        if let Some(size) = attributes::context_size(attributes) {
            context.unique_type = attributes::unique(attributes.context_type as *const ContextType);
            if size != 0 {
                if let Some(there) = self.context(context.unique_type) {
                    return Ok((there, false));
                }
                let memory = pool::allocate(size, tag(), true, Placement::Block, thread::current().caller());
                context.memory = memory.ok_or(status::INSUFFICIENT_RESOURCES)? as u64;
                CONTEXTS.lock().insert(context.memory, self.handle);
            }
        }
        self.contexts.lock().push(context);
        Ok((context.memory, true))
    }

    /// Its context memory of that type.
    pub fn context(&self, unique_type: u64) -> Option<u64> {
        self.contexts
            .lock()
            .iter()
            .find(|c| c.unique_type == unique_type && c.memory != 0)
            .map(|c| c.memory)
    }

    /// Takes a reference.
    pub fn reference(&self) {
        // Relaxed: whoever calls holds one, or the framework's is not taken back yet.
        self.references.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a reference back; the last one destroys the object.
    pub fn dereference(self: &Arc<Self>) {
        // AcqRel: whoever destroys sees what the others did.
        let before = self.references.fetch_sub(1, Ordering::AcqRel);
        if before > 1 {
            return;
        }
        if !self.deleted.load(Ordering::Acquire) {
            violation(
                violation::DEREFERENCED_AWAY,
                self.handle,
                0,
                format_args!(
                    "the last reference to a {} is taken back, and it was not deleted: WdfObjectDelete",
                    self.kind.name()
                ),
            );
        }
        self.destroy();
    }

    /// Deletes it and all below it; at a raised IRQL a worker does what may wait.
    pub fn delete(self: &Arc<Self>) {
        if irql::current() >= DISPATCH_LEVEL && self.any_below(Kind::needs_passive) {
            let object = self.clone();
            worker::queue(move || object.delete());
            return;
        }
        if self.clean_up() {
            self.release();
        }
    }

    fn any_below(&self, test: fn(Kind) -> bool) -> bool {
        test(self.kind) || self.children.lock().iter().any(|child| child.any_below(test))
    }

    /// The first half of deletion: children's cleanup callbacks, then its own. False if somebody has begun that already.
    pub fn clean_up(self: &Arc<Self>) -> bool {
        // AcqRel: exactly one caller goes on; `dereference` sees it.
        if self.deleted.swap(true, Ordering::AcqRel) {
            return false;
        }
        let children = self.children.lock().clone();
        for child in &children {
            child.clean_up();
        }
        self.body.dispose(self);
        let contexts = self.contexts.lock().clone();
        for context in contexts {
            invoke(
                "EvtCleanupCallback",
                context.evt_cleanup,
                [self.handle, 0, 0, 0, 0],
            );
        }
        self.body.dispose_last(self);
        true
    }

    /// The second half: the framework's references go, children's first.
    pub fn release(self: &Arc<Self>) {
        self.release_children();
        let parent = self.parent.lock().take();
        if let Some(parent) = parent {
            parent.children.lock().retain(|child| child.handle != self.handle);
        }
        self.dereference();
    }

    /// The children's part of that.
    pub fn release_children(&self) {
        let children = core::mem::take(&mut *self.children.lock());
        for child in &children {
            *child.parent.lock() = None;
            child.release();
        }
    }

    fn destroy(self: &Arc<Self>) {
        let contexts = self.contexts.lock().clone();
        for context in &contexts {
            invoke(
                "EvtDestroyCallback",
                context.evt_destroy,
                [self.handle, 0, 0, 0, 0],
            );
        }
        self.discard_contexts();
        self.body.destroy();
        handle::remove(self.handle);
    }
}

impl Object {
    /// The driver never saw it: its callbacks will not be called.
    pub fn forget_callbacks(&self) {
        for context in self.contexts.lock().iter_mut() {
            (context.evt_cleanup, context.evt_destroy) = (0, 0);
        }
    }

    fn discard_contexts(&self) {
        let contexts = core::mem::take(&mut *self.contexts.lock());
        for context in contexts.into_iter().filter(|context| context.memory != 0) {
            CONTEXTS.lock().remove(&context.memory);
            free(context.memory, "context of an object");
        }
    }
}

/// Frees what the framework allocated for the driver; bytes written behind its end are found here.
pub fn free(block: u64, what: &str) {
    references::freed(block);
    if pool::free(block, None, 0).is_err() {
        bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, block, 0, 0],
            format_args!("the driver wrote behind the end of the {what} at {block:#x}"),
        );
    }
}

/// At unload: nothing may be left. The driver object, and with it everything that hangs below it, is deleted already.
pub fn check_none_left() {
    let Some((first, count)) = handle::first() else {
        return;
    };
    let references = first.references.load(Ordering::Relaxed);
    bugcheck(
        code::DRIVER_VERIFIER_DETECTED_VIOLATION,
        [
            code::sub::WDF_OBJECT_LEAKED,
            count as u64,
            first.handle,
            first.caller,
        ],
        format_args!(
            "the driver unloads with {count} framework object(s) alive; the first is a {} with {references} reference(s), created from {:#x}",
            first.kind.name(),
            first.caller
        ),
    )
}

/// The end of every function that creates: the handle is stored, or the status returned.
///
/// # Safety
/// `result` is null or has room for a handle.
pub unsafe fn answer(created: Result<Arc<Object>, i32>, result: *mut u64) -> i32 {
    match created {
        Ok(object) => {
            // SAFETY: the caller promises it.
            if let Some(result) = unsafe { result.as_mut() } {
                *result = object.handle;
            }
            status::SUCCESS
        }
        Err(status) => status,
    }
}
