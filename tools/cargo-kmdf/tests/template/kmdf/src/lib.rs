//! A KMDF driver that makes a device, with functions that `rundown.sys` does not use.

#![no_std]

extern crate wdk_panic;

use wdk_alloc::WdkAllocator;
use wdk_sys::{
    call_unsafe_wdf_function_binding, NTSTATUS, NT_SUCCESS, PCUNICODE_STRING, PDRIVER_OBJECT, ULONG,
    WDFDEVICE, WDFDEVICE_INIT, WDFDRIVER, WDFSTRING, WDF_DRIVER_CONFIG, WDF_NO_HANDLE,
    WDF_NO_OBJECT_ATTRIBUTES,
};

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;

/// # Safety
/// Called by Windows, once.
#[export_name = "DriverEntry"]
pub unsafe extern "system" fn driver_entry(
    driver: PDRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size_of::<WDF_DRIVER_CONFIG>() as ULONG,
        EvtDriverDeviceAdd: Some(device_add),
        ..WDF_DRIVER_CONFIG::default()
    };
    // SAFETY: the driver and its path are Windows'; the configuration is read in the call.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            WDF_NO_OBJECT_ATTRIBUTES,
            &mut config,
            WDF_NO_HANDLE.cast::<WDFDRIVER>(),
        )
    }
}

extern "C" fn device_add(_driver: WDFDRIVER, mut init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    let mut device: WDFDEVICE = core::ptr::null_mut();
    // SAFETY: the framework's own init, which the call takes.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceCreate, &mut init, WDF_NO_OBJECT_ATTRIBUTES, &mut device)
    };
    wdk::println!("device: {status:#x}");
    if !NT_SUCCESS(status) {
        return status;
    }
    let mut text: WDFSTRING = core::ptr::null_mut();
    // SAFETY: no text to begin with, and a string that the framework deletes with the driver.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfStringCreate,
            core::ptr::null(),
            WDF_NO_OBJECT_ATTRIBUTES,
            &mut text
        )
    }
}
