//! The driver's version resource, which Explorer, `lm v` in `WinDbg` and Driver Verifier's reports show.
//!
//! Written as a compiled resource file, which both link.exe and lld take: a resource compiler would be one more tool, and
//! another one on each system. Sources: "Resource File Formats", "`VS_VERSIONINFO`" and "`VS_FIXEDFILEINFO`" (Microsoft Learn).

const RT_VERSION: u16 = 16;
const LANGUAGE_ENGLISH_US: u16 = 0x0409;
const CODE_PAGE_UNICODE: u16 = 0x04B0;
const MOVEABLE_PURE: u16 = 0x0030;

/// A resource file with the version resource alone; `version` is the package's three numbers.
pub(crate) fn encode(version: [u16; 3], text: &[(&str, &str)]) -> Vec<u8> {
    let strings: Vec<u8> = text
        .iter()
        .map(|(name, value)| {
            let characters = u16::try_from(value.len() + 1).expect("a text of the manifest is short");
            block(name, Value::Text(characters), &wide(value), &[])
        })
        .fold(Vec::new(), joined);
    let table = format!("{LANGUAGE_ENGLISH_US:04x}{CODE_PAGE_UNICODE:04x}");
    let table = block(&table, Value::Text(0), &[], &strings);
    let translation = [LANGUAGE_ENGLISH_US, CODE_PAGE_UNICODE]
        .map(u16::to_le_bytes)
        .concat();
    let translation = block("Translation", Value::Binary, &translation, &[]);
    let children = joined(
        block("StringFileInfo", Value::Text(0), &[], &table),
        block("VarFileInfo", Value::Text(0), &[], &translation),
    );
    let information = block("VS_VERSION_INFO", Value::Binary, &fixed(version), &children);

    // A resource file begins with an empty resource.
    joined(
        resource(0, 0, 0, &[]),
        resource(RT_VERSION, MOVEABLE_PURE, LANGUAGE_ENGLISH_US, &information),
    )
}

/// `VS_FIXEDFILEINFO`.
fn fixed([major, minor, patch]: [u16; 3]) -> Vec<u8> {
    const SIGNATURE: u32 = 0xFEEF_04BD;
    const STRUCTURE_VERSION: u32 = 0x0001_0000;
    const ALL_FLAGS: u32 = 0x3F;
    const NT_WINDOWS32: u32 = 0x0004_0004;
    const DRIVER: u32 = 3;
    const SYSTEM_DRIVER: u32 = 7;
    let high = u32::from(major) << 16 | u32::from(minor);
    let low = u32::from(patch) << 16;
    [
        SIGNATURE,
        STRUCTURE_VERSION,
        high,
        low,
        high,
        low,
        ALL_FLAGS,
        0,
        NT_WINDOWS32,
        DRIVER,
        SYSTEM_DRIVER,
        0,
        0,
    ]
    .map(u32::to_le_bytes)
    .concat()
}

#[derive(Clone, Copy)]
enum Value {
    Binary,
    /// Its characters, the terminator among them.
    Text(u16),
}

/// Length, length and kind of the value, key, value, children; each part begins at a multiple of four bytes.
fn block(key: &str, kind: Value, value: &[u8], children: &[u8]) -> Vec<u8> {
    let short = |length: usize| u16::try_from(length).expect("a version resource is short");
    let (value_length, is_text) = match kind {
        Value::Binary => (short(value.len()), 0_u16),
        Value::Text(characters) => (characters, 1),
    };
    let mut bytes = [0, value_length, is_text].map(u16::to_le_bytes).concat();
    bytes.extend(wide(key));
    for part in [value, children] {
        if !part.is_empty() {
            bytes = joined(bytes, part.to_vec());
        }
    }
    let length = short(bytes.len()).to_le_bytes();
    bytes[..2].copy_from_slice(&length);
    bytes
}

fn resource(kind: u16, flags: u16, language: u16, data: &[u8]) -> Vec<u8> {
    const HEADER_SIZE: u32 = 32;
    const ORDINAL: u16 = 0xFFFF;
    let name = u16::from(kind != 0);
    let size = u32::try_from(data.len()).expect("a version resource is short");
    let mut bytes = [size, HEADER_SIZE].map(u32::to_le_bytes).concat();
    // Type, name; the data's version (two words), flags, language; version and characteristics (two words each).
    let words = [ORDINAL, kind, ORDINAL, name, 0, 0, flags, language, 0, 0, 0, 0];
    bytes.extend(words.map(u16::to_le_bytes).concat());
    joined(bytes, data.to_vec())
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// Both, the second at a multiple of four bytes.
fn joined(mut first: Vec<u8>, second: Vec<u8>) -> Vec<u8> {
    first.resize(first.len().next_multiple_of(4), 0);
    first.extend(second);
    first
}
