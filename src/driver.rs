//! The driver object: entry and `AddDevice`.

use core::ptr;

use wdk::paged_code;
use wdk_sys::{
    DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, PWDFDEVICE_INIT, ULONG, WDF_DRIVER_CONFIG,
    WDF_OBJECT_ATTRIBUTES, WDFDRIVER, WDFOBJECT, call_unsafe_wdf_function_binding,
};

use crate::{
    device, etw,
    kernel::{parameters, pool, wdf::attributes},
};

/// The driver's entry point; the framework's own entry calls it.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Safety
/// Called once by the framework, with the driver object and registry path that the I/O manager gave it.
#[unsafe(export_name = "DriverEntry")]
#[unsafe(link_section = "INIT")]
pub(crate) unsafe extern "system" fn driver_entry(
    driver: &mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: crate::kernel::size_of_u32::<WDF_DRIVER_CONFIG>(),
        EvtDriverDeviceAdd: Some(evt_driver_device_add),
        DriverPoolTag: pool::TAG as ULONG,
        ..WDF_DRIVER_CONFIG::default()
    };
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        EvtCleanupCallback: Some(evt_driver_cleanup),
        ..attributes()
    };
    let mut handle: WDFDRIVER = ptr::null_mut();
    // SAFETY: driver object and registry path are the I/O manager's, the configuration outlives the call, and the handle
    // is written on success.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            &raw mut attributes,
            &raw mut config,
            &raw mut handle,
        )
    };
    if wdk::nt_success(status) {
        // SAFETY: the handle is the driver's; devices are added when this has returned.
        unsafe { parameters::read(handle) };
        // SAFETY: the driver object is there, and its cleanup takes the registration back.
        unsafe { etw::register() };
    }
    status
}

/// The driver object goes: at unload, or when its entry has failed after all. Its devices are gone.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`.
unsafe extern "C" fn evt_driver_cleanup(_driver: WDFOBJECT) {
    etw::unregister();
    // A wait returns when the last of its DPCs says so, some instructions before that returns as well.
    ex_rundown_nt::flush_grace_periods();
}

/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a device that is being set up.
#[unsafe(link_section = "PAGE")]
unsafe extern "C" fn evt_driver_device_add(_driver: WDFDRIVER, init: PWDFDEVICE_INIT) -> NTSTATUS {
    paged_code!();
    // SAFETY: `init` is the framework's, and this callback's to use up.
    match unsafe { device::create(init) } {
        Ok(()) => wdk_sys::STATUS_SUCCESS,
        Err(status) => {
            wdk::println!("rundown: the device could not be created: {status:#010x}");
            status
        }
    }
}
