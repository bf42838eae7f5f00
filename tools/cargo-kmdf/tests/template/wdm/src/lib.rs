//! A WDM driver that is loaded, makes a device, and is unloaded.

#![no_std]

extern crate wdk_panic;

use wdk_alloc::WdkAllocator;
use wdk_sys::{
    DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, NTSTATUS, NT_SUCCESS, PCUNICODE_STRING, PDRIVER_OBJECT,
    ntddk::{IoCreateDevice, IoDeleteDevice},
};

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;

/// # Safety
/// Called by Windows, once.
#[export_name = "DriverEntry"]
pub unsafe extern "system" fn driver_entry(
    driver: &mut DRIVER_OBJECT,
    _registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    driver.DriverUnload = Some(unload);
    let mut device = core::ptr::null_mut();
    // SAFETY: the driver object is Windows' own, the device has no name and no extension, and the answer goes to a local.
    let status = unsafe {
        IoCreateDevice(
            driver,
            0,
            core::ptr::null_mut(),
            FILE_DEVICE_UNKNOWN,
            0,
            0,
            &raw mut device,
        )
    };
    if NT_SUCCESS(status) {
        wdk::println!("loaded");
    }
    status
}

extern "C" fn unload(driver: PDRIVER_OBJECT) {
    // SAFETY: the driver object is valid while its driver is unloaded, and its only device is the one made above.
    unsafe { IoDeleteDevice((*driver).DeviceObject) };
    wdk::println!("unloaded");
}
