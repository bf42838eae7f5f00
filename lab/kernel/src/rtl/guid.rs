//! GUIDs.

use alloc::format;
use alloc::string::String;
use uuid::Uuid;

/// The GUID of a text in braces, or none.
pub fn parse(text: &str) -> Option<Guid> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    Uuid::try_parse(inside).ok().map(|uuid| uuid.to_bytes_le())
}

/// A GUID as it lies in memory.
pub type Guid = [u8; 16];

/// A GUID in text, in braces.
pub fn guid_text(guid: &Guid) -> String {
    format!("{}", Uuid::from_bytes_le(*guid).braced())
}
