//! The framework driver object, from `WdfDriverCreate` to the unload routine.

use crate::call::invoke;
use crate::init::Init;
use crate::layout::{DriverConfig, ObjectAttributes};
use crate::object::{self, Allowed, Body, Kind, Object};
use crate::table::Slot;
use crate::violation::require;
use crate::{device, dispatch, loader, pnp};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::io::object::DriverObject;
use rundown_lab_kernel::io::registry;
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// What a driver said about itself.
pub struct Driver {
    wdm: &'static DriverObject,
    config: DriverConfig,
    registry_path: Vec<u16>,
}

impl Driver {
    /// NT's object of it, which stays for ever.
    pub fn wdm(&self) -> &'static DriverObject {
        self.wdm
    }
}

static CURRENT: IrqLock<Option<Arc<Object>>> = IrqLock::new(None);
static SERVICE: IrqLock<String> = IrqLock::new(String::new());
/// `WDF_DRIVER_CONFIG.DriverInitFlags`.
const NON_PNP_DRIVER: u32 = 1;
const NO_DISPATCH_OVERRIDE: u32 = 2;
const COMPANION: u32 = 4;
/// `'Ddk '`, which stands for no tag (fxdriverapi.cpp:217), and the framework's own.
const NO_TAG: u32 = u32::from_le_bytes(*b"Ddk ");
const FRAMEWORK_TAG: u32 = u32::from_le_bytes(*b"FxDr");

/// The driver's object, once it has one: the default parent of everything.
pub fn object() -> Option<Arc<Object>> {
    CURRENT.lock().clone()
}

/// The loader has bound a driver.
pub fn bound(service: &str) {
    *SERVICE.lock() = service.to_string();
    let mut name = [0; 32];
    let length = service.len().min(name.len() - 1);
    name[..length].copy_from_slice(&service.as_bytes()[..length]);
    loader::globals().name.set(name);
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
        driver.delete();
    }
}

/// The registry key `...\Services\<service>\Parameters`.
pub fn parameters_key() -> String {
    registry::service_key(&SERVICE.lock()) + "\\Parameters"
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
    if config.driver_init_flags & NON_PNP_DRIVER != 0 {
        rundown_lab_kernel::log!("log: WdfDriverCreate: non-PnP drivers are not supported by the lab");
        return status::NOT_SUPPORTED;
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
    object::set_tag(tag);
    loader::globals().tag.set(tag);
    let registry_path = path.encode_utf16().chain([0]).collect();
    // SAFETY: the declaration: attributes or none.
    let driver = unsafe { object::attributes(attributes, Allowed::NO_PARENT.and_level().and_scope()) }
        .and_then(|attributes| {
            object::create(
                Kind::Driver,
                attributes.as_ref(),
                None,
                Body::Driver(Driver {
                    wdm,
                    config,
                    registry_path,
                }),
            )
        });
    if let Ok(driver) = &driver {
        *CURRENT.lock() = Some(driver.clone());
        // SAFETY: a driver object names its extension.
        let extension = unsafe { &*wdm.extension.get() };
        extension.add_device.set(add_device as *const () as u64);
        wdm.unload.set(unload as *const () as u64);
        for routine in &wdm.major_function {
            routine.set(dispatch::dispatch as *const () as u64);
        }
        loader::globals().driver.set(driver.handle());
        loader::globals().displace_driver_unload.set(1);
    }
    // SAFETY: the declaration: room for a handle, or null.
    unsafe { object::answer(driver, result) }
}

/// `AddDevice`: the driver's `EvtDriverDeviceAdd`.
unsafe extern "win64" fn add_device(_driver: u64, physical: u64) -> i32 {
    let Some(driver) = object() else {
        return status::NO_SUCH_DEVICE;
    };
    let config = driver.driver().config;
    let init = Init::for_function_driver(physical);
    let arguments = [driver.handle(), init, 0, 0, 0];
    let status = crate::call::invoke("EvtDriverDeviceAdd", config.evt_driver_device_add, arguments)
        .map_or(status::INVALID_DEVICE_REQUEST, |status| status as i32);
    let created = Init::finish(init);
    match created {
        Some(device) if !status::is_success(status) => pnp::delete(&device),
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
        driver.delete();
    }
}

unsafe extern "win64" fn get_registry_path(_globals: u64, driver: u64) -> u64 {
    object::find(driver, Kind::Driver).driver().registry_path.as_ptr() as u64
}

unsafe extern "win64" fn get_driver_object(_globals: u64, driver: u64) -> u64 {
    (&raw const *object::find(driver, Kind::Driver).driver().wdm) as u64
}

unsafe extern "win64" fn get_driver_handle(_globals: u64, wdm: u64) -> u64 {
    let driver = object().filter(|driver| (&raw const *driver.driver().wdm) as u64 == wdm);
    driver.map_or(0, |driver| driver.handle())
}

/// The driver's address that called, for objects that a callback of the framework makes on its behalf.
pub fn caller() -> u64 {
    thread::current().caller()
}

/// `wdfdriver.h`; opening its parameters key is with the other keys.
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
];
