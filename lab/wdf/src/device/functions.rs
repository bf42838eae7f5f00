//! `wdfdevice.h`, without the functions for a `PWDFDEVICE_INIT`.

use super::{Device, Stack, State, control, io_type_of};
use crate::init::{Init, Role};
use crate::layout::{IO_BUFFERED, IO_DIRECT, ObjectAttributes};
use crate::lock::Serial;
use crate::object::{self, Allowed, Kind, Object};
use crate::slot::Slot;
use crate::target::Target;
use crate::violation::{require, routine};
use crate::{driver, pnp, queue, request};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::io::device as wdm;
use rundown_lab_kernel::io::interface;
use rundown_lab_kernel::io::object::{DeviceObject, device_flag};
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::rtl::guid::Guid;
use rundown_lab_kernel::status;

unsafe extern "win64" fn create(
    _globals: u64,
    init_pointer: *mut u64,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: a pointer to a PWDFDEVICE_INIT.
    let address = unsafe { require(init_pointer, "DeviceInit").read() };
    // SAFETY: the declaration: attributes or none.
    let attributes =
        match unsafe { object::attributes(attributes, Allowed::NO_PARENT.and_level().and_scope()) } {
            Ok(attributes) => attributes,
            Err(status) => return status,
        };
    if Init::has_security_without_name(address) {
        return status::INVALID_SECURITY_DESCR;
    }
    match try_create(address, attributes.as_ref()) {
        Ok(device) => {
            // SAFETY: as above: success uses the structure up.
            unsafe { init_pointer.write(0) };
            // SAFETY: the declaration: room for a handle.
            unsafe { object::answer(Ok(device), result) }
        }
        Err(status) => status,
    }
}

fn try_create(address: u64, attributes: Option<&ObjectAttributes>) -> Result<Arc<Object>, i32> {
    let driver = driver::object().ok_or(status::INVALID_DEVICE_STATE)?;
    let (mut init, name, security) = Init::take(address);
    let physical = match init.role {
        Role::Function { physical } => Some(wdm::check(physical, routine())),
        Role::Control => None,
    };
    if security
        .as_deref()
        .is_some_and(|text| wdm::is_security_descriptor(text).is_err())
    {
        return Err(status::INVALID_PARAMETER);
    }
    let extension_size = size_of::<u64>() as u32;
    let wdm = wdm::create(
        driver.driver().wdm(),
        extension_size,
        name.clone(),
        init.device_type,
        init.characteristics,
        init.exclusive,
        driver::caller(),
    )?;
    if let Some(security) = security {
        wdm::set_security(wdm, security);
    }
    let stack = match physical.map(|physical| (physical, wdm::attach(wdm, physical))) {
        None => None,
        Some((physical, Some(below))) => Some(Stack { physical, below }),
        Some((_, None)) => {
            // The published framework's answer (FxDevice::FdoInitialize).
            wdm::delete(wdm);
            return Err(status::NO_SUCH_DEVICE);
        }
    };
    if let Some(Stack { below, .. }) = stack.filter(|_| init.filter) {
        inherit(wdm, below);
    } else {
        let transfers = match init.io_type {
            IO_BUFFERED => device_flag::BUFFERED_IO,
            IO_DIRECT => device_flag::DIRECT_IO,
            _ => 0,
        };
        let inherited = stack.map_or(0, |stack| stack.below.flags.get() & device_flag::POWER_PAGABLE);
        wdm.flags.set(wdm.flags.get() | transfers | inherited);
    }
    if init.filter {
        init.io_type = io_type_of(wdm);
    }
    let body = Device {
        wdm,
        stack,
        name,
        init,
        state: State::default(),
        serial: Serial::new(),
        queues: IrqLock::new(Vec::new()),
        files: IrqLock::new(BTreeMap::new()),
        default_queue: IrqLock::new(None),
        target: IrqLock::new(None),
        routes: IrqLock::new(BTreeMap::new()),
        interfaces: IrqLock::new(Vec::new()),
        link: IrqLock::new(None),
    };
    let device = object::create(Kind::Device, attributes, Some(&driver), body).inspect_err(|_| {
        if let Some(stack) = stack {
            wdm::detach(stack.below);
        }
        wdm::delete(wdm);
    })?;
    if let Some(stack) = stack {
        let local = Target::local(device.clone(), stack.below, stack.physical);
        match object::create(Kind::IoTarget, None, Some(&device), local) {
            Ok(target) => device.device().set_target(&target),
            Err(status) => {
                device.forget_callbacks();
                pnp::delete(&device);
                return Err(status);
            }
        }
    }
    let extension = wdm.device_extension.get().cast::<u64>();
    // SAFETY: the extension was created with eight bytes, aligned as pool is.
    unsafe { extension.write(device.handle()) };
    Init::created(address, &device);
    if stack.is_none() {
        control::made(&device);
    }
    Ok(device)
}

/// A filter is to those above what the device below is (fxdevicekm.cpp:150).
fn inherit(wdm: &'static DeviceObject, below: &'static DeviceObject) {
    let flags = device_flag::BUFFERED_IO
        | device_flag::DIRECT_IO
        | device_flag::POWER_PAGABLE
        | device_flag::POWER_INRUSH;
    wdm.flags.set(wdm.flags.get() | below.flags.get() & flags);
    wdm.device_type.set(below.device_type.get());
    wdm.characteristics.set(below.characteristics.get());
}

unsafe extern "win64" fn create_interface(
    _globals: u64,
    device: u64,
    class: *const Guid,
    reference: *const UnicodeString,
) -> i32 {
    let object = object::find(device, Kind::Device);
    let device = object.device();
    // SAFETY: the declaration: a GUID.
    let class = unsafe { require(class, "InterfaceClassGUID").read() };
    // SAFETY: the declaration: a valid UNICODE_STRING or null.
    let reference = unsafe { reference.as_ref() };
    // SAFETY: as above.
    let reference = reference.map(|reference| unsafe { reference.to_text() });
    let Some(stack) = device.stack else {
        // fxdeviceinterfaceapi.cpp:97.
        return status::INVALID_DEVICE_REQUEST;
    };
    let link = interface::register(stack.physical, class, reference.as_deref());
    if device.state.is_started() {
        // It was registered just now.
        let _ = interface::set_state(&link, true);
    }
    device.interfaces.lock().push(link);
    status::SUCCESS
}

unsafe extern "win64" fn create_symbolic_link(_globals: u64, device: u64, name: *const UnicodeString) -> i32 {
    let object = object::find(device, Kind::Device);
    // SAFETY: the declaration: a valid UNICODE_STRING.
    let name = unsafe { &*require(name, "SymbolicLinkName") };
    // SAFETY: as above.
    let name = unsafe { name.to_text() };
    let device = object.device();
    // A device has one such link (fxdeviceapi.cpp:1030).
    if name.is_empty() || device.link.lock().is_some() {
        return status::INVALID_DEVICE_REQUEST;
    }
    let target = match (&device.name, device.stack) {
        (Some(name), _) => name.clone(),
        (None, Some(stack)) => wdm::name_of(stack.physical).unwrap_or_default(),
        // fxdevicekm.cpp:533.
        (None, None) => return status::INVALID_DEVICE_STATE,
    };
    match interface::create_link(&name, &target) {
        Ok(()) => {
            *device.link.lock() = Some(name);
            status::SUCCESS
        }
        Err(status) => status,
    }
}

unsafe extern "win64" fn get_device_object(_globals: u64, device: u64) -> u64 {
    (&raw const *object::find(device, Kind::Device).device().wdm) as u64
}

unsafe extern "win64" fn get_attached_device(_globals: u64, device: u64) -> u64 {
    let stack = object::find(device, Kind::Device).device().stack;
    stack.map_or(0, |stack| (&raw const *stack.below) as u64)
}

unsafe extern "win64" fn get_physical_device(_globals: u64, device: u64) -> u64 {
    let stack = object::find(device, Kind::Device).device().stack;
    stack.map_or(0, |stack| (&raw const *stack.physical) as u64)
}

unsafe extern "win64" fn get_device_handle(_globals: u64, wdm: u64) -> u64 {
    super::of(wdm).handle()
}

unsafe extern "win64" fn get_driver(_globals: u64, device: u64) -> u64 {
    object::find(device, Kind::Device)
        .parent()
        .map_or(0, |driver| driver.handle())
}

unsafe extern "win64" fn get_default_queue(_globals: u64, device: u64) -> u64 {
    let object = object::find(device, Kind::Device);
    let queue = object.device().default_queue.lock().clone();
    queue.map_or(0, |queue| queue.handle())
}

unsafe extern "win64" fn get_file_object(_globals: u64, device: u64, file: u64) -> u64 {
    let object = object::find(device, Kind::Device);
    let found = object.device().files.lock().get(&file).map(|file| file.handle());
    found.unwrap_or(0)
}

unsafe extern "win64" fn configure_request_dispatching(
    _globals: u64,
    device: u64,
    queue: u64,
    request_type: u32,
) -> i32 {
    let device = object::find(device, Kind::Device);
    let queue = object::find(queue, Kind::Queue);
    if queue.queue().device().handle() != device.handle() {
        return status::INVALID_DEVICE_REQUEST;
    }
    if device.device().stack.is_none() && device.device().is_made() {
        // fxdeviceapi.cpp:1925.
        return status::INVALID_DEVICE_STATE;
    }
    let routes = &mut *device.device().routes.lock();
    if routes.contains_key(&request_type) {
        return status::OBJECT_NAME_COLLISION;
    }
    routes.insert(request_type, queue);
    status::SUCCESS
}

unsafe extern "win64" fn enqueue_request(_globals: u64, device: u64, handle: u64) -> i32 {
    let device = object::find(device, Kind::Device);
    let request = object::find(handle, Kind::Request);
    request::require_owner(&request, request::Owner::Driver);
    request::require_in_caller_context(&request);
    queue::route(&device, &request).err().unwrap_or(status::SUCCESS)
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(
        30,
        "WdfWdmDeviceGetWdfDeviceHandle",
        2,
        get_device_handle as *const (),
    ),
    Slot::new(
        31,
        "WdfDeviceWdmGetDeviceObject",
        2,
        get_device_object as *const (),
    ),
    Slot::new(
        32,
        "WdfDeviceWdmGetAttachedDevice",
        2,
        get_attached_device as *const (),
    ),
    Slot::new(
        33,
        "WdfDeviceWdmGetPhysicalDevice",
        2,
        get_physical_device as *const (),
    ),
    Slot::new(39, "WdfDeviceGetDriver", 2, get_driver as *const ()),
    Slot::new(75, "WdfDeviceCreate", 0, create as *const ()),
    Slot::new(
        77,
        "WdfDeviceCreateDeviceInterface",
        0,
        create_interface as *const (),
    ),
    Slot::new(
        80,
        "WdfDeviceCreateSymbolicLink",
        0,
        create_symbolic_link as *const (),
    ),
    Slot::new(90, "WdfDeviceGetFileObject", 2, get_file_object as *const ()),
    Slot::new(91, "WdfDeviceEnqueueRequest", 2, enqueue_request as *const ()),
    Slot::new(92, "WdfDeviceGetDefaultQueue", 2, get_default_queue as *const ()),
    Slot::new(
        93,
        "WdfDeviceConfigureRequestDispatching",
        2,
        configure_request_dispatching as *const (),
    ),
];
