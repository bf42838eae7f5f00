//! Reading and writing the primitive values of which everything else is made.

use alloc::vec::Vec;
use core::fmt;

/// Why bytes from the other end could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The bytes end inside the named item.
    Truncated(&'static str),
    /// Bytes are left over after the named item.
    Trailing(&'static str),
    /// The named item does not begin with its magic number: these are other bytes altogether.
    Magic(&'static str),
    /// The other end speaks another version of the named item; both ends must be built from the same sources.
    Version(&'static str, u32),
    /// A value that the named item cannot have.
    Value(&'static str, u64),
    /// The named text is not UTF-8.
    Text(&'static str),
    /// The named record occurs twice.
    Twice(&'static str),
    /// The named record is missing.
    Missing(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated(item) => write!(f, "the bytes end inside {item}"),
            Self::Trailing(item) => write!(f, "bytes are left over after {item}"),
            Self::Magic(item) => write!(f, "these bytes are not {item}: the magic number is wrong"),
            Self::Version(item, version) => write!(
                f,
                "{item} has version {version}, which this build does not speak; rebuild the host program and the kernel together"
            ),
            Self::Value(item, value) => write!(f, "{item} cannot be {value:#x}"),
            Self::Text(item) => write!(f, "{item} is not UTF-8"),
            Self::Twice(item) => write!(f, "{item} occurs twice"),
            Self::Missing(item) => write!(f, "{item} is missing"),
        }
    }
}

impl core::error::Error for WireError {}

/// What reading gives.
pub(crate) type Result<T> = core::result::Result<T, WireError>;

/// Takes values off the front of a byte slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize, item: &'static str) -> Result<&'a [u8]> {
        let (head, tail) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::Truncated(item))?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, item: &'static str) -> Result<[u8; N]> {
        let (head, tail) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated(item))?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, item: &'static str) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array(item)?))
    }

    pub(crate) fn u32(&mut self, item: &'static str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(item)?))
    }

    pub(crate) fn u64(&mut self, item: &'static str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(item)?))
    }

    /// Sixteen bytes as they are: a GUID in memory order.
    pub(crate) fn guid(&mut self, item: &'static str) -> Result<[u8; 16]> {
        self.array(item)
    }

    pub(crate) fn flag(&mut self, item: &'static str) -> Result<bool> {
        match self.u8(item)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireError::Value(item, u64::from(other))),
        }
    }

    /// A text with its length in front.
    pub(crate) fn text(&mut self, item: &'static str) -> Result<&'a str> {
        let length = self.u32(item)?;
        let bytes = self.bytes(
            usize::try_from(length).map_err(|_| WireError::Truncated(item))?,
            item,
        )?;
        core::str::from_utf8(bytes).map_err(|_| WireError::Text(item))
    }

    /// Everything that is left.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Ends the reading: nothing may be left.
    pub(crate) fn end(self, item: &'static str) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing(item))
        }
    }
}

/// Appends values to a byte vector.
pub(crate) trait Put {
    fn put_bytes(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put_bytes(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.put_bytes(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put_bytes(&value.to_le_bytes());
    }

    fn put_flag(&mut self, value: bool) {
        self.put_u8(u8::from(value));
    }

    /// A text with its length in front; a text of 4 GiB does not exist here.
    fn put_text(&mut self, text: &str) {
        self.put_u32(length_u32(text.len()));
        self.put_bytes(text.as_bytes());
    }
}

impl Put for Vec<u8> {
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A length as the wire carries it.
///
/// # Panics
/// If one item has 4 GiB or more, which neither end can hold: the machine has less memory than that.
pub(crate) fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("an item on the wire is smaller than 4 GiB")
}
