//! The structures that drivers fill in, x64, as in KMDF 1.31's public headers (wdfdriver.h, wdfobject.h, wdfio.h, wdfdevice.h, ...).

use core::mem::offset_of;
use rundown_lab_kernel::io::object::Field;

/// `WDF_DRIVER_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfdriver.h's")]
pub struct DriverConfig {
    pub size: u32,
    pub evt_driver_device_add: u64,
    pub evt_driver_unload: u64,
    pub driver_init_flags: u32,
    pub driver_pool_tag: u32,
}

/// `WDF_OBJECT_ATTRIBUTES`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfobject.h's")]
pub struct ObjectAttributes {
    pub size: u32,
    pub evt_cleanup: u64,
    pub evt_destroy: u64,
    pub execution_level: u32,
    pub synchronization_scope: u32,
    pub parent: u64,
    pub context_size_override: u64,
    /// A [`ContextType`], or 0.
    pub context_type: u64,
}

/// `WDF_OBJECT_CONTEXT_TYPE_INFO`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfobject.h's")]
pub struct ContextType {
    pub size: u32,
    pub name: u64,
    pub context_size: u64,
    pub unique_type: *const ContextType,
    pub get_unique: u64,
}

/// `WDF_IO_QUEUE_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfio.h's")]
pub struct QueueConfig {
    pub size: u32,
    pub dispatch_type: u32,
    pub power_managed: u32,
    pub allow_zero_length: u8,
    pub default_queue: u8,
    pub evt_io_default: u64,
    pub evt_io_read: u64,
    pub evt_io_write: u64,
    pub evt_io_device_control: u64,
    pub evt_io_internal_device_control: u64,
    pub evt_io_stop: u64,
    pub evt_io_resume: u64,
    pub evt_io_canceled_on_queue: u64,
    pub presented_requests: u32,
    pub driver: u64,
}

/// `WDF_PNPPOWER_EVENT_CALLBACKS`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the fields are wdfdevice.h's")]
pub struct PnpCallbacks {
    pub size: u32,
    pub d0_entry: u64,
    pub d0_entry_post_interrupts_enabled: u64,
    pub d0_exit: u64,
    pub d0_exit_pre_interrupts_disabled: u64,
    pub prepare_hardware: u64,
    pub release_hardware: u64,
    pub self_managed_io_cleanup: u64,
    pub self_managed_io_flush: u64,
    pub self_managed_io_init: u64,
    pub self_managed_io_suspend: u64,
    pub self_managed_io_restart: u64,
    pub surprise_removal: u64,
    pub query_remove: u64,
    pub query_stop: u64,
    pub usage_notification: u64,
    pub relations_query: u64,
    pub usage_notification_ex: u64,
}

/// `WDF_FILEOBJECT_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfdevice.h's")]
pub struct FileConfig {
    pub size: u32,
    pub evt_device_file_create: u64,
    pub evt_file_close: u64,
    pub evt_file_cleanup: u64,
    pub auto_forward: u32,
    pub class: u32,
}

/// `WDF_REQUEST_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfrequest.h's")]
pub struct RequestParameters {
    pub size: u16,
    pub minor: u8,
    pub kind: u32,
    pub parameters: [u64; 4],
}

/// `WDF_DRIVER_GLOBALS`.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are wdfglobals.h's")]
pub struct DriverGlobals {
    pub driver: Field<u64>,
    pub flags: Field<u32>,
    pub tag: Field<u32>,
    pub name: Field<[u8; 32]>,
    pub displace_driver_unload: Field<u8>,
}

/// `WDF_TIMER_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdftimer.h's")]
pub struct TimerConfig {
    pub size: u32,
    pub evt_timer: u64,
    pub period: u32,
    pub automatic_serialization: u8,
    pub tolerable_delay: u32,
    /// wdftimer.h aligns the next field to 8.
    pub padding: u32,
    pub high_resolution: u64,
}

/// `WDF_WORKITEM_CONFIG`, and `WDF_DPC_CONFIG`, which has the same shape.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfworkitem.h's")]
pub struct DeferredConfig {
    pub size: u32,
    pub callback: u64,
    pub automatic_serialization: u8,
}

/// `WDF_BIND_INFO`, with the fields that `WDF_BIND_INFO2` adds.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are the loader's")]
pub struct BindInfo {
    pub size: u32,
    pub component: *const u16,
    pub major: u32,
    pub minor: u32,
    pub build: u32,
    pub function_count: u32,
    pub function_table: *mut *const u64,
    pub module: u64,
    pub minimum_version: *const u32,
    pub client_is_newer: *mut u8,
    pub function_count_pointer: *mut u32,
    pub structure_count_pointer: *mut u32,
    pub structure_table: *mut *const u64,
}

/// Bytes of a `WDF_BIND_INFO`, the first form.
pub const BIND_INFO_1: u32 = 48;
/// Bytes of a `WDF_BIND_INFO2`.
pub const BIND_INFO_2: u32 = 88;

const _: () = {
    assert!(size_of::<DriverConfig>() == 32);
    assert!(size_of::<ObjectAttributes>() == 56);
    assert!(offset_of!(ObjectAttributes, context_type) == 48);
    assert!(size_of::<ContextType>() == 40);
    assert!(size_of::<QueueConfig>() == 96);
    assert!(offset_of!(QueueConfig, evt_io_default) == 16);
    assert!(offset_of!(QueueConfig, presented_requests) == 80);
    assert!(size_of::<PnpCallbacks>() == 144);
    assert!(size_of::<FileConfig>() == 40);
    assert!(size_of::<RequestParameters>() == 40);
    assert!(size_of::<DriverGlobals>() == 56);
    assert!(offset_of!(DriverGlobals, displace_driver_unload) == 48);
    assert!(size_of::<TimerConfig>() == 40);
    assert!(size_of::<DeferredConfig>() == 24);
    assert!(offset_of!(BindInfo, function_table) == 32);
    assert!(offset_of!(BindInfo, minimum_version) == BIND_INFO_1 as usize);
    assert!(size_of::<BindInfo>() == BIND_INFO_2 as usize);
};

/// `WDF_EXECUTION_LEVEL`: callbacks at `PASSIVE_LEVEL`.
pub const EXECUTION_LEVEL_INHERIT: u32 = 1;
/// As above.
pub const EXECUTION_LEVEL_PASSIVE: u32 = 2;
/// Callbacks at or below `DISPATCH_LEVEL`.
pub const EXECUTION_LEVEL_DISPATCH: u32 = 3;

/// `WDF_SYNCHRONIZATION_SCOPE`: as the parent has it.
pub const SCOPE_INHERIT: u32 = 1;
/// One lock for the device.
pub const SCOPE_DEVICE: u32 = 2;
/// One lock for each queue.
pub const SCOPE_QUEUE: u32 = 3;
/// No lock.
pub const SCOPE_NONE: u32 = 4;

/// `WDF_TRI_STATE`.
pub const TRI_STATE_FALSE: u32 = 0;

/// `WDF_FILEOBJECT_CLASS`: no framework file objects.
pub const FILE_CLASS_NOT_REQUIRED: u32 = 1;
/// The flag that makes them optional.
pub const FILE_CLASS_OPTIONAL: u32 = 0x8000_0000;
