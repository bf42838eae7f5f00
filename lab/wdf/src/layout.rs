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

/// `WDF_OBJECT_CONTEXT_TYPE_INFO` as KMDF 1.0 had it; a [`ContextType`] begins with it.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfobject.h's")]
pub struct FirstContextType {
    pub size: u32,
    pub name: u64,
    pub context_size: u64,
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

/// `WDF_REQUEST_COMPLETION_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfrequest.h's")]
pub struct CompletionParams {
    pub size: u32,
    pub kind: u32,
    /// `IO_STATUS_BLOCK`.
    pub status: u64,
    pub information: u64,
    /// Of a read or write: memory, length, offset. Of a control request: code, input and its offset, output, its offset and length.
    pub parameters: [u64; 6],
}

/// `WDF_REQUEST_REUSE_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfrequest.h's")]
pub struct ReuseParams {
    pub size: u32,
    pub flags: u32,
    pub status: i32,
    pub new_irp: u64,
}

/// `WDF_REQUEST_SEND_OPTIONS`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfrequest.h's")]
pub struct SendOptions {
    pub size: u32,
    pub flags: u32,
    pub timeout: i64,
}

/// `WDFMEMORY_OFFSET`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfmemory.h's")]
pub struct MemoryOffset {
    pub offset: u64,
    pub length: u64,
}

/// `WDF_MEMORY_DESCRIPTOR`: a buffer and its length, an MDL and its length, or a memory object and a [`MemoryOffset`].
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the fields are wdfmemory.h's")]
pub struct MemoryDescriptor {
    pub kind: u32,
    pub what: u64,
    pub second: u64,
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
    /// wdftimer.h aligns the next field, a BOOLEAN, to 8.
    pub padding: u32,
    pub high_resolution: u8,
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

/// `WDF_BIND_INFO`, with the fields that `WDF_BIND_INFO2` adds: all pointers to globals of the client.
#[repr(C)]
#[allow(missing_docs, reason = "the fields are fxldr.h's")]
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

/// Says of every field of a structure what the published declaration says: where it lies, and whether it is a pointer or a value of
/// so many bytes. Each field's own size is compared too: a value where a pointer belongs can hide in the padding before the
/// next field, and then neither offsets nor the size of the whole tell.
macro_rules! as_published {
    ($structure:ident, $bytes:literal, $source:literal: $($field:ident: $kind:ident $($width:literal)? at $offset:literal,)*) => {
        const _: () = {
            assert!(size_of::<$structure>() == $bytes, $source);
            $(
                assert!(offset_of!($structure, $field) == $offset, $source);
                assert!(size_of_field(|whole: &$structure| &whole.$field) == width!($kind $($width)?), $source);
            )*
        };
        // No field is left out.
        const _: fn($structure) = |$structure { $($field: _,)* }| {};
    };
}

macro_rules! width {
    (pointer) => {
        size_of::<*const ()>()
    };
    (value $width:literal) => {
        $width
    };
}

const fn size_of_field<S, F>(_field: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

// Sources: Microsoft's Windows-Driver-Frameworks repository (MIT), src/publicinc/wdf/kmdf/1.31, and for the loader's structures, which
// are in no public header, src/framework/shared/inc/private/common/fxldr.h. Widths are those for x64.
as_published!(DriverConfig, 32, "wdfdriver.h:121":
    size: value 4 at 0,
    evt_driver_device_add: pointer at 8,
    evt_driver_unload: pointer at 16,
    driver_init_flags: value 4 at 24,
    driver_pool_tag: value 4 at 28,
);
as_published!(ObjectAttributes, 56, "wdfobject.h:100":
    size: value 4 at 0,
    evt_cleanup: pointer at 8,
    evt_destroy: pointer at 16,
    execution_level: value 4 at 24,
    synchronization_scope: value 4 at 28,
    parent: pointer at 32,
    context_size_override: value 8 at 40,
    context_type: pointer at 48,
);
as_published!(ContextType, 40, "wdfobject.h:183":
    size: value 4 at 0,
    name: pointer at 8,
    context_size: value 8 at 16,
    unique_type: pointer at 24,
    get_unique: pointer at 32,
);
as_published!(FirstContextType, 24, "src/framework/shared/inc/private/common/fxmin.hpp:153":
    size: value 4 at 0,
    name: pointer at 8,
    context_size: value 8 at 16,
);
as_published!(QueueConfig, 96, "wdfio.h:387":
    size: value 4 at 0,
    dispatch_type: value 4 at 4,
    power_managed: value 4 at 8,
    allow_zero_length: value 1 at 12,
    default_queue: value 1 at 13,
    evt_io_default: pointer at 16,
    evt_io_read: pointer at 24,
    evt_io_write: pointer at 32,
    evt_io_device_control: pointer at 40,
    evt_io_internal_device_control: pointer at 48,
    evt_io_stop: pointer at 56,
    evt_io_resume: pointer at 64,
    evt_io_canceled_on_queue: pointer at 72,
    presented_requests: value 4 at 80,
    driver: pointer at 88,
);
as_published!(PnpCallbacks, 144, "wdfdevice.h:1203":
    size: value 4 at 0,
    d0_entry: pointer at 8,
    d0_entry_post_interrupts_enabled: pointer at 16,
    d0_exit: pointer at 24,
    d0_exit_pre_interrupts_disabled: pointer at 32,
    prepare_hardware: pointer at 40,
    release_hardware: pointer at 48,
    self_managed_io_cleanup: pointer at 56,
    self_managed_io_flush: pointer at 64,
    self_managed_io_init: pointer at 72,
    self_managed_io_suspend: pointer at 80,
    self_managed_io_restart: pointer at 88,
    surprise_removal: pointer at 96,
    query_remove: pointer at 104,
    query_stop: pointer at 112,
    usage_notification: pointer at 120,
    relations_query: pointer at 128,
    usage_notification_ex: pointer at 136,
);
as_published!(FileConfig, 40, "wdfdevice.h:595":
    size: value 4 at 0,
    evt_device_file_create: pointer at 8,
    evt_file_close: pointer at 16,
    evt_file_cleanup: pointer at 24,
    auto_forward: value 4 at 32,
    class: value 4 at 36,
);
as_published!(RequestParameters, 40, "wdfrequest.h:136":
    size: value 2 at 0,
    minor: value 1 at 2,
    kind: value 4 at 4,
    parameters: value 32 at 8,
);
as_published!(CompletionParams, 72, "wdfrequest.h:222":
    size: value 4 at 0,
    kind: value 4 at 4,
    status: value 8 at 8,
    information: value 8 at 16,
    parameters: value 48 at 24,
);
as_published!(ReuseParams, 24, "wdfrequest.h:336":
    size: value 4 at 0,
    flags: value 4 at 4,
    status: value 4 at 8,
    new_irp: pointer at 16,
);
as_published!(SendOptions, 16, "wdfrequest.h:388":
    size: value 4 at 0,
    flags: value 4 at 4,
    timeout: value 8 at 8,
);
as_published!(MemoryOffset, 16, "wdfmemory.h:61":
    offset: value 8 at 0,
    length: value 8 at 8,
);
as_published!(MemoryDescriptor, 24, "wdfmemory.h:76":
    kind: value 4 at 0,
    what: pointer at 8,
    second: value 8 at 16,
);
as_published!(DriverGlobals, 56, "wdfglobals.h:53":
    driver: pointer at 0,
    flags: value 4 at 8,
    tag: value 4 at 12,
    name: value 32 at 16,
    displace_driver_unload: value 1 at 48,
);
as_published!(TimerConfig, 40, "wdftimer.h:75":
    size: value 4 at 0,
    evt_timer: pointer at 8,
    period: value 4 at 16,
    automatic_serialization: value 1 at 20,
    tolerable_delay: value 4 at 24,
    padding: value 4 at 28,
    high_resolution: value 1 at 32,
);
as_published!(DeferredConfig, 24, "wdfworkitem.h:66, wdfdpc.h:66":
    size: value 4 at 0,
    callback: pointer at 8,
    automatic_serialization: value 1 at 16,
);
as_published!(BindInfo, 88, "fxldr.h:79 and :98":
    size: value 4 at 0,
    component: pointer at 8,
    major: value 4 at 16,
    minor: value 4 at 20,
    build: value 4 at 24,
    function_count: value 4 at 28,
    function_table: pointer at 32,
    module: pointer at 40,
    minimum_version: pointer at 48,
    client_is_newer: pointer at 56,
    function_count_pointer: pointer at 64,
    structure_count_pointer: pointer at 72,
    structure_table: pointer at 80,
);
const _: () = assert!(
    offset_of!(BindInfo, minimum_version) == BIND_INFO_1 as usize
        && size_of::<BindInfo>() == BIND_INFO_2 as usize
);

/// `WDF_STRUCTURE_TABLE_NUM_ENTRIES` of KMDF 1.31 (wdffuncenum.h:741).
pub const STRUCTURES: usize = 81;

/// What a client newer than the framework finds in `WdfStructures`: the size that each structure has here, by its `INDEX_...`
/// (wdffuncenum.h:658). Structures of functions that the lab does not have are 0.
pub static STRUCTURE_SIZES: [u64; STRUCTURES] = {
    let mut sizes = [0; STRUCTURES];
    let known = [
        (23, size_of::<DeferredConfig>()),
        (24, size_of::<DriverConfig>()),
        (25, size_of::<DriverGlobals>()),
        (28, size_of::<FileConfig>()),
        (33, size_of::<QueueConfig>()),
        (37, size_of::<MemoryDescriptor>()),
        (38, size_of::<ObjectAttributes>()),
        (39, size_of::<ContextType>()),
        (41, size_of::<PnpCallbacks>()),
        (48, size_of::<CompletionParams>()),
        (51, size_of::<RequestParameters>()),
        (52, size_of::<ReuseParams>()),
        (53, size_of::<SendOptions>()),
        (55, size_of::<TimerConfig>()),
        (67, size_of::<DeferredConfig>()),
        (76, size_of::<MemoryOffset>()),
    ];
    let mut next = 0;
    while next < known.len() {
        sizes[known[next].0] = known[next].1 as u64;
        next += 1;
    }
    sizes
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
/// As it is by default.
pub const TRI_STATE_DEFAULT: u32 = 2;

/// `WDF_FILEOBJECT_CLASS`: no framework file objects.
pub const FILE_CLASS_NOT_REQUIRED: u32 = 1;
/// The flag that makes them optional.
pub const FILE_CLASS_OPTIONAL: u32 = 0x8000_0000;

/// `WDF_DEVICE_IO_TYPE`: the sender's own addresses.
pub const IO_NEITHER: u32 = 1;
/// A copy in pool.
pub const IO_BUFFERED: u32 = 2;
/// An MDL.
pub const IO_DIRECT: u32 = 3;

/// `WDF_REQUEST_TYPE` where a request was formatted by no type of its own.
pub const TYPE_NO_FORMAT: u32 = 0xFF;
