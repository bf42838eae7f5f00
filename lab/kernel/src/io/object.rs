//! NT's I/O objects as drivers know them, byte for byte on x64. Sources: wdm.h and ntddk.h; the sizes are asserted below.
//!
//! They lie in pool, each in pages of its own, so a driver that uses one after it was freed, or writes past its end, faults.

use crate::rtl::UnicodeString;
use core::cell::UnsafeCell;
use core::mem::offset_of;

/// A field that the driver reads and writes too: every access is a volatile one. Who may access what and when is NT's rule
/// for the structure (a stack location belongs to the driver that it is for, the cancel routine changes by exchange, ...).
#[repr(transparent)]
pub struct Field<T: Copy>(UnsafeCell<T>);

// SAFETY: the structures are shared with the driver by NT's rules; no reference into a field is ever given out.
unsafe impl<T: Copy> Sync for Field<T> {}

impl<T: Copy> Field<T> {
    /// A field with that value, for a structure that the kernel owns.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The present value.
    pub fn get(&self) -> T {
        // SAFETY: the field is initialised (its structure began zeroed) and as long as `self` mapped.
        unsafe { self.0.get().read_volatile() }
    }

    /// Stores a value.
    pub fn set(&self, value: T) {
        // SAFETY: as in `get`; NT's rules say who writes when.
        unsafe { self.0.get().write_volatile(value) };
    }

    /// The field's address, for structures that are used in place.
    pub fn pointer(&self) -> *mut T {
        self.0.get()
    }
}

/// Major function codes (wdm.h).
pub mod major {
    /// A file is opened.
    pub const CREATE: u8 = 0x00;
    /// The last reference to a file object goes.
    pub const CLOSE: u8 = 0x02;
    /// `ReadFile`.
    pub const READ: u8 = 0x03;
    /// `WriteFile`.
    pub const WRITE: u8 = 0x04;
    /// `DeviceIoControl`.
    pub const DEVICE_CONTROL: u8 = 0x0E;
    /// The same from another driver.
    pub const INTERNAL_DEVICE_CONTROL: u8 = 0x0F;
    /// The last handle to a file object is closed.
    pub const CLEANUP: u8 = 0x12;
    /// Power.
    pub const POWER: u8 = 0x16;
    /// WMI.
    pub const SYSTEM_CONTROL: u8 = 0x17;
    /// Plug and Play.
    pub const PNP: u8 = 0x1B;
    /// How many there are.
    pub const COUNT: usize = 0x1C;

    /// A code's name.
    pub fn name(code: u8) -> &'static str {
        match code {
            CREATE => "IRP_MJ_CREATE",
            CLOSE => "IRP_MJ_CLOSE",
            READ => "IRP_MJ_READ",
            WRITE => "IRP_MJ_WRITE",
            DEVICE_CONTROL => "IRP_MJ_DEVICE_CONTROL",
            INTERNAL_DEVICE_CONTROL => "IRP_MJ_INTERNAL_DEVICE_CONTROL",
            CLEANUP => "IRP_MJ_CLEANUP",
            POWER => "IRP_MJ_POWER",
            SYSTEM_CONTROL => "IRP_MJ_SYSTEM_CONTROL",
            PNP => "IRP_MJ_PNP",
            _ => "dispatch routine",
        }
    }
}

/// Minor function codes of `IRP_MJ_PNP` (wdm.h).
pub mod pnp_minor {
    /// The device may start.
    pub const START_DEVICE: u8 = 0x00;
    /// Query-remove: may the device be removed?
    pub const QUERY_REMOVE_DEVICE: u8 = 0x01;
    /// Remove.
    pub const REMOVE_DEVICE: u8 = 0x02;
    /// Cancel-remove: it stays after a query-remove.
    pub const CANCEL_REMOVE_DEVICE: u8 = 0x03;
    /// What the device can do, by its bus.
    pub const QUERY_CAPABILITIES: u8 = 0x09;
    /// Surprise removal: the hardware is gone already.
    pub const SURPRISE_REMOVAL: u8 = 0x17;
}

/// `DEVICE_OBJECT.Flags`.
pub mod device_flag {
    /// Reads and writes are buffered.
    pub const BUFFERED_IO: u32 = 0x0000_0004;
    /// Reads and writes are direct: an MDL describes the client's memory.
    pub const DIRECT_IO: u32 = 0x0000_0010;
    /// One handle at a time.
    pub const EXCLUSIVE: u32 = 0x0000_0008;
    /// It has a name.
    pub const HAS_NAME: u32 = 0x0000_0040;
    /// Not open for business yet.
    pub const DEVICE_INITIALIZING: u32 = 0x0000_0080;
    /// Power transitions may page.
    pub const POWER_PAGABLE: u32 = 0x0000_2000;
    /// It takes much power when it is turned on.
    pub const POWER_INRUSH: u32 = 0x0000_4000;
}

/// `IO_STACK_LOCATION.Control`.
pub mod control {
    /// `IoMarkIrpPending` was called.
    pub const PENDING_RETURNED: u8 = 0x01;
    /// Call the completion routine when the request was cancelled.
    pub const INVOKE_ON_CANCEL: u8 = 0x20;
    /// Call it on success.
    pub const INVOKE_ON_SUCCESS: u8 = 0x40;
    /// Call it on error.
    pub const INVOKE_ON_ERROR: u8 = 0x80;
}

/// `LIST_ENTRY`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ListEntry {
    /// The next one.
    pub flink: u64,
    /// The one before.
    pub blink: u64,
}

/// `IO_STATUS_BLOCK`.
#[repr(C)]
pub struct IoStatus {
    /// An NTSTATUS.
    pub status: Field<i32>,
    /// Bytes transferred, as a rule.
    pub information: Field<u64>,
}

/// `DRIVER_OBJECT`, 0x150 bytes.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are wdm.h's")]
pub struct DriverObject {
    pub kind: Field<i16>,
    pub size: Field<i16>,
    pub device_object: Field<*mut DeviceObject>,
    pub flags: Field<u32>,
    pub start: Field<u64>,
    pub image_size: Field<u32>,
    pub section: Field<u64>,
    pub extension: Field<*mut DriverExtension>,
    pub name: Field<UnicodeString>,
    pub hardware_database: Field<u64>,
    pub fast_io_dispatch: Field<u64>,
    pub initialize: Field<u64>,
    pub start_io: Field<u64>,
    pub unload: Field<u64>,
    pub major_function: [Field<u64>; major::COUNT],
}

/// `DRIVER_EXTENSION`, as far as drivers use it.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are wdm.h's")]
pub struct DriverExtension {
    pub driver_object: Field<*mut DriverObject>,
    pub add_device: Field<u64>,
    pub count: Field<u32>,
    pub service_key_name: Field<UnicodeString>,
}

/// `DEVICE_OBJECT`, 0x150 bytes.
#[repr(C, align(16))]
#[allow(missing_docs, reason = "the fields are wdm.h's")]
pub struct DeviceObject {
    pub kind: Field<i16>,
    pub size: Field<u16>,
    pub reference_count: Field<i32>,
    pub driver_object: Field<*mut DriverObject>,
    pub next_device: Field<*mut DeviceObject>,
    pub attached_device: Field<*mut DeviceObject>,
    pub current_irp: Field<u64>,
    pub timer: Field<u64>,
    pub flags: Field<u32>,
    pub characteristics: Field<u32>,
    pub vpb: Field<u64>,
    pub device_extension: Field<*mut u8>,
    pub device_type: Field<u32>,
    pub stack_size: Field<i8>,
    pub queue: [Field<u64>; 9],
    pub alignment_requirement: Field<u32>,
    pub device_queue: [Field<u64>; 5],
    pub dpc: [Field<u64>; 8],
    pub active_thread_count: Field<u32>,
    pub security_descriptor: Field<u64>,
    pub device_lock: [Field<u64>; 3],
    pub sector_size: Field<u16>,
    pub spare: Field<u16>,
    pub object_extension: Field<u64>,
    pub reserved: Field<u64>,
}

/// `IRP`, 0xD0 bytes; its stack locations follow it.
#[repr(C, align(16))]
#[allow(missing_docs, reason = "the fields are wdm.h's")]
pub struct Irp {
    pub kind: Field<i16>,
    pub size: Field<u16>,
    pub allocation_processor: Field<u16>,
    pub reserved: Field<u16>,
    pub mdl_address: Field<u64>,
    pub flags: Field<u32>,
    pub system_buffer: Field<*mut u8>,
    pub thread_list_entry: Field<ListEntry>,
    pub io_status: IoStatus,
    pub requestor_mode: Field<i8>,
    pub pending_returned: Field<u8>,
    pub stack_count: Field<i8>,
    pub current_location: Field<i8>,
    pub cancel: Field<u8>,
    pub cancel_irql: Field<u8>,
    pub apc_environment: Field<i8>,
    pub allocation_flags: Field<u8>,
    pub user_iosb: Field<u64>,
    pub user_event: Field<u64>,
    pub overlay: [Field<u64>; 2],
    pub cancel_routine: core::sync::atomic::AtomicU64,
    pub user_buffer: Field<u64>,
    pub driver_context: [Field<u64>; 4],
    pub thread: Field<u64>,
    pub auxiliary_buffer: Field<u64>,
    pub list_entry: Field<ListEntry>,
    pub current_stack_location: Field<*mut StackLocation>,
    pub original_file_object: Field<*mut FileObject>,
    pub irp_extension: Field<u64>,
}

/// `IO_STACK_LOCATION`, 0x48 bytes.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are wdm.h's")]
pub struct StackLocation {
    pub major_function: Field<u8>,
    pub minor_function: Field<u8>,
    pub flags: Field<u8>,
    pub control: Field<u8>,
    /// For a device control: output length, input length, control code (each in the low 32 bits), type 3 input buffer.
    /// For a read or write: length, key, byte offset.
    /// For a create: security context, options, attributes and share access, length of the extended attributes.
    pub parameters: [Field<u64>; 4],
    pub device_object: Field<*mut DeviceObject>,
    pub file_object: Field<*mut FileObject>,
    pub completion_routine: Field<u64>,
    pub context: Field<u64>,
}

/// `FILE_OBJECT`, 0xD8 bytes.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are wdm.h's")]
pub struct FileObject {
    pub kind: Field<i16>,
    pub size: Field<i16>,
    pub device_object: Field<*mut DeviceObject>,
    pub vpb: Field<u64>,
    pub fs_context: Field<u64>,
    pub fs_context2: Field<u64>,
    pub section_object_pointer: Field<u64>,
    pub private_cache_map: Field<u64>,
    pub final_status: Field<i32>,
    pub related_file_object: Field<u64>,
    pub lock_operation: Field<u8>,
    pub delete_pending: Field<u8>,
    pub read_access: Field<u8>,
    pub write_access: Field<u8>,
    pub delete_access: Field<u8>,
    pub shared_read: Field<u8>,
    pub shared_write: Field<u8>,
    pub shared_delete: Field<u8>,
    pub flags: Field<u32>,
    pub file_name: Field<UnicodeString>,
    pub current_byte_offset: Field<u64>,
    pub waiters: Field<u32>,
    pub busy: Field<u32>,
    pub last_lock: Field<u64>,
    pub lock: [Field<u64>; 3],
    pub event: [Field<u64>; 3],
    pub completion_context: Field<u64>,
    pub irp_list_lock: Field<u64>,
    pub irp_list: Field<ListEntry>,
    pub file_object_extension: Field<u64>,
}

/// `IO_SECURITY_CONTEXT`.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are wdm.h's")]
pub struct SecurityContext {
    pub quality_of_service: u64,
    pub access_state: u64,
    pub desired_access: u32,
    pub full_create_options: u32,
}

/// `DEVICE_CAPABILITIES`, 0x40 bytes.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are wdm.h's")]
pub struct DeviceCapabilities {
    pub size: Field<u16>,
    pub version: Field<u16>,
    pub flags: Field<u32>,
    pub address: Field<u32>,
    pub number: Field<u32>,
    pub device_state: [Field<u32>; 7],
    pub wake: [Field<u32>; 2],
    pub latencies: [Field<u32>; 3],
}

/// `IO_TYPE_DEVICE`.
pub const TYPE_DEVICE: i16 = 3;
/// `IO_TYPE_DRIVER`.
pub const TYPE_DRIVER: i16 = 4;
/// `IO_TYPE_FILE`.
pub const TYPE_FILE: i16 = 5;
/// `IO_TYPE_IRP`.
pub const TYPE_IRP: i16 = 6;

const _: () = {
    assert!(size_of::<DriverObject>() == 0x150);
    assert!(offset_of!(DriverObject, extension) == 0x30);
    assert!(offset_of!(DriverObject, unload) == 0x68);
    assert!(offset_of!(DriverObject, major_function) == 0x70);
    assert!(size_of::<DriverExtension>() == 0x28);
    assert!(size_of::<DeviceObject>() == 336);
    assert!(offset_of!(DeviceObject, device_extension) == 0x40);
    assert!(offset_of!(DeviceObject, stack_size) == 0x4C);
    assert!(offset_of!(DeviceObject, alignment_requirement) == 0x98);
    assert!(offset_of!(DeviceObject, security_descriptor) == 0x110);
    assert!(size_of::<Irp>() == 208);
    assert!(offset_of!(Irp, io_status) == 0x30);
    assert!(offset_of!(Irp, cancel_routine) == 0x68);
    assert!(offset_of!(Irp, driver_context) == 0x78);
    assert!(offset_of!(Irp, current_stack_location) == 0xB8);
    assert!(size_of::<StackLocation>() == 72);
    assert!(size_of::<DeviceCapabilities>() == 0x40);
    assert!(offset_of!(StackLocation, device_object) == 0x28);
    assert!(offset_of!(StackLocation, completion_routine) == 0x38);
    assert!(size_of::<FileObject>() == 0xD8);
    assert!(offset_of!(FileObject, fs_context) == 0x18);
    assert!(offset_of!(FileObject, file_name) == 0x58);
};
