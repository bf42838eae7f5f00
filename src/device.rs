//! The device: its context, its interface, and the handles that are open on it.

use core::ptr;

use ex_rundown::{AtMostApcLevel, PASSIVE_LEVEL, Platform as _};
use rundown_abi::INTERFACE_GUID;
use wdk::paged_code;
use wdk_sys::{
    GUID, NTSTATUS, PWDFDEVICE_INIT, WDF_FILEOBJECT_CONFIG, WDF_OBJECT_ATTRIBUTES,
    WDF_OBJECT_CONTEXT_TYPE_INFO, WDF_PNPPOWER_EVENT_CALLBACKS, WDF_REQUEST_PARAMETERS, WDFDEVICE,
    WDFFILEOBJECT, WDFOBJECT, WDFQUEUE, WDFREQUEST, call_unsafe_wdf_function_binding,
};

use crate::{
    kernel::{Nt, WaitLock, check, privilege, size_of_u32},
    object::Handles,
    queue,
    stress::Stress,
};

/// What the driver keeps per device.
pub(crate) struct DeviceContext {
    /// The stress run, when there is one.
    pub(crate) stress: Stress,
    /// The open handles, and what they own.
    pub(crate) handles: WaitLock<Handles>,
    /// Where requests pend.
    pub(crate) pending: WDFQUEUE,
}

/// The framework's description of a context type. It points to itself.
#[repr(transparent)]
struct ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO);

// SAFETY: it is never written.
unsafe impl Sync for ContextType {}

static DEVICE_CONTEXT: ContextType = ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO {
    Size: size_of_u32::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
    ContextName: c"DeviceContext".as_ptr(),
    ContextSize: size_of::<DeviceContext>(),
    UniqueType: &raw const DEVICE_CONTEXT.0,
    EvtDriverGetUniqueContextType: None,
});

/// What is known about a request before it is queued.
struct RequestContext {
    /// Its sender may see pointers.
    with_pointers: bool,
}

static REQUEST_CONTEXT: ContextType = ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO {
    Size: size_of_u32::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
    ContextName: c"RequestContext".as_ptr(),
    ContextSize: size_of::<RequestContext>(),
    UniqueType: &raw const REQUEST_CONTEXT.0,
    EvtDriverGetUniqueContextType: None,
});

static INTERFACE: GUID = GUID {
    Data1: INTERFACE_GUID.0,
    Data2: INTERFACE_GUID.1,
    Data3: INTERFACE_GUID.2,
    Data4: INTERFACE_GUID.3,
};

/// Creates the device, its queue and its interface.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Safety
/// `init` is the framework's, given to `EvtDriverDeviceAdd`, and not used before.
///
/// # Errors
/// What the framework answers.
#[unsafe(link_section = "PAGE")]
pub(crate) unsafe fn create(mut init: PWDFDEVICE_INIT) -> Result<(), NTSTATUS> {
    paged_code!();
    let mut files = WDF_FILEOBJECT_CONFIG {
        Size: size_of_u32::<WDF_FILEOBJECT_CONFIG>(),
        EvtDeviceFileCreate: Some(evt_device_file_create),
        EvtFileCleanup: Some(evt_file_ends),
        // Again once the last request is done: a start may be overtaken by the cleanup.
        EvtFileClose: Some(evt_file_ends),
        // Optional: otherwise the framework's verifier stops the machine at a driver's request without one, which the queue refuses.
        FileObjectClass: wdk_sys::_WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCannotUseFsContexts
            | wdk_sys::_WDF_FILEOBJECT_CLASS::WdfFileObjectCanBeOptional,
        AutoForwardCleanupClose: wdk_sys::_WDF_TRI_STATE::WdfUseDefault,
    };
    let mut file_attributes = attributes();
    // SAFETY: `init` is live, says the caller; the configuration is copied.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitSetFileObjectConfig,
            init,
            &raw mut files,
            &raw mut file_attributes,
        );
    }

    let mut request_attributes = WDF_OBJECT_ATTRIBUTES {
        ContextTypeInfo: &raw const REQUEST_CONTEXT.0,
        ..attributes()
    };
    // SAFETY: `init` is live; the attributes are copied, and the context's type is static.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitSetRequestAttributes,
            init,
            &raw mut request_attributes
        );
    }
    // SAFETY: `init` is live.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitSetIoInCallerContextCallback,
            init,
            Some(evt_io_in_caller_context)
        );
    }

    let mut removal = WDF_PNPPOWER_EVENT_CALLBACKS {
        Size: size_of_u32::<WDF_PNPPOWER_EVENT_CALLBACKS>(),
        EvtDeviceQueryRemove: Some(evt_device_query_remove),
        EvtDeviceSurpriseRemoval: Some(evt_device_surprise_removal),
        EvtDeviceSelfManagedIoCleanup: Some(evt_device_self_managed_io_cleanup),
        ..WDF_PNPPOWER_EVENT_CALLBACKS::default()
    };
    // SAFETY: `init` is live; the callbacks are copied.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceInitSetPnpPowerEventCallbacks, init, &raw mut removal);
    }

    let mut device: WDFDEVICE = ptr::null_mut();
    let mut device_attributes = WDF_OBJECT_ATTRIBUTES {
        ContextTypeInfo: &raw const DEVICE_CONTEXT.0,
        // Every callback of the device, its files and its queues is called at PASSIVE_LEVEL.
        ExecutionLevel: wdk_sys::_WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive,
        ..attributes()
    };
    // SAFETY: `init` is live and used up by success; the attributes are copied; `device` is written.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreate,
            &raw mut init,
            &raw mut device_attributes,
            &raw mut device,
        )
    })?;

    let stress = Stress::new(device.cast())?;
    let handles = WaitLock::new(device.cast(), Handles::new())?;
    // SAFETY: the device is live.
    let pending = unsafe { queue::create_manual(device) }?;
    let context = context_pointer(device);
    // SAFETY: the framework allocated the context with the size of its type, and nothing reads it before the queue
    // below exists.
    unsafe {
        context.write(DeviceContext {
            stress,
            handles,
            pending,
        });
    }

    // SAFETY: the device is live and its context is initialised.
    unsafe { queue::create(device) }?;

    // SAFETY: the device is live, the GUID is read only during the call, and there is no reference string.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreateDeviceInterface,
            device,
            &raw const INTERFACE,
            ptr::null()
        )
    })
}

/// Attributes of an object as `WDF_OBJECT_ATTRIBUTES_INIT` makes them.
pub(crate) fn attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size_of_u32::<WDF_OBJECT_ATTRIBUTES>(),
        ExecutionLevel: wdk_sys::_WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: wdk_sys::_WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

fn context_pointer(device: WDFDEVICE) -> *mut DeviceContext {
    // SAFETY: the handle is a live device's, made with this context type.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfObjectGetTypedContextWorker,
            device.cast(),
            &raw const DEVICE_CONTEXT.0,
        )
    }
    .cast()
}

/// The context of a device that [`create`] has set up.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// The device is live, and outlives the borrow.
pub(crate) unsafe fn context<'a>(device: WDFDEVICE) -> &'a DeviceContext {
    // SAFETY: `create` initialised it before the first callback could run, and it is only shared since.
    unsafe { &*context_pointer(device) }
}

/// Whether the sender of a request may see pointers, as was found out in its own context.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// The request is live, and came through [`evt_io_in_caller_context`].
pub(crate) unsafe fn may_see_pointers(request: WDFREQUEST) -> bool {
    // SAFETY: every request has this context, and it was written before the request was queued.
    unsafe { (*request_context(request)).with_pointers }
}

fn request_context(request: WDFREQUEST) -> *mut RequestContext {
    // SAFETY: the handle is a live request's, made with this context type.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfObjectGetTypedContextWorker,
            request.cast(),
            &raw const REQUEST_CONTEXT.0,
        )
    }
    .cast()
}

/// A request arrives, in the context of the thread that sent it: the only place where its token can be asked.
///
/// # IRQL
/// The sender's, whatever the device's execution level is (`fxpkgio.cpp:1746` of the published framework): `PASSIVE_LEVEL` for a
/// request from user mode, `<= DISPATCH_LEVEL` for a driver's.
///
/// # Safety
/// Called by the framework with a live device, and a request that is this callback's to queue or complete.
unsafe extern "C" fn evt_io_in_caller_context(device: WDFDEVICE, request: WDFREQUEST) {
    #[expect(clippy::cast_possible_truncation, reason = "48 bytes")]
    let mut parameters = WDF_REQUEST_PARAMETERS {
        Size: size_of::<WDF_REQUEST_PARAMETERS>() as u16,
        ..WDF_REQUEST_PARAMETERS::default()
    };
    // SAFETY: the request is live; the parameters are written.
    unsafe { call_unsafe_wdf_function_binding!(WdfRequestGetParameters, request, &raw mut parameters) };
    let is_control = parameters.Type == wdk_sys::_WDF_REQUEST_TYPE::WdfRequestTypeDeviceControl;
    // SAFETY: the framework has written the member of the request's type.
    let code = unsafe { parameters.Parameters.DeviceIoControl.IoControlCode };
    let shows_pointers = is_control && code == rundown_abi::ioctl::OBJECT_STATE;
    // A token is asked at PASSIVE_LEVEL only. Who sends at another one, a driver, is shown none.
    let with_pointers = shows_pointers && Nt::current_irql() == PASSIVE_LEVEL && {
        // SAFETY: the request is live.
        let mode = unsafe { call_unsafe_wdf_function_binding!(WdfRequestGetRequestorMode, request) };
        privilege::holds_debug(mode)
    };
    // SAFETY: the framework allocated the context with the size of its type, and nobody reads it before it is queued.
    unsafe { request_context(request).write(RequestContext { with_pointers }) };
    // SAFETY: device and request are live, and the request is this callback's.
    let status = unsafe { call_unsafe_wdf_function_binding!(WdfDeviceEnqueueRequest, device, request) };
    if !wdk::nt_success(status) {
        // SAFETY: it was not queued, so it is this callback's still, and completed once.
        unsafe { call_unsafe_wdf_function_binding!(WdfRequestComplete, request, status) };
    }
}

/// The device is to be removed: not while somebody uses it. Nothing changes.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a live device.
unsafe extern "C" fn evt_device_query_remove(device: WDFDEVICE) -> NTSTATUS {
    // SAFETY: the device is live during its callback.
    let context = unsafe { context(device) };
    // SAFETY: the device's execution level is passive, and nothing here raises the IRQL.
    let level = unsafe { AtMostApcLevel::assume() };
    if context.handles.lock(&level).any_open() {
        wdk_sys::STATUS_DEVICE_BUSY
    } else {
        wdk_sys::STATUS_SUCCESS
    }
}

/// The device is gone, and handles may be open: what they started ends, and they can start nothing more.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a live device.
unsafe extern "C" fn evt_device_surprise_removal(device: WDFDEVICE) {
    // SAFETY: the device is live during its callback.
    let context = unsafe { context(device) };
    // SAFETY: the device's execution level is passive, and nothing here raises the IRQL.
    let level = unsafe { AtMostApcLevel::assume() };
    context.stress.remove(&level);
    loop {
        let objects = context.handles.lock(&level).remove();
        // Dropped without the lock, as below.
        if objects.is_none() {
            break;
        }
    }
}

/// The device is removed, and its context is about to go without being dropped. No handle is open, so nothing should go on any
/// more; but a run that did would outlive the context, and the driver's code.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a live device.
unsafe extern "C" fn evt_device_self_managed_io_cleanup(device: WDFDEVICE) {
    // SAFETY: the device is live during its callback.
    let context = unsafe { context(device) };
    // SAFETY: the callback is called at PASSIVE_LEVEL, and nothing here raises the IRQL.
    let level = unsafe { AtMostApcLevel::assume() };
    context.stress.remove(&level);
}

/// A handle is opened: it may own objects from now on.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with live objects, and a request that is this callback's to complete.
unsafe extern "C" fn evt_device_file_create(device: WDFDEVICE, request: WDFREQUEST, file: WDFFILEOBJECT) {
    // SAFETY: the device is live during its callback.
    let context = unsafe { context(device) };
    // SAFETY: the device's execution level is passive, and nothing here raises the IRQL.
    let level = unsafe { AtMostApcLevel::assume() };
    let opened = context.handles.lock(&level).open(file.cast());
    queue::complete(request, opened.map(|()| 0));
}

/// The last handle to a file object is gone, or its last request done: what it started ends.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a live file object.
unsafe extern "C" fn evt_file_ends(file: WDFFILEOBJECT) {
    // SAFETY: the file object is live during its callback, and so is its device.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfFileObjectGetDevice, file) };
    // SAFETY: as above.
    let context = unsafe { context(device) };
    // SAFETY: the device's execution level is passive, and nothing here raises the IRQL.
    let level = unsafe { AtMostApcLevel::assume() };
    let file: WDFOBJECT = file.cast();
    context.stress.close(&level, file);
    // Dropped after the lock: other handles go on while this one's waits end.
    let objects = context.handles.lock(&level).close(file);
    drop(objects);
}
