//! A probe: as much of a KMDF driver as shows that the kit builds one.

#![no_std]

use core::{mem::size_of, ptr};

use rundown_abi as abi;
use wdk_alloc::WdkAllocator;
// The panic handler.
use wdk_panic as _;
use wdk_sys::{
    call_unsafe_wdf_function_binding, DRIVER_OBJECT, GUID, NTSTATUS, NT_SUCCESS, PCUNICODE_STRING, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS, ULONG, WDFDEVICE, WDFDEVICE_INIT, WDFDRIVER, WDFFILEOBJECT, WDFQUEUE, WDFREQUEST, WDF_DRIVER_CONFIG,
    WDF_FILEOBJECT_CONFIG, WDF_IO_QUEUE_CONFIG, WDF_NO_OBJECT_ATTRIBUTES, _WDF_FILEOBJECT_CLASS,
    _WDF_IO_QUEUE_DISPATCH_TYPE, _WDF_TRI_STATE,
};

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;

const fn size<T>() -> ULONG {
    assert!(size_of::<T>() <= u16::MAX as usize);
    size_of::<T>() as ULONG
}

/// The entry point that the framework's own calls.
///
/// # Safety
///
/// Called by the I/O manager, with its arguments.
// SAFETY: the linker's entry library refers to this name and nothing else in the image has it.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(driver: &mut DRIVER_OBJECT, registry_path: PCUNICODE_STRING) -> NTSTATUS {
    wdk::println!("rundown: probe");
    let mut config = WDF_DRIVER_CONFIG {
        Size: size::<WDF_DRIVER_CONFIG>(),
        EvtDriverDeviceAdd: Some(device_add),
        ..WDF_DRIVER_CONFIG::default()
    };
    // SAFETY: the arguments are the I/O manager's, the configuration outlives the call.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            WDF_NO_OBJECT_ATTRIBUTES,
            &raw mut config,
            ptr::null_mut::<WDFDRIVER>()
        )
    }
}

unsafe extern "C" fn device_add(_driver: WDFDRIVER, mut init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    let mut files = WDF_FILEOBJECT_CONFIG {
        Size: size::<WDF_FILEOBJECT_CONFIG>(),
        EvtFileCleanup: Some(file_cleanup),
        AutoForwardCleanupClose: _WDF_TRI_STATE::WdfUseDefault,
        FileObjectClass: _WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCannotUseFsContexts,
        ..WDF_FILEOBJECT_CONFIG::default()
    };
    // SAFETY: the framework gave the initialisation structure for this call.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitSetFileObjectConfig,
            init,
            &raw mut files,
            WDF_NO_OBJECT_ATTRIBUTES
        );
    }

    let mut device: WDFDEVICE = ptr::null_mut();
    // SAFETY: as above; `device` is written before it is read.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceCreate, &raw mut init, WDF_NO_OBJECT_ATTRIBUTES, &raw mut device)
    };
    if !NT_SUCCESS(status) {
        return status;
    }

    let mut queue = WDF_IO_QUEUE_CONFIG {
        Size: size::<WDF_IO_QUEUE_CONFIG>(),
        DispatchType: _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel,
        PowerManaged: _WDF_TRI_STATE::WdfFalse,
        DefaultQueue: 1,
        EvtIoDeviceControl: Some(device_control),
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    queue.Settings.Parallel.NumberOfPresentedRequests = ULONG::MAX;
    // SAFETY: `device` is the framework's, the configuration outlives the call.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfIoQueueCreate,
            device,
            &raw mut queue,
            WDF_NO_OBJECT_ATTRIBUTES,
            ptr::null_mut::<WDFQUEUE>()
        )
    };
    if !NT_SUCCESS(status) {
        return status;
    }

    let (data1, data2, data3, data4) = abi::INTERFACE_GUID;
    let guid = GUID { Data1: data1, Data2: data2, Data3: data3, Data4: data4 };
    // SAFETY: as above; there is no reference string.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceCreateDeviceInterface, device, &raw const guid, ptr::null())
    }
}

unsafe extern "C" fn file_cleanup(_file: WDFFILEOBJECT) {}

unsafe extern "C" fn device_control(
    _queue: WDFQUEUE,
    request: WDFREQUEST,
    _output_length: usize,
    _input_length: usize,
    code: ULONG,
) {
    let status = if code == abi::ioctl::QUERY_INFO { STATUS_SUCCESS } else { STATUS_INVALID_DEVICE_REQUEST };
    // SAFETY: the request is the framework's and has not been completed.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfRequestComplete, request, status);
    }
}
