//! Contexts of framework objects: what `WDF_DECLARE_CONTEXT_TYPE` is in C.

use core::{ffi::CStr, marker::PhantomData, ptr};

use wdk_sys::{
    WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO, WDFOBJECT, call_unsafe_wdf_function_binding,
};

/// The description of a context of type `T`, in a static that points to itself.
#[repr(transparent)]
pub(crate) struct ContextType<T>(WDF_OBJECT_CONTEXT_TYPE_INFO, PhantomData<fn() -> T>);

// SAFETY: it is never written.
unsafe impl<T> Sync for ContextType<T> {}

impl<T> ContextType<T> {
    pub(crate) const fn new(name: &'static CStr, this: &'static Self) -> Self {
        Self(
            WDF_OBJECT_CONTEXT_TYPE_INFO {
                Size: size::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
                ContextName: name.as_ptr(),
                ContextSize: size_of::<T>(),
                UniqueType: ptr::from_ref(this).cast(),
                EvtDriverGetUniqueContextType: None,
            },
            PhantomData,
        )
    }

    /// Attributes of an object that is to have such a context.
    pub(crate) fn attributes(&'static self) -> WDF_OBJECT_ATTRIBUTES {
        WDF_OBJECT_ATTRIBUTES {
            ContextTypeInfo: &raw const self.0,
            ..attributes()
        }
    }

    /// Where the context of `object` lies. The framework has zeroed it.
    ///
    /// # Safety
    /// The object is live, and was made with these attributes.
    pub(crate) unsafe fn of(&'static self, object: WDFOBJECT) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe {
            call_unsafe_wdf_function_binding!(WdfObjectGetTypedContextWorker, object, &raw const self.0)
        }
        .cast()
    }

    /// The context of `object`.
    ///
    /// # Safety
    /// As [`of`](Self::of); it has been set up, or all zeroes are a value; and the object outlives the borrow.
    pub(crate) unsafe fn get<'a>(&'static self, object: WDFOBJECT) -> &'a T {
        // SAFETY: the caller's promise.
        let context = unsafe { self.of(object) };
        // SAFETY: the caller's promise.
        unsafe { &*context }
    }
}

/// `WDF_OBJECT_ATTRIBUTES_INIT`.
pub(crate) fn attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size::<WDF_OBJECT_ATTRIBUTES>(),
        ExecutionLevel: wdk_sys::_WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: wdk_sys::_WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

/// A structure's size as its `Size` field wants it.
#[expect(clippy::cast_possible_truncation, reason = "structures of a few bytes")]
pub(crate) const fn size<T>() -> u32 {
    size_of::<T>() as u32
}
