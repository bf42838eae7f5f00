//! What the driver keeps per device.

use wdk_sys::{WDF_OBJECT_CONTEXT_TYPE_INFO, WDFDEVICE, WDFQUEUE};

use crate::{
    kernel::{WaitLock, wdf::ContextType},
    object::Handles,
    stress::Stress,
};

/// A device's context.
pub(crate) struct DeviceContext {
    /// The stress run, when there is one.
    pub(crate) stress: Stress,
    /// The open handles, and what they own.
    pub(crate) handles: WaitLock<Handles>,
    /// Where requests pend.
    pub(crate) pending: WDFQUEUE,
}

static TYPE: ContextType<DeviceContext> = ContextType::new(c"DeviceContext", &TYPE);

/// For the attributes of a device.
pub(crate) const fn type_info() -> *const WDF_OBJECT_CONTEXT_TYPE_INFO {
    TYPE.info()
}

/// Sets the context of a new device up.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// The device is live, made with [`type_info`], and nobody uses its context yet.
pub(crate) unsafe fn initialize(device: WDFDEVICE, context: DeviceContext) {
    // SAFETY: the caller promises it.
    let place = unsafe { TYPE.of(device.cast()) };
    // SAFETY: the framework allocated it with the size of its type.
    unsafe { place.write(context) };
}

/// The context of a device that [`initialize`] has set up.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// The device is live, and outlives the borrow.
pub(crate) unsafe fn of<'a>(device: WDFDEVICE) -> &'a DeviceContext {
    // SAFETY: the device is live, and was made with this type.
    let context = unsafe { TYPE.of(device.cast()) };
    // SAFETY: it was set up before the first callback could run, and is only shared since.
    unsafe { &*context }
}
