//! Framework devices.

pub mod control;
pub mod functions;
mod state;

pub use state::State;

use crate::init::Init;
use crate::layout::{FILE_CLASS_NOT_REQUIRED, FILE_CLASS_OPTIONAL, IO_BUFFERED, IO_DIRECT, IO_NEITHER};
use crate::lock::Serial;
use crate::object::{self, Body, Kind, Object};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::io::device as wdm;
use rundown_lab_kernel::io::interface;
use rundown_lab_kernel::io::object::{DeviceObject, device_flag};
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::status;

/// The stack that a function driver's device is in.
#[derive(Clone, Copy)]
pub struct Stack {
    /// The physical device object at its bottom.
    pub physical: &'static DeviceObject,
    /// The device that this one is attached to.
    pub below: &'static DeviceObject,
}

/// A function driver's device, or a control device.
pub struct Device {
    /// Its device object.
    pub wdm: &'static DeviceObject,
    /// `None` for a control device.
    pub stack: Option<Stack>,
    /// The name that the driver gave it.
    pub name: Option<String>,
    /// What the driver said about it.
    pub init: Init,
    /// Where it is between started and removed.
    pub state: State,
    /// The lock of `WdfSynchronizationScopeDevice`.
    pub serial: Serial,
    /// Its queues, the default one included.
    queues: IrqLock<Vec<Arc<Object>>>,
    /// Its file objects, by the address of NT's.
    pub files: IrqLock<BTreeMap<u64, Arc<Object>>>,
    default_queue: IrqLock<Option<Arc<Object>>>,
    /// Its local I/O target; none of a control device.
    target: IrqLock<Option<Arc<Object>>>,
    /// Queues that take one type of request.
    routes: IrqLock<BTreeMap<u32, Arc<Object>>>,
    /// Symbolic links of its interfaces.
    interfaces: IrqLock<Vec<String>>,
    link: IrqLock<Option<String>>,
}

/// The framework device of a device object: its handle is the device extension.
pub fn of(wdm: u64) -> Arc<Object> {
    let device = wdm::check(wdm, "the framework");
    let extension = device.device_extension.get().cast::<u64>();
    // SAFETY: `create` made the extension, of eight bytes, and wrote the handle there.
    object::find(unsafe { extension.read() }, Kind::Device)
}

/// How a device takes reads and writes, by its flags: `WDF_DEVICE_IO_TYPE` (fxiotarget.hpp, `GetTargetIoType`).
pub fn io_type_of(wdm: &DeviceObject) -> u32 {
    let flags = wdm.flags.get();
    if flags & device_flag::BUFFERED_IO != 0 {
        IO_BUFFERED
    } else if flags & device_flag::DIRECT_IO != 0 {
        IO_DIRECT
    } else {
        IO_NEITHER
    }
}

/// `EvtDriverDeviceAdd` has returned: the device may be opened once it is started.
pub fn finish_initializing(device: &Arc<Object>) {
    let wdm = device.device().wdm;
    wdm.flags.set(wdm.flags.get() & !device_flag::DEVICE_INITIALIZING);
}

impl Device {
    /// Whether it is a control device that [may be opened](control), or a device that was started: too late for what belongs to its making.
    pub fn is_made(&self) -> bool {
        match self.stack {
            Some(_) => self.state.was_started(),
            None => self.wdm.flags.get() & device_flag::DEVICE_INITIALIZING == 0,
        }
    }

    /// Whether the driver wants framework file objects.
    pub fn has_files(&self) -> bool {
        self.init
            .files
            .is_some_and(|files| files.class & !FILE_CLASS_OPTIONAL != FILE_CLASS_NOT_REQUIRED)
    }

    /// Whether the driver can do without framework file objects where the sender has none.
    pub fn has_optional_files(&self) -> bool {
        self.init
            .files
            .is_some_and(|files| files.class & FILE_CLASS_OPTIONAL != 0)
    }

    /// The queue for requests with that major function.
    pub fn queue_for(&self, function: u8) -> Option<Arc<Object>> {
        let routed = self.routes.lock().get(&u32::from(function)).cloned();
        routed.or_else(|| self.default_queue.lock().clone())
    }

    /// Whether a queue is the default one.
    pub fn is_default(&self, queue: &Object) -> bool {
        self.default_queue
            .lock()
            .as_ref()
            .is_some_and(|default| default.handle() == queue.handle())
    }

    /// Its queues as they are now: whoever goes through them may wait, and holds no lock.
    pub fn queues(&self) -> Vec<Arc<Object>> {
        self.queues.lock().clone()
    }

    /// A queue is made.
    pub fn add_queue(&self, queue: &Arc<Object>) {
        self.queues.lock().push(queue.clone());
    }

    /// A queue is deleted.
    pub fn forget_queue(&self, queue: &Object) {
        self.queues.lock().retain(|own| own.handle() != queue.handle());
        self.routes.lock().retain(|_, own| own.handle() != queue.handle());
    }

    /// Makes a new queue the default one.
    ///
    /// # Errors
    /// `STATUS_UNSUCCESSFUL` if there is one already.
    pub fn set_default_queue(&self, queue: &Arc<Object>) -> Result<(), i32> {
        let mut default = self.default_queue.lock();
        if default.is_some() {
            return Err(status::UNSUCCESSFUL);
        }
        *default = Some(queue.clone());
        Ok(())
    }

    /// The I/O target that stands for what is below it in its stack.
    pub fn target(&self) -> Option<Arc<Object>> {
        self.target.lock().clone()
    }

    /// That target is made.
    pub fn set_target(&self, target: &Arc<Object>) {
        *self.target.lock() = Some(target.clone());
    }

    /// Enables or disables its interfaces.
    pub fn set_interfaces(&self, enabled: bool) {
        let links = self.interfaces.lock().clone();
        for link in links {
            // The link was registered by `create_interface`.
            let _ = interface::set_state(&link, enabled);
        }
    }

    /// Lets go of what refers back to it.
    pub fn forget(&self) {
        self.queues.lock().clear();
        self.routes.lock().clear();
        *self.default_queue.lock() = None;
        *self.target.lock() = None;
        let link = self.link.lock().take();
        if let Some(link) = link {
            // It was created by `create_symbolic_link`.
            let _ = interface::delete_link(&link);
        }
    }
}

impl Body for Device {}

impl Object {
    /// Its body as a device.
    pub fn device(&self) -> &Device {
        self.body()
    }
}
