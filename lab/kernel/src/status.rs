//! NTSTATUS values that the I/O manager and the framework give (ntstatus.h; the framework's own are in wdfstatus.h and wudfddi.h).

macro_rules! statuses {
    ($($name:ident = $value:literal,)*) => {
        $(#[allow(missing_docs, reason = "the name is ntstatus.h's")] pub const $name: i32 = $value as i32;)*
    };
}

statuses! {
    SUCCESS = 0x0000_0000_u32,
    TIMEOUT = 0x0000_0102_u32,
    PENDING = 0x0000_0103_u32,
    BUFFER_OVERFLOW = 0x8000_0005_u32,
    NO_MORE_ENTRIES = 0x8000_001A_u32,
    UNSUCCESSFUL = 0xC000_0001_u32,
    INFO_LENGTH_MISMATCH = 0xC000_0004_u32,
    INVALID_HANDLE = 0xC000_0008_u32,
    INVALID_PARAMETER = 0xC000_000D_u32,
    NO_SUCH_DEVICE = 0xC000_000E_u32,
    INVALID_DEVICE_REQUEST = 0xC000_0010_u32,
    MORE_PROCESSING_REQUIRED = 0xC000_0016_u32,
    ACCESS_DENIED = 0xC000_0022_u32,
    BUFFER_TOO_SMALL = 0xC000_0023_u32,
    OBJECT_TYPE_MISMATCH = 0xC000_0024_u32,
    OBJECT_NAME_NOT_FOUND = 0xC000_0034_u32,
    OBJECT_NAME_COLLISION = 0xC000_0035_u32,
    INSUFFICIENT_RESOURCES = 0xC000_009A_u32,
    NOT_SUPPORTED = 0xC000_00BB_u32,
    CANCELLED = 0xC000_0120_u32,
    INVALID_DEVICE_STATE = 0xC000_0184_u32,
    NOT_FOUND = 0xC000_0225_u32,
    WDF_PAUSED = 0xC020_0203_u32,
    WDF_BUSY = 0xC020_0204_u32,
}

/// `NT_SUCCESS`.
pub const fn is_success(status: i32) -> bool {
    status >= 0
}

/// `NT_ERROR`: neither success, nor information, nor a warning.
pub const fn is_error(status: i32) -> bool {
    status as u32 >> 30 == 3
}
