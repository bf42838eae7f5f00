//! The device: its interface, its callbacks, and the handles that are open on it.

use core::ptr;

use ex_rundown::{AtMostApcLevel, PASSIVE_LEVEL, Platform as _};
use rundown_abi::INTERFACE_GUID;
use wdk::paged_code;
use wdk_sys::{
    GUID, NTSTATUS, PWDFDEVICE_INIT, WDF_FILEOBJECT_CONFIG, WDF_OBJECT_ATTRIBUTES,
    WDF_PNPPOWER_EVENT_CALLBACKS, WDF_REQUEST_PARAMETERS, WDFDEVICE, WDFFILEOBJECT, WDFOBJECT, WDFREQUEST,
    call_unsafe_wdf_function_binding,
};

use crate::{
    context::{self, DeviceContext},
    kernel::{Nt, WaitLock, check, privilege, size_of_u32, wdf::attributes},
    object::Handles,
    queue, request,
    stress::Stress,
};

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
        ContextTypeInfo: request::type_info(),
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
        ContextTypeInfo: context::type_info(),
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
    let context = DeviceContext {
        stress,
        handles,
        pending,
    };
    // SAFETY: the device is live, made with this context above, which nothing reads before the queue below exists.
    unsafe { context::initialize(device, context) };

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
    // SAFETY: the request is live, and is queued below.
    unsafe { request::show_pointers(request, with_pointers) };
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
    let context = unsafe { context::of(device) };
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
    let context = unsafe { context::of(device) };
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
    let context = unsafe { context::of(device) };
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
    let context = unsafe { context::of(device) };
    // SAFETY: the device's execution level is passive, and nothing here raises the IRQL.
    let level = unsafe { AtMostApcLevel::assume() };
    let opened = context.handles.lock(&level).open(file.cast());
    request::complete(request, opened.map(|()| 0));
}

/// The last handle to a file object is gone, or its last request done: what it started ends.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a live file object.
unsafe extern "C" fn evt_file_ends(file: WDFFILEOBJECT) {
    // SAFETY: the file object is live during its callback, and so is its device.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfFileObjectGetDevice, file) };
    // SAFETY: as above.
    let context = unsafe { context::of(device) };
    // SAFETY: the device's execution level is passive, and nothing here raises the IRQL.
    let level = unsafe { AtMostApcLevel::assume() };
    let file: WDFOBJECT = file.cast();
    context.stress.close(&level, file);
    // Dropped after the lock: other handles go on while this one's waits end.
    let objects = context.handles.lock(&level).close(file);
    drop(objects);
}
