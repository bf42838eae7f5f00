//! A WDM driver that is loaded and unloaded.

#![no_std]

extern crate wdk_panic;

use wdk_alloc::WdkAllocator;
use wdk_sys::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, STATUS_SUCCESS};

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
    wdk::println!("loaded");
    STATUS_SUCCESS
}

extern "C" fn unload(_driver: PDRIVER_OBJECT) {
    wdk::println!("unloaded");
}
