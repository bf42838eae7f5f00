//! The framework driver object.

pub mod functions;

use crate::layout::DriverConfig;
use crate::object::{Body, Object};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::io::object::DriverObject;
use rundown_lab_kernel::io::registry;
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::lock::IrqLock;

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
/// The driver's object, once it has one: the default parent of everything.
pub fn object() -> Option<Arc<Object>> {
    CURRENT.lock().clone()
}

/// The registry key `...\Services\<service>\Parameters`.
pub fn parameters_key() -> String {
    registry::service_key(&SERVICE.lock()) + "\\Parameters"
}

/// The driver's address that called, for objects that a callback of the framework makes on its behalf.
pub fn caller() -> u64 {
    thread::current().caller()
}

impl Body for Driver {}

impl Object {
    /// Its body as a driver.
    pub fn driver(&self) -> &Driver {
        self.body()
    }
}
