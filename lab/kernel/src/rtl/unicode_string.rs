//! `UNICODE_STRING`.

use alloc::string::String;

/// `UNICODE_STRING`; lengths in bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UnicodeString {
    /// Bytes in use.
    pub length: u16,
    /// Bytes there are.
    pub maximum_length: u16,
    /// UTF-16, not necessarily terminated.
    pub buffer: *mut u16,
}

impl UnicodeString {
    /// Its text; what is no UTF-16 becomes U+FFFD.
    ///
    /// # Safety
    /// The buffer holds `length` bytes.
    pub unsafe fn to_text(&self) -> String {
        if self.length < 2 || self.buffer.is_null() {
            return String::new();
        }
        // SAFETY: the caller promises it.
        let units = unsafe { core::slice::from_raw_parts(self.buffer, usize::from(self.length / 2)) };
        String::from_utf16_lossy(units)
    }
}
