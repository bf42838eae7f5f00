//! Events that describe themselves: `TraceLogging`'s metadata, as it reaches `EtwWriteTransfer`.
//!
//! Source: the layouts in the Windows SDK's `TraceLoggingProvider.h` and the crate `tracelogging`; the types in `evntprov.h`
//! and in "`TraceLogging`" on Microsoft Learn. Metadata is packed, its strings are UTF-8 and end with a NUL.
//!
//! ```text
//! provider   size of all (u16), name, traits
//! event      size of all (u16), tag, name, fields
//! field      name, input type [, output type [, tag]]; bit 7 of a type says that the next one follows
//! tag        bytes of which all but the last have bit 7
//! ```

use alloc::string::String;
use core::fmt::Write as _;

/// Bit 7: another byte follows.
const CHAIN: u8 = 0x80;
/// Bits 5 and 6 of an input type: an array.
const ARRAY: u8 = 0x60;

/// A provider's name, out of its metadata.
#[must_use]
pub fn provider(metadata: &[u8]) -> Option<&str> {
    text(&mut whole(metadata)?)
}

/// An event in one line: its name, then `Field=value` words as far as the fields are integers of a fixed size. `None` if its
/// metadata is none.
#[must_use]
pub fn event(metadata: &[u8], mut data: &[u8]) -> Option<String> {
    let mut rest = whole(metadata)?;
    tag(&mut rest)?;
    let mut line = word(text(&mut rest)?);
    while !rest.is_empty() {
        let name = word(text(&mut rest)?);
        let kind = byte(&mut rest)?;
        if kind & CHAIN != 0 && byte(&mut rest)? & CHAIN != 0 {
            tag(&mut rest)?;
        }
        let size = if kind & ARRAY == 0 {
            size_of_integer(kind & !CHAIN)
        } else {
            None
        };
        let Some(value) = size.and_then(|size| data.split_off(..size)) else {
            // What is no integer, or not there, ends the line; the rest cannot be told apart any more.
            let _ = write!(line, " {name}=?");
            return Some(line);
        };
        let mut wide = [0; 8];
        wide[..value.len()].copy_from_slice(value);
        // Writing to a string cannot fail.
        let _ = write!(line, " {name}={}", u64::from_le_bytes(wide));
    }
    if !data.is_empty() {
        let _ = write!(line, " +{}", data.len());
    }
    Some(line)
}

/// What follows the size, if the size is right.
fn whole(metadata: &[u8]) -> Option<&[u8]> {
    let (size, rest) = metadata.split_first_chunk()?;
    (usize::from(u16::from_le_bytes(*size)) == metadata.len()).then_some(rest)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    rest.split_off_first().copied()
}

fn tag(rest: &mut &[u8]) -> Option<()> {
    while byte(rest)? & CHAIN != 0 {}
    Some(())
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|&byte| byte == 0)?;
    let text = rest.split_off(..end)?;
    byte(rest)?;
    core::str::from_utf8(text).ok()
}

/// A name as one word of a line.
fn word(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_ascii_graphic() { letter } else { '_' })
        .collect()
}

/// Bytes of a value of this input type, signed or unsigned, decimal or hexadecimal.
const fn size_of_integer(kind: u8) -> Option<usize> {
    match kind {
        3 | 4 => Some(1),
        5 | 6 => Some(2),
        7 | 8 | 13 | 20 => Some(4),
        9 | 10 | 21 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// With its size before it.
    fn sized(body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u16 + 2).to_le_bytes().to_vec();
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_provider_has_a_name() {
        assert_eq!(provider(&sized(b"A.B\0")), Some("A.B"));
        assert_eq!(provider(&sized(b"A.B\0\x05\0\x01xy")), Some("A.B"));
        for wrong in [&b""[..], b"\x06", b"\x07\0A.B\0", b"\x05\0A.B"] {
            assert_eq!(provider(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_event_has_a_name_and_integers() {
        // An 8-bit, a 16-bit, a hexadecimal 32-bit with an output type, and a 64-bit integer with an output type and a tag.
        let fields = sized(b"\0Ended\0a\0\x04b\0\x06c\0\x94\x03d d\0\x8A\x83\x81\x02");
        let data = [1, 2, 0, 3, 0, 0, 0x80, 4, 0, 0, 0, 0, 0, 0, 0x80];
        assert_eq!(
            event(&fields, &data).unwrap(),
            "Ended a=1 b=2 c=2147483651 d_d=9223372036854775812"
        );
        assert_eq!(event(&sized(b"\x81\x82\x03E\0"), &[]).unwrap(), "E");
    }

    #[test]
    fn what_cannot_be_told_ends_the_line() {
        // A string, an array, a value that is not there, and bytes that no field speaks of.
        assert_eq!(
            event(&sized(b"\0E\0s\0\x01n\0\x08"), b"x\0\0\0\x01\0\0\0").unwrap(),
            "E s=?"
        );
        assert_eq!(event(&sized(b"\0E\0a\0\x28n\0\x08"), &[0; 9]).unwrap(), "E a=?");
        assert_eq!(event(&sized(b"\0E\0a\0\x08"), &[0; 3]).unwrap(), "E a=?");
        assert_eq!(event(&sized(b"\0E\0a\0\x04"), &[7, 8, 9]).unwrap(), "E a=7 +2");
    }

    #[test]
    fn what_is_cut_off_is_none() {
        let metadata = b"\0E\0a\0\x94\x83\x01";
        for length in 0..metadata.len() {
            // Where a field ends, a shorter event does.
            let cut = event(&sized(&metadata[..length]), &[0; 4]);
            assert_eq!(cut.is_some(), length == 3, "{length}");
        }
        assert!(event(&sized(metadata), &[0; 4]).is_some());
    }
}
