//! Where a device is between started and removed.

use core::sync::atomic::{AtomicBool, Ordering};

/// Where a device is between started and removed.
#[derive(Default)]
pub struct State {
    /// `IRP_MN_START_DEVICE` has come.
    pub(crate) begun: AtomicBool,
    /// `EvtDevicePrepareHardware` has succeeded, and `EvtDeviceReleaseHardware` is owed.
    pub(crate) prepared: AtomicBool,
    /// In D0.
    pub(crate) started: AtomicBool,
    /// `EvtDeviceSelfManagedIoInit` was called.
    pub(crate) self_managed: AtomicBool,
    /// Interfaces, power-managed queues and self-managed I/O have been told that the device goes.
    pub(crate) cleaned: AtomicBool,
}

impl State {
    /// Whether a start was ever begun.
    pub fn was_started(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Whether the device is started and in D0.
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }
}
