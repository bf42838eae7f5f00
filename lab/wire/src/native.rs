//! NT's own routines, laid out by the host: bytes at their distances, and names for what they are and refer to.

use crate::codec::{Put, Reader, Result, WireError, length_u32};
use alloc::vec::Vec;

const ITEM: &str = "the native code";
/// No image is larger: code reaches 2 GiB with relative addresses.
const LARGEST: u32 = 1 << 31;

/// Code that is to stand in place of the kernel's own reference. All offsets are from the start of its first page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native<'a> {
    /// How much it spans, bytes; most of it is never used.
    pub size: u32,
    /// The code.
    pub segments: Vec<Segment<'a>>,
    /// The routines that it has.
    pub routines: Vec<Name<'a>>,
    /// What it refers to and does not have.
    pub missing: Vec<Name<'a>>,
    /// Its reads of CR8.
    pub cr8_reads: Vec<u32>,
}

/// A run of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where it begins.
    pub offset: u32,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Something with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    /// Its symbol, without a module.
    pub symbol: &'a str,
    /// Where it is.
    pub offset: u32,
}

impl<'a> Native<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32(self.size);
        out.put_u32(length_u32(self.segments.len()));
        for segment in &self.segments {
            out.put_u32(segment.offset);
            out.put_u32(length_u32(segment.bytes.len()));
            out.put_bytes(segment.bytes);
        }
        for names in [&self.routines, &self.missing] {
            out.put_u32(length_u32(names.len()));
            for name in names {
                out.put_u32(name.offset);
                out.put_text(name.symbol);
            }
        }
        out.put_u32(length_u32(self.cr8_reads.len()));
        for offset in &self.cr8_reads {
            out.put_u32(*offset);
        }
        out
    }

    /// Reads what [`Native::encode`] wrote. Everything that it names lies inside of its size.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let size = reader.u32(ITEM)?;
        if size > LARGEST {
            return Err(WireError::Value("the native code's size", u64::from(size)));
        }
        let inside = |offset: u32, length: usize| {
            let end = u64::from(offset) + length as u64;
            if end <= u64::from(size) {
                Ok(offset)
            } else {
                Err(WireError::Value("an offset in the native code", end))
            }
        };
        let segments = many(&mut reader, |reader| {
            let offset = reader.u32(ITEM)?;
            let length = reader.u32(ITEM)? as usize;
            let bytes = reader.bytes(length, ITEM)?;
            inside(offset, length)?;
            Ok(Segment { offset, bytes })
        })?;
        let name = |reader: &mut Reader<'a>| {
            let offset = inside(reader.u32(ITEM)?, 1)?;
            let symbol = reader.text(ITEM)?;
            Ok(Name { symbol, offset })
        };
        let native = Self {
            size,
            segments,
            routines: many(&mut reader, name)?,
            missing: many(&mut reader, name)?,
            cr8_reads: many(&mut reader, |reader| inside(reader.u32(ITEM)?, 1))?,
        };
        reader.end(ITEM)?;
        Ok(native)
    }
}

/// Items with their number in front. The number is not believed: memory grows with what is really there.
fn many<'a, T>(
    reader: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = reader.u32(ITEM)?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(reader)?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sample() -> Native<'static> {
        let name = |symbol, offset| Name { symbol, offset };
        Native {
            size: 0x3000,
            segments: vec![
                Segment {
                    offset: 0x10,
                    bytes: &[0x90, 0xC3],
                },
                Segment {
                    offset: 0x2FFF,
                    bytes: &[0xC3],
                },
            ],
            routines: vec![name("ExSomething", 0x10)],
            missing: vec![name("KeSetEvent", 0x1000), name("ExpSpinCycleCount", 0x2000)],
            cr8_reads: vec![0x10],
        }
    }

    #[test]
    fn round_trip_and_truncation() {
        let bytes = sample().encode();
        assert_eq!(Native::decode(&bytes), Ok(sample()));
        for length in 0..bytes.len() {
            assert!(
                Native::decode(&bytes[..length]).is_err(),
                "{length} bytes were accepted"
            );
        }
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let refused = |change: fn(&mut Native<'static>)| {
            let mut native = sample();
            change(&mut native);
            matches!(Native::decode(&native.encode()), Err(WireError::Value(..)))
        };
        assert!(refused(|native| native.size = LARGEST + 1));
        assert!(refused(|native| native.segments[1].bytes = &[0xC3; 2]));
        assert!(refused(|native| native.routines[0].offset = 0x3000));
        assert!(refused(|native| native.missing[1].offset = u32::MAX));
        assert!(refused(|native| native.cr8_reads[0] = 0x3000));
    }
}
