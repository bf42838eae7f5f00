//! Memory that a request is formatted with: fxrequestbuffer.cpp and fxrequestbufferkm.cpp.

use crate::layout::{MemoryDescriptor, MemoryOffset};
use crate::object::{self, Kind, Object};
use alloc::sync::Arc;
use rundown_lab_kernel::io::mdl as mdls;
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::mm::mdl::Mdl;
use rundown_lab_kernel::status;

/// `WDF_MEMORY_DESCRIPTOR_TYPE`.
const BUFFER: u32 = 1;
const MDL: u32 = 2;
const HANDLE: u32 = 3;

/// Memory for a request.
pub(super) enum Buffer {
    /// None.
    None,
    /// A buffer of the driver's.
    Plain {
        /// Where.
        address: u64,
        /// How long.
        length: u32,
    },
    /// What an MDL of the driver's describes.
    Mdl {
        /// The MDL.
        mdl: u64,
        /// How much of it.
        length: u32,
    },
    /// A memory object's.
    Memory {
        /// The object.
        object: Arc<Object>,
        /// Where in its buffer.
        offset: u64,
        /// How much, 0 for all from there.
        length: u64,
    },
}

impl Buffer {
    /// A memory object's buffer, or the part of it that is named; none for a NULL handle.
    ///
    /// # Errors
    /// `STATUS_INTEGER_OVERFLOW` for a part that is none (ifxmemory.hpp:105).
    ///
    /// # Safety
    /// `part` is null or points to a `WDFMEMORY_OFFSET`.
    pub(super) unsafe fn of_memory(memory: u64, part: *const MemoryOffset) -> Result<Self, i32> {
        if memory == 0 {
            return Ok(Self::None);
        }
        let object = object::find(memory, Kind::Memory);
        // SAFETY: the caller promises it.
        let (offset, length) = unsafe { part.as_ref() }.map_or((0, 0), |part| (part.offset, part.length));
        let end = offset.checked_add(length).ok_or(status::INTEGER_OVERFLOW)?;
        if end > object.memory().buffer().1 {
            return Err(status::INTEGER_OVERFLOW);
        }
        Ok(Self::Memory {
            object,
            offset,
            length,
        })
    }

    /// What a descriptor names; none without one.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`, or as for [`of_memory`](Self::of_memory).
    ///
    /// # Safety
    /// `descriptor` is null or points to a `WDF_MEMORY_DESCRIPTOR`, and that to what it says.
    pub(super) unsafe fn of_descriptor(descriptor: *const MemoryDescriptor) -> Result<Self, i32> {
        // SAFETY: the caller promises it.
        let Some(&MemoryDescriptor { kind, what, second }) = (unsafe { descriptor.as_ref() }) else {
            return Ok(Self::None);
        };
        match kind {
            BUFFER..=HANDLE if what == 0 => Err(status::INVALID_PARAMETER),
            BUFFER => Ok(Self::Plain {
                address: what,
                length: second as u32,
            }),
            MDL => Ok(Self::Mdl {
                mdl: what,
                length: second as u32,
            }),
            // SAFETY: as above: the second word points to a part or is null.
            HANDLE => unsafe { Self::of_memory(what, second as *const MemoryOffset) },
            _ => Err(status::INVALID_PARAMETER),
        }
    }

    /// How many bytes.
    pub(super) fn length(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Plain { length, .. } | Self::Mdl { length, .. } => *length,
            Self::Memory {
                object,
                offset,
                length,
            } if *length == 0 => (object.memory().buffer().1 - offset) as u32,
            Self::Memory { length, .. } => *length as u32,
        }
    }

    /// Where they are for the processor, 0 for none.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: an MDL cannot be mapped.
    pub(super) fn address(&self) -> Result<u64, i32> {
        match self {
            Self::None => Ok(0),
            Self::Plain { address, .. } => Ok(*address),
            Self::Mdl { mdl, .. } => mapped(*mdl),
            Self::Memory { object, offset, .. } => Ok(object.memory().buffer().0 + offset),
        }
    }

    /// The object that has to stay meanwhile.
    pub(super) fn object(&self) -> Option<&Arc<Object>> {
        match self {
            Self::Memory { object, .. } => Some(object),
            _ => None,
        }
    }

    /// An MDL of it, or 0; and whether it was made for this. One that was is locked, or a part of another.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`, or `STATUS_ACCESS_VIOLATION` for memory that is not there.
    pub(super) fn mdl(&self, write: bool) -> Result<(u64, bool), i32> {
        match self {
            Self::None => Ok((0, false)),
            Self::Mdl { mdl, .. } => Ok((*mdl, false)),
            Self::Memory {
                object,
                offset,
                length,
            } => match object.memory().mdl() {
                Some(mdl) if (*offset, *length) == (0, 0) => Ok((mdl, false)),
                Some(mdl) => self.part_of(mdl, *offset),
                None => self.locked(write),
            },
            Self::Plain { .. } => self.locked(write),
        }
    }

    fn locked(&self, write: bool) -> Result<(u64, bool), i32> {
        let mdl = make(self.address()?, self.length())?;
        if mdl.lock(write) {
            Ok((mdl.address(), true))
        } else {
            mdls::free(mdl, 0);
            Err(status::ACCESS_VIOLATION)
        }
    }

    fn part_of(&self, whole: u64, offset: u64) -> Result<(u64, bool), i32> {
        // SAFETY: a memory object's MDL stays as long as that.
        let whole = unsafe { Mdl::at(whole) };
        let start = whole.range().start + offset;
        let part = make(start, self.length())?;
        whole.build_partial(part, start, self.length());
        Ok((part.address(), true))
    }
}

fn mapped(mdl: u64) -> Result<u64, i32> {
    // SAFETY: the declaration: an MDL, which stays until the request is back.
    unsafe { Mdl::at(mdl) }
        .system_address()
        .ok_or(status::INSUFFICIENT_RESOURCES)
}

fn make(address: u64, length: u32) -> Result<&'static Mdl, i32> {
    mdls::allocate(address, length, thread::current().caller()).ok_or(status::INSUFFICIENT_RESOURCES)
}
