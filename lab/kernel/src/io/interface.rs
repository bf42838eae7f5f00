//! How a client finds a device: by a device interface, or by name, through symbolic links.

use super::device;
use super::names;
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
/// By the name without its directory, which is `\??`, in capitals: names ignore case.
static LINKS: IrqLock<BTreeMap<String, String>> = IrqLock::new(BTreeMap::new());
/// The middle of a root device's instance path: the class under which it was installed, as `SetupDiCreateDeviceInfo` makes one up.
static CLASS: IrqLock<String> = IrqLock::new(String::new());

/// Names the setup class of the root device.
pub fn install(class: &str) {
    *CLASS.lock() = class.to_ascii_uppercase();
}

/// `IoRegisterDeviceInterface` for a physical device object; the symbolic link's name. Registering again gives the same one.
pub fn register(physical: &'static DeviceObject, class: Guid, reference: Option<&str>) -> String {
    let device = (&raw const *physical) as u64;
    let mut link = format!("\\??\\ROOT#{}#0000#{}", *CLASS.lock(), guid_text(&class));
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

/// The directory of symbolic links that programs see, under all of its names; the name without it. `None` for any other path.
fn in_link_directory(path: &str) -> Option<&str> {
    const NAMES: [&str; 5] = ["\\??\\", "\\DosDevices\\", "\\GLOBAL??\\", "\\\\.\\", "\\\\?\\"];
    let name = NAMES.into_iter().find_map(|directory| {
        let start = path.get(..directory.len())?;
        start
            .eq_ignore_ascii_case(directory)
            .then(|| &path[directory.len()..])
    })?;
    // `\DosDevices\Global\Name` is for drivers that may be loaded in a session.
    let global = name
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("Global\\"));
    Some(if global { &name[7..] } else { name })
}

/// `IoCreateSymbolicLink`.
///
/// # Errors
/// That of a name which cannot be made, or `STATUS_OBJECT_NAME_COLLISION` if there is one.
pub fn create_link(name: &str, target: &str) -> Result<(), i32> {
    names::check(name)?;
    let name = in_link_directory(name)
        .ok_or(status::OBJECT_PATH_NOT_FOUND)?
        .to_ascii_uppercase();
    let mut links = LINKS.lock();
    if links.contains_key(&name) {
        return Err(status::OBJECT_NAME_COLLISION);
    }
    links.insert(name, target.to_string());
    Ok(())
}

/// `IoDeleteSymbolicLink`.
///
/// # Errors
/// `STATUS_OBJECT_NAME_NOT_FOUND` if there is none.
pub fn delete_link(name: &str) -> Result<(), i32> {
    in_link_directory(name)
        .and_then(|name| LINKS.lock().remove(&name.to_ascii_uppercase()))
        .map(drop)
        .ok_or(status::OBJECT_NAME_NOT_FOUND)
}

/// How many links may lead to one another.
const LONGEST_CHAIN: usize = 32;

/// The device that a path names, and what of the path is behind the device's name: the name of a file on it.
///
/// # Errors
/// `STATUS_OBJECT_NAME_NOT_FOUND` if it leads nowhere.
pub fn resolve(path: &str) -> Result<(&'static DeviceObject, String), i32> {
    let mut path = path.to_string();
    for _ in 0..LONGEST_CHAIN {
        let Some(name) = in_link_directory(&path) else {
            break;
        };
        let (first, rest) = match name.find('\\') {
            Some(end) => name.split_at(end),
            None => (name, ""),
        };
        let target = LINKS.lock().get(&first.to_ascii_uppercase()).cloned();
        path = match target {
            Some(target) => target + rest,
            None => return of_link(name).ok_or(status::OBJECT_NAME_NOT_FOUND),
        };
    }
    // Behind the device's name, which may have several parts, a file's begins.
    let mut end = path.len();
    loop {
        if let Some(device) = device::by_name(&path[..end]) {
            return Ok((device, path[end..].to_string()));
        }
        end = path[..end]
            .rfind('\\')
            .filter(|&end| end > 0)
            .ok_or(status::OBJECT_NAME_NOT_FOUND)?;
    }
}

/// The device behind an enabled interface, by its link without the directory; and the reference string behind that.
fn of_link(name: &str) -> Option<(&'static DeviceObject, String)> {
    let found = INTERFACES.lock().iter().find_map(|interface| {
        let link = in_link_directory(&interface.link)?;
        let start = name.get(..link.len())?;
        let rest = &name[link.len()..];
        let same = start.eq_ignore_ascii_case(link) && (rest.is_empty() || rest.starts_with('\\'));
        (interface.enabled && same).then(|| (interface.device, rest.to_string()))
    });
    found.map(|(address, rest)| (device::check(address, "the device interface"), rest))
}

/// How many symbolic links there are: a driver deletes its own before it goes.
pub fn links() -> Vec<String> {
    LINKS.lock().keys().cloned().collect()
}
