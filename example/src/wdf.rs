//! The framework, as far as the example needs it: what every KMDF driver in Rust has in some form already.

use core::{ffi::CStr, marker::PhantomData, ptr};

use wdk_sys::{
    DRIVER_OBJECT, GUID, NT_SUCCESS, NTSTATUS, PCUNICODE_STRING, PFN_WDF_DRIVER_DEVICE_ADD, PWDFDEVICE_INIT,
    WDF_DRIVER_CONFIG, WDF_IO_QUEUE_CONFIG, WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO,
    WDF_PNPPOWER_EVENT_CALLBACKS, WDF_TIMER_CONFIG, WDFDEVICE, WDFOBJECT, WDFQUEUE, WDFREQUEST, WDFTIMER,
    call_unsafe_wdf_function_binding,
};

/// The description of a context of type `T`, in a static that points to itself: `WDF_DECLARE_CONTEXT_TYPE` in C.
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
    unsafe fn of(&'static self, object: WDFOBJECT) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe {
            call_unsafe_wdf_function_binding!(WdfObjectGetTypedContextWorker, object, &raw const self.0)
        }
        .cast()
    }

    /// Sets the context of `object` up.
    ///
    /// # Safety
    /// The object is live, was made with these attributes, and nobody else looks at its context yet.
    pub(crate) unsafe fn set(&'static self, object: WDFOBJECT, value: T) {
        // SAFETY: the caller's promise.
        let context = unsafe { self.of(object) };
        // SAFETY: the framework allocated it for this type.
        unsafe { context.write(value) };
    }

    /// The context of `object`.
    ///
    /// # Safety
    /// The object is live, was made with these attributes, and outlives the borrow; its context has been set up, or all zeroes are a value.
    pub(crate) unsafe fn get<'a>(&'static self, object: WDFOBJECT) -> &'a T {
        // SAFETY: the caller's promise.
        let context = unsafe { self.of(object) };
        // SAFETY: the caller's promise.
        unsafe { &*context }
    }
}

/// `WDF_OBJECT_ATTRIBUTES_INIT`.
fn attributes() -> WDF_OBJECT_ATTRIBUTES {
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

fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if NT_SUCCESS(status) { Ok(()) } else { Err(status) }
}

/// Makes the framework's driver object.
///
/// # Safety
/// What `DriverEntry` was called with.
pub(crate) unsafe fn create_driver(
    driver: &mut DRIVER_OBJECT,
    path: PCUNICODE_STRING,
    device_add: PFN_WDF_DRIVER_DEVICE_ADD,
) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size::<WDF_DRIVER_CONFIG>(),
        EvtDriverDeviceAdd: device_add,
        ..WDF_DRIVER_CONFIG::default()
    };
    let mut attributes = attributes();
    // SAFETY: the caller's promise; configuration and attributes are copied.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            path,
            &raw mut attributes,
            &raw mut config,
            ptr::null_mut()
        )
    }
}

/// Makes a device.
///
/// # Safety
/// `init` is what `EvtDriverDeviceAdd` was called with, and not used before.
pub(crate) unsafe fn create_device(
    mut init: PWDFDEVICE_INIT,
    mut power: WDF_PNPPOWER_EVENT_CALLBACKS,
    mut requests: WDF_OBJECT_ATTRIBUTES,
    mut attributes: WDF_OBJECT_ATTRIBUTES,
) -> Result<WDFDEVICE, NTSTATUS> {
    // SAFETY: `init` is live, says the caller; the callbacks are copied.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceInitSetPnpPowerEventCallbacks, init, &raw mut power);
    };
    // SAFETY: as above.
    unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitSetRequestAttributes, init, &raw mut requests) };
    let mut device = ptr::null_mut();
    // SAFETY: `init` is used up by success; the attributes are copied; the handle is written.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreate,
            &raw mut init,
            &raw mut attributes,
            &raw mut device
        )
    })?;
    Ok(device)
}

/// Makes a timer that is the device's.
///
/// # Safety
/// The device is live.
pub(crate) unsafe fn create_timer(
    device: WDFDEVICE,
    mut config: WDF_TIMER_CONFIG,
) -> Result<WDFTIMER, NTSTATUS> {
    let mut attributes = attributes();
    attributes.ParentObject = device.cast();
    let mut timer = ptr::null_mut();
    // SAFETY: configuration and attributes are copied; the handle is written.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfTimerCreate,
            &raw mut config,
            &raw mut attributes,
            &raw mut timer
        )
    })?;
    Ok(timer)
}

/// Makes a queue of the device's.
///
/// # Safety
/// The device is live; what the queue's callbacks need is set up.
pub(crate) unsafe fn create_queue(
    device: WDFDEVICE,
    mut config: WDF_IO_QUEUE_CONFIG,
) -> Result<WDFQUEUE, NTSTATUS> {
    let mut attributes = attributes();
    let mut queue = ptr::null_mut();
    // SAFETY: the device is live, says the caller; configuration and attributes are copied; the handle is written.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfIoQueueCreate,
            device,
            &raw mut config,
            &raw mut attributes,
            &raw mut queue
        )
    })?;
    Ok(queue)
}

/// Makes the interface that a client opens.
///
/// # Safety
/// The device is live.
pub(crate) unsafe fn create_interface(device: WDFDEVICE, class: &GUID) -> Result<(), NTSTATUS> {
    // SAFETY: the caller's promise; the class is read only during the call.
    check(unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceCreateDeviceInterface, device, class, ptr::null())
    })
}

/// The oldest request of a queue, taken out of it.
///
/// # Safety
/// The queue is live.
pub(crate) unsafe fn next_request(queue: WDFQUEUE) -> Option<WDFREQUEST> {
    let mut request = ptr::null_mut();
    // SAFETY: the caller's promise; the handle is written.
    let status =
        unsafe { call_unsafe_wdf_function_binding!(WdfIoQueueRetrieveNextRequest, queue, &raw mut request) };
    NT_SUCCESS(status).then_some(request)
}

/// Completes a request with a number of eight bytes as its output.
///
/// # Safety
/// The request is this driver's, which does not touch it afterwards.
pub(crate) unsafe fn answer(request: WDFREQUEST, number: u64) {
    let mut output = ptr::null_mut();
    let length = size_of_val(&number);
    // SAFETY: the request is live, and so is its buffer until it is completed.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfRequestRetrieveOutputBuffer,
            request,
            length,
            &raw mut output,
            ptr::null_mut()
        )
    };
    let bytes = if NT_SUCCESS(status) {
        // SAFETY: so many bytes at least, of any alignment.
        unsafe { output.cast::<u64>().write_unaligned(number) };
        length as u64
    } else {
        0
    };
    // SAFETY: the caller's promise.
    unsafe { call_unsafe_wdf_function_binding!(WdfRequestCompleteWithInformation, request, status, bytes) };
}

/// Completes a request without output.
///
/// # Safety
/// As [`answer`].
pub(crate) unsafe fn complete(request: WDFREQUEST, status: NTSTATUS) {
    // SAFETY: the caller's promise.
    unsafe { call_unsafe_wdf_function_binding!(WdfRequestComplete, request, status) };
}
