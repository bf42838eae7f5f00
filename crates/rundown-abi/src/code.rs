//! The machine code of the fast paths.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, ObjectKind, Refusal, Request};

/// Asks for the [`Code`] behind a kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CodeQuery {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: an [`ObjectKind`].
    pub kind: u32,
    /// Offset 0x0C: zero.
    pub reserved: u32,
}

impl CodeQuery {
    /// A question about `kind`.
    #[must_use]
    pub const fn new(kind: ObjectKind) -> Self {
        Self {
            header: Header::of::<Self>(),
            kind: kind as u32,
            reserved: 0,
        }
    }
}

impl Request for CodeQuery {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        if ObjectKind::from_wire(self.kind).is_none() {
            return Err(Refusal::Kind);
        }
        if self.reserved != 0 {
            return Err(Refusal::Reserved);
        }
        Ok(())
    }
}

/// The first bytes of acquire and release, as they lie in memory. For ours they are those of the functions behind a call; where the
/// driver inlines them, the same instructions stand. No address is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Code {
    /// Offset 0x00.
    pub header: Header,
    /// Offset 0x08: the [`ObjectKind`].
    pub kind: u32,
    /// Offset 0x0C: how many bytes of acquire follow; zero when the system does not have the routine, fewer than there is room for
    /// when what lies behind is not known to be resident.
    pub acquire_length: u32,
    /// Offset 0x10: the same, of release.
    pub release_length: u32,
    /// Offset 0x14: zero.
    pub reserved: u32,
    /// Offset 0x18: acquire, and whatever lies behind it.
    pub acquire: [u8; 192],
    /// Offset 0xD8: release, and whatever lies behind it.
    pub release: [u8; 192],
}

const _: () = assert!(size_of::<Code>() == 0x198);

impl Code {
    /// Acquire's bytes.
    #[must_use]
    pub fn acquire(&self) -> &[u8] {
        first(&self.acquire, self.acquire_length)
    }

    /// Release's bytes.
    #[must_use]
    pub fn release(&self) -> &[u8] {
        first(&self.release, self.release_length)
    }
}

/// As many bytes as there are.
fn first(bytes: &[u8], length: u32) -> &[u8] {
    &bytes[..bytes.len().min(length as usize)]
}
