//! What every object of the framework's is made with.

use core::{ffi::CStr, marker::PhantomData, ptr};

use wdk_sys::{
    WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO, WDFOBJECT, call_unsafe_wdf_function_binding,
};

use super::size_of_u32;

/// Attributes of an object as `WDF_OBJECT_ATTRIBUTES_INIT` makes them.
pub(crate) fn attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size_of_u32::<WDF_OBJECT_ATTRIBUTES>(),
        ExecutionLevel: wdk_sys::_WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: wdk_sys::_WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

/// The framework's description of a context of type `T`: `WDF_DECLARE_CONTEXT_TYPE` for a static. It points to itself.
#[repr(transparent)]
pub(crate) struct ContextType<T>(WDF_OBJECT_CONTEXT_TYPE_INFO, PhantomData<fn() -> T>);

// SAFETY: it is never written.
unsafe impl<T> Sync for ContextType<T> {}

impl<T> ContextType<T> {
    /// The description in the static `this`.
    pub(crate) const fn new(name: &'static CStr, this: &'static Self) -> Self {
        Self(
            WDF_OBJECT_CONTEXT_TYPE_INFO {
                Size: size_of_u32::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
                ContextName: name.as_ptr(),
                ContextSize: size_of::<T>(),
                UniqueType: ptr::from_ref(this).cast(),
                EvtDriverGetUniqueContextType: None,
            },
            PhantomData,
        )
    }

    /// For `WDF_OBJECT_ATTRIBUTES::ContextTypeInfo`.
    pub(crate) const fn info(&'static self) -> *const WDF_OBJECT_CONTEXT_TYPE_INFO {
        &raw const self.0
    }

    /// Where the context of `object` lies. The framework allocated it with the size of `T`, zeroed.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// The object is live, and was made with this type.
    pub(crate) unsafe fn of(&'static self, object: WDFOBJECT) -> *mut T {
        // SAFETY: the caller promises it.
        unsafe { call_unsafe_wdf_function_binding!(WdfObjectGetTypedContextWorker, object, self.info()) }
            .cast()
    }
}
