//! GUIDs.

use alloc::format;
use alloc::string::String;

/// A GUID as it lies in memory.
pub type Guid = [u8; 16];

/// A GUID in text, in braces: the first three groups are little-endian numbers.
pub fn guid_text(guid: &Guid) -> String {
    let group = |bytes: &[u8], little_endian: bool| -> String {
        let hex = |byte: &u8| format!("{byte:02x}");
        if little_endian {
            bytes.iter().rev().map(hex).collect()
        } else {
            bytes.iter().map(hex).collect()
        }
    };
    let groups = [
        (0..4, true),
        (4..6, true),
        (6..8, true),
        (8..10, false),
        (10..16, false),
    ]
    .map(|(range, order)| group(&guid[range], order));
    format!("{{{}}}", groups.join("-"))
}
