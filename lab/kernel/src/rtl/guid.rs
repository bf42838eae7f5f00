//! GUIDs.

use alloc::format;
use alloc::string::String;
use uuid::Uuid;

/// A GUID as it lies in memory.
pub type Guid = [u8; 16];

/// A GUID in text, in braces.
pub fn guid_text(guid: &Guid) -> String {
    format!("{}", Uuid::from_bytes_le(*guid).braced())
}
