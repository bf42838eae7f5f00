//! `wdfdriver.h`; opening the driver's parameters key is with the other keys. And what the loader and NT call: binding, `AddDevice`,
//! `DriverUnload`.

use super::{CURRENT, Driver, SERVICE, object};
use crate::call::invoke;
use crate::globals::globals;
use crate::init::Init;
use crate::layout::{DriverConfig, ObjectAttributes};
use crate::object::{self as objects, Allowed, Kind};
use crate::slot::Slot;
use crate::violation::require;
use crate::{device, dispatch, pnp};
use alloc::string::ToString;
use rundown_lab_kernel::io::object::DriverObject;
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// `WDF_DRIVER_CONFIG.DriverInitFlags`.
const NON_PNP_DRIVER: u32 = 1;
const NO_DISPATCH_OVERRIDE: u32 = 2;
const COMPANION: u32 = 4;
/// `'Ddk '`, which stands for no tag (fxdriverapi.cpp:217), and the framework's own.
const NO_TAG: u32 = u32::from_le_bytes(*b"Ddk ");
const FRAMEWORK_TAG: u32 = u32::from_le_bytes(*b"FxDr");

/// The loader has bound a driver.
pub fn bound(service: &str) {
    *SERVICE.lock() = service.to_string();
    let mut name = [0; 32];
    let length = service.len().min(name.len() - 1);
    name[..length].copy_from_slice(&service.as_bytes()[..length]);
    globals().name.set(name);
}

/// The tag of a driver that names none: the first four letters of its service, "wdf" left out (fxdriver.cpp:293).
fn tag_of(service: &str) -> u32 {
    let name = service.as_bytes();
    let prefixed = name
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"wdf"));
    let name = if prefixed { &name[3..] } else { name };
    if name.len() <= 2 {
        return FRAMEWORK_TAG;
    }
    let mut tag = FRAMEWORK_TAG.to_le_bytes();
    let length = name.len().min(tag.len());
    tag[..length].copy_from_slice(&name[..length]);
    u32::from_le_bytes(tag)
}

/// The loader takes the framework away: what a failed `DriverEntry` left behind goes.
pub fn unbound() {
    let driver = CURRENT.lock().take();
    if let Some(driver) = driver {
        device::control::delete_all();
        driver.delete();
    }
}

unsafe extern "win64" fn create(
    _globals: u64,
    wdm: *const DriverObject,
    registry_path: *const UnicodeString,
    attributes: *const ObjectAttributes,
    config: *const DriverConfig,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: a WDF_DRIVER_CONFIG.
    let config = unsafe { require(config, "DriverConfig").read() };
    if config.size as usize != size_of::<DriverConfig>() {
        return status::INFO_LENGTH_MISMATCH;
    }
    if config.driver_init_flags & !(NON_PNP_DRIVER | NO_DISPATCH_OVERRIDE | COMPANION) != 0 {
        return status::INVALID_PARAMETER;
    }
    if object().is_some() {
        return status::DRIVER_INTERNAL_ERROR;
    }
    let is_non_pnp = config.driver_init_flags & NON_PNP_DRIVER != 0;
    if is_non_pnp && config.evt_driver_device_add != 0 {
        // fxdriverapi.cpp:239.
        return status::INVALID_PARAMETER;
    }
    if config.driver_init_flags & NO_DISPATCH_OVERRIDE != 0 {
        rundown_lab_kernel::log!(
            "log: WdfDriverCreate: WdfDriverInitNoDispatchOverride is not supported by the lab"
        );
        return status::NOT_SUPPORTED;
    }
    // SAFETY: the declaration: the driver object, which stays.
    let wdm: &'static DriverObject = unsafe { &*require(wdm, "DriverObject") };
    // SAFETY: the declaration: a valid UNICODE_STRING.
    let path = unsafe { &*require(registry_path, "RegistryPath") };
    // SAFETY: as above.
    let path = unsafe { path.to_text() };
    let tag = match config.driver_pool_tag {
        0 | NO_TAG => tag_of(&SERVICE.lock()),
        tag => tag,
    };
    objects::set_tag(tag);
    globals().tag.set(tag);
    let registry_path = path.encode_utf16().chain([0]).collect();
    // SAFETY: the declaration: attributes or none.
    let driver = unsafe { objects::attributes(attributes, Allowed::NO_PARENT.and_level().and_scope()) }
        .and_then(|attributes| {
            objects::create(
                Kind::Driver,
                attributes.as_ref(),
                None,
                Driver {
                    wdm,
                    config,
                    registry_path,
                },
            )
        });
    if let Ok(driver) = &driver {
        *CURRENT.lock() = Some(driver.clone());
        // SAFETY: a driver object names its extension.
        let extension = unsafe { &*wdm.extension.get() };
        // fxdriver.cpp:478: without AddDevice NT unloads a driver that still has devices, and without an unload routine none.
        let add_device = if is_non_pnp {
            0
        } else {
            add_device as *const () as u64
        };
        let unloads = !is_non_pnp || config.evt_driver_unload != 0;
        extension.add_device.set(add_device);
        wdm.unload
            .set(if unloads { unload as *const () as u64 } else { 0 });
        for routine in &wdm.major_function {
            routine.set(dispatch::dispatch as *const () as u64);
        }
        globals().driver.set(driver.handle());
        globals().displace_driver_unload.set(u8::from(unloads));
    }
    // SAFETY: the declaration: room for a handle, or null.
    unsafe { objects::answer(driver, result) }
}

/// `AddDevice`: the driver's `EvtDriverDeviceAdd`.
unsafe extern "win64" fn add_device(_driver: u64, physical: u64) -> i32 {
    let Some(driver) = object() else {
        return status::NO_SUCH_DEVICE;
    };
    let config = driver.driver().config;
    let init = Init::for_function_driver(physical);
    let arguments = [driver.handle(), init, 0, 0, 0];
    let status = invoke("EvtDriverDeviceAdd", config.evt_driver_device_add, arguments)
        .map_or(status::INVALID_DEVICE_REQUEST, |status| status as i32);
    let created = Init::finish(init);
    match created {
        Some(device) if !status::is_success(status) => {
            pnp::delete(&device);
            // A filter that fails does not keep the rest of the stack from being built (fxdevice.cpp:594).
            if device.device().init.filter {
                return status::SUCCESS;
            }
        }
        Some(device) => device::finish_initializing(&device),
        None => rundown_lab_kernel::log!(
            "log: EvtDriverDeviceAdd returned {status:#010x} and has created no device"
        ),
    }
    status
}

/// `DriverUnload`: the driver's `EvtDriverUnload`, then everything below its object goes. The stub unbinds afterwards.
unsafe extern "win64" fn unload(_driver: u64) {
    let driver = CURRENT.lock().take();
    if let Some(driver) = driver {
        invoke(
            "EvtDriverUnload",
            driver.driver().config.evt_driver_unload,
            [driver.handle(), 0, 0, 0, 0],
        );
        device::control::delete_all();
        driver.delete();
    }
}

unsafe extern "win64" fn get_registry_path(_globals: u64, driver: u64) -> u64 {
    objects::find(driver, Kind::Driver)
        .driver()
        .registry_path
        .as_ptr() as u64
}

unsafe extern "win64" fn get_driver_object(_globals: u64, driver: u64) -> u64 {
    (&raw const *objects::find(driver, Kind::Driver).driver().wdm) as u64
}

unsafe extern "win64" fn get_driver_handle(_globals: u64, wdm: u64) -> u64 {
    let driver = object().filter(|driver| (&raw const *driver.driver().wdm) as u64 == wdm);
    driver.map_or(0, |driver| driver.handle())
}

/// The lab's version of the framework (`WDF_DRIVER_VERSION_AVAILABLE_PARAMS` asks for one).
const VERSION: (u32, u32) = (1, 33);

/// `WDF_DRIVER_VERSION_AVAILABLE_PARAMS`.
#[repr(C)]
struct VersionAvailable {
    size: u32,
    major: u32,
    minor: u32,
}

/// Every minor version of its major one, down to 0 (fxdriverapi.cpp).
unsafe extern "win64" fn is_version_available(
    _globals: u64,
    driver: u64,
    asked: *const VersionAvailable,
) -> u8 {
    objects::find(driver, Kind::Driver);
    // SAFETY: the declaration: such a structure.
    let asked = unsafe { &*require(asked, "VersionAvailableParams") };
    let sound = asked.size as usize == size_of::<VersionAvailable>();
    u8::from(sound && asked.major == VERSION.0 && asked.minor <= VERSION.1)
}

unsafe extern "win64" fn retrieve_version_string(_globals: u64, driver: u64, string: u64) -> i32 {
    objects::find(driver, Kind::Driver);
    // As the framework says it while its verifier is on; the build is nobody's.
    let text = alloc::format!(
        "Kernel Mode Driver Framework (verifier on) version {}.{}.0",
        VERSION.0,
        VERSION.1
    );
    objects::find(string, Kind::String).text().assign(&text);
    status::SUCCESS
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(116, "WdfDriverCreate", 0, create as *const ()),
    Slot::new(117, "WdfDriverGetRegistryPath", 0, get_registry_path as *const ()),
    Slot::new(
        118,
        "WdfDriverWdmGetDriverObject",
        2,
        get_driver_object as *const (),
    ),
    Slot::new(
        120,
        "WdfWdmDriverGetWdfDriverHandle",
        2,
        get_driver_handle as *const (),
    ),
    Slot::new(
        122,
        "WdfDriverRetrieveVersionString",
        0,
        retrieve_version_string as *const (),
    ),
    Slot::new(
        123,
        "WdfDriverIsVersionAvailable",
        0,
        is_version_available as *const (),
    ),
];
