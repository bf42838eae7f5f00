//! Device interfaces, through which a client finds the device, and symbolic links to names.

use super::device;
use super::object::DeviceObject;
use crate::lock::IrqLock;
use crate::rtl::guid::{Guid, guid_text};
use crate::status;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

struct Interface {
    class: Guid,
    /// The physical device object that it belongs to.
    device: u64,
    link: String,
    enabled: bool,
}

static INTERFACES: IrqLock<Vec<Interface>> = IrqLock::new(Vec::new());
static LINKS: IrqLock<BTreeMap<String, String>> = IrqLock::new(BTreeMap::new());

/// `IoRegisterDeviceInterface` for a physical device object; the symbolic link's name. Registering again gives the same one.
pub fn register(physical: &'static DeviceObject, class: Guid, reference: Option<&str>) -> String {
    let device = (&raw const *physical) as u64;
    let mut link = format!("\\??\\ROOT#RUNDOWN#0000#{}", guid_text(&class));
    if let Some(reference) = reference {
        link = link + "\\" + reference;
    }
    let mut interfaces = INTERFACES.lock();
    if !interfaces.iter().any(|interface| interface.link == link) {
        interfaces.push(Interface {
            class,
            device,
            link: link.clone(),
            enabled: false,
        });
    }
    link
}

/// `IoSetDeviceInterfaceState`.
///
/// # Errors
/// `STATUS_OBJECT_NAME_NOT_FOUND` for a link that was never registered.
pub fn set_state(link: &str, enabled: bool) -> Result<(), i32> {
    let mut interfaces = INTERFACES.lock();
    let interface = interfaces
        .iter_mut()
        .find(|interface| interface.link == link)
        .ok_or(status::OBJECT_NAME_NOT_FOUND)?;
    interface.enabled = enabled;
    Ok(())
}

/// The physical device object behind an enabled interface of the class.
pub fn find(class: &Guid) -> Option<&'static DeviceObject> {
    let device = INTERFACES
        .lock()
        .iter()
        .find(|i| i.enabled && i.class == *class)
        .map(|i| i.device);
    device.map(|address| device::check(address, "the device interface"))
}

/// Disables the interfaces of a device that is gone: nobody opens it any more.
pub fn disable(physical: &'static DeviceObject) {
    let device = (&raw const *physical) as u64;
    for interface in INTERFACES
        .lock()
        .iter_mut()
        .filter(|interface| interface.device == device)
    {
        interface.enabled = false;
    }
}

/// Forgets the interfaces of a device that goes.
pub fn forget(physical: &'static DeviceObject) {
    let device = (&raw const *physical) as u64;
    INTERFACES.lock().retain(|interface| interface.device != device);
}

/// `IoCreateSymbolicLink`.
///
/// # Errors
/// `STATUS_OBJECT_NAME_COLLISION` if there is one of that name.
pub fn create_link(name: &str, target: &str) -> Result<(), i32> {
    let mut links = LINKS.lock();
    if links.contains_key(name) {
        return Err(status::OBJECT_NAME_COLLISION);
    }
    links.insert(name.to_string(), target.to_string());
    Ok(())
}

/// `IoDeleteSymbolicLink`.
///
/// # Errors
/// `STATUS_OBJECT_NAME_NOT_FOUND` if there is none.
pub fn delete_link(name: &str) -> Result<(), i32> {
    LINKS
        .lock()
        .remove(name)
        .map(drop)
        .ok_or(status::OBJECT_NAME_NOT_FOUND)
}

/// How many symbolic links there are: a driver deletes its own before it goes.
pub fn links() -> Vec<String> {
    LINKS.lock().keys().cloned().collect()
}
