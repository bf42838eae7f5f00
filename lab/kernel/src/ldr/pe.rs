//! The PE32+ format, as far as a driver uses it. Source: Microsoft's "PE Format". Every read is bounded.
//!
//! Not by the crate `object`, with which the host's half reads the same file: it reads a file, and this a file and then the image that
//! was mapped from it; and what a refusal says here, by the structure's name, is what the driver's author is told.

use core::fmt;

/// What is wrong with an image.
#[derive(Debug)]
pub enum PeError {
    /// It ends before the named structure does.
    Truncated(&'static str),
    /// It is not a PE32+ image for x64; what was looked at, and what was there.
    NotADriver(&'static str, u64),
}

impl fmt::Display for PeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(what) => write!(f, "the image ends inside its {what}"),
            Self::NotADriver(what, value) => write!(f, "not an x64 kernel-mode image: {what} is {value:#x}"),
        }
    }
}

/// Little-endian values out of a slice.
pub trait Read {
    /// `N` bytes at `offset`.
    ///
    /// # Errors
    /// [`PeError::Truncated`], naming `what`.
    fn bytes<const N: usize>(&self, offset: u64, what: &'static str) -> Result<[u8; N], PeError>;

    /// 16 bits. See [`Read::bytes`].
    #[allow(clippy::missing_errors_doc, reason = "see `bytes`")]
    fn u16(&self, offset: u64, what: &'static str) -> Result<u16, PeError> {
        self.bytes(offset, what).map(u16::from_le_bytes)
    }

    /// 32 bits. See [`Read::bytes`].
    #[allow(clippy::missing_errors_doc, reason = "see `bytes`")]
    fn u32(&self, offset: u64, what: &'static str) -> Result<u32, PeError> {
        self.bytes(offset, what).map(u32::from_le_bytes)
    }

    /// 64 bits. See [`Read::bytes`].
    #[allow(clippy::missing_errors_doc, reason = "see `bytes`")]
    fn u64(&self, offset: u64, what: &'static str) -> Result<u64, PeError> {
        self.bytes(offset, what).map(u64::from_le_bytes)
    }
}

impl Read for [u8] {
    fn bytes<const N: usize>(&self, offset: u64, what: &'static str) -> Result<[u8; N], PeError> {
        let start = usize::try_from(offset).map_err(|_| PeError::Truncated(what))?;
        let bytes = start
            .checked_add(N)
            .and_then(|end| self.get(start..end))
            .ok_or(PeError::Truncated(what))?;
        bytes.try_into().map_err(|_| PeError::Truncated(what))
    }
}

/// A NUL-terminated name at `offset`.
///
/// # Errors
/// When it does not end, or is not ASCII.
pub fn name(image: &[u8], offset: u64) -> Result<&str, PeError> {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| image.get(offset..))
        .ok_or(PeError::Truncated("names"))?;
    let end = rest
        .iter()
        .position(|&byte| byte == 0)
        .ok_or(PeError::Truncated("names"))?;
    core::str::from_utf8(&rest[..end])
        .map_err(|_| PeError::NotADriver("a name's first byte", u64::from(rest[0])))
}

/// `IMAGE_DIRECTORY_ENTRY_IMPORT`.
pub const IMPORTS: usize = 1;
/// `IMAGE_DIRECTORY_ENTRY_BASERELOC`.
pub const RELOCATIONS: usize = 5;
/// `IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG`.
pub const LOAD_CONFIG: usize = 10;

/// `IMAGE_SCN_MEM_DISCARDABLE`.
pub const DISCARDABLE: u32 = 0x0200_0000;
/// `IMAGE_SCN_MEM_EXECUTE`.
pub const EXECUTE: u32 = 0x2000_0000;
/// `IMAGE_SCN_MEM_WRITE`.
pub const WRITE: u32 = 0x8000_0000;

/// One section.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its name, padded with zeros.
    pub name: [u8; 8],
    /// Its address in the image.
    pub address: u32,
    /// Its size in memory.
    pub size: u32,
    /// Where its bytes are in the file.
    pub file_offset: u32,
    /// How many there are.
    pub file_size: u32,
    /// `IMAGE_SCN_*`.
    pub characteristics: u32,
}

impl Section {
    /// Whether it may be paged out. NT goes by the name: `PAGE`, or one that begins with it.
    pub fn is_pageable(&self) -> bool {
        self.name.starts_with(b"PAGE") && self.size != 0
    }
}

/// A file's headers.
pub struct Headers<'a> {
    file: &'a [u8],
    /// The address that it was linked for.
    pub preferred_base: u64,
    /// Its size in memory, bytes, whole pages.
    pub image_size: u32,
    /// The headers' own size.
    pub headers_size: u32,
    /// The entry point's offset.
    pub entry: u32,
    directories: u64,
    directory_count: u32,
    section_table: u64,
    section_count: u16,
}

impl<'a> Headers<'a> {
    /// Reads a file's headers.
    ///
    /// # Errors
    /// When the file is not a whole PE32+ kernel-mode image for x64.
    pub fn parse(file: &'a [u8]) -> Result<Self, PeError> {
        let expect = |what, value: u64, expected: u64| {
            if value == expected {
                Ok(())
            } else {
                Err(PeError::NotADriver(what, value))
            }
        };
        expect("the DOS signature", u64::from(file.u16(0, "DOS header")?), 0x5A4D)?;
        let pe = u64::from(file.u32(0x3C, "DOS header")?);
        expect("the PE signature", u64::from(file.u32(pe, "PE header")?), 0x4550)?;
        expect("the machine", u64::from(file.u16(pe + 4, "PE header")?), 0x8664)?;
        let optional = pe + 24;
        let optional_size = u64::from(file.u16(pe + 20, "PE header")?);
        let u32 = |offset| file.u32(optional + offset, "optional header");
        expect(
            "the optional header's magic",
            u64::from(file.u16(optional, "optional header")?),
            0x20B,
        )?;
        expect("the section alignment", u64::from(u32(32)?), 0x1000)?;
        expect(
            "the subsystem",
            u64::from(file.u16(optional + 68, "optional header")?),
            1,
        )?;
        let image_size = u32(56)?;
        if image_size == 0 || image_size > 64 << 20 {
            return Err(PeError::NotADriver("the image's size", u64::from(image_size)));
        }
        let headers = Self {
            file,
            preferred_base: file.u64(optional + 24, "optional header")?,
            image_size: image_size.next_multiple_of(0x1000),
            headers_size: u32(60)?,
            entry: u32(16)?,
            directories: optional + 112,
            directory_count: u32(108)?.min(16),
            section_table: optional + optional_size,
            section_count: file.u16(pe + 6, "PE header")?,
        };
        if headers.headers_size > headers.image_size {
            return Err(PeError::NotADriver(
                "the headers' size",
                u64::from(headers.headers_size),
            ));
        }
        if headers.entry == 0 || headers.entry >= headers.image_size {
            return Err(PeError::NotADriver("the entry point", u64::from(headers.entry)));
        }
        Ok(headers)
    }

    /// A data directory's address and size in the image; zeros if there is none.
    ///
    /// # Errors
    /// When the file ends before it.
    pub fn directory(&self, index: usize) -> Result<(u32, u32), PeError> {
        if index >= self.directory_count as usize {
            return Ok((0, 0));
        }
        let entry = self.directories + index as u64 * 8;
        Ok((
            self.file.u32(entry, "data directories")?,
            self.file.u32(entry + 4, "data directories")?,
        ))
    }

    /// The sections.
    pub fn sections(&self) -> impl Iterator<Item = Result<Section, PeError>> + '_ {
        (0..u64::from(self.section_count)).map(|index| {
            let entry = self.section_table + index * 40;
            let u32 = |offset| self.file.u32(entry + offset, "section table");
            let section = Section {
                name: self.file.bytes(entry, "section table")?,
                size: u32(8)?,
                address: u32(12)?,
                file_size: u32(16)?,
                file_offset: u32(20)?,
                characteristics: u32(36)?,
            };
            if section
                .address
                .checked_add(section.size.max(section.file_size))
                .is_none_or(|end| end > self.image_size)
            {
                return Err(PeError::NotADriver(
                    "a section's end, beyond the image; its start",
                    u64::from(section.address),
                ));
            }
            Ok(section)
        })
    }
}
