//! The buffers of a control request, by the method of its code.

use crate::bug::{self, code};
use crate::mm::pool::{self, Placement, Tag};
use crate::mm::{PAGE, reserve};
use crate::status;
use alloc::vec::Vec;

const BUFFER_TAG: Tag = Tag(u32::from_le_bytes(*b"IoSB"));

/// `METHOD_BUFFERED` and so on: the low bits of a control code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Buffered,
    Direct,
    Neither,
}

/// `MDL`, as far as `MmGetSystemAddressForMdlSafe` looks.
#[repr(C)]
struct Mdl {
    next: u64,
    size: u16,
    flags: u16,
    padding: u32,
    process: u64,
    mapped_system_address: u64,
    start: u64,
    byte_count: u32,
    byte_offset: u32,
}

/// `MDL_MAPPED_TO_SYSTEM_VA | MDL_PAGES_LOCKED`.
const MDL_MAPPED: u16 = 3;
/// Where a client's buffers would be. Nothing is mapped there: a driver that touches them without probing faults.
const USER_INPUT: u64 = 0x0000_0001_0000_0000;
const USER_OUTPUT: u64 = 0x0000_0002_0000_0000;

/// The buffers of a control request.
pub(super) struct Buffers {
    method: Method,
    capacity: usize,
    /// `SystemBuffer`, 0 if there is none.
    system: u64,
    /// The output of a direct method, 0 if there is none.
    direct: u64,
    mdl: u64,
}

/// The buffers' addresses as an IRP has them.
pub(super) struct Addresses {
    pub(super) system: *mut u8,
    pub(super) mdl: u64,
    pub(super) user: u64,
    pub(super) type3: u64,
}

impl Buffers {
    /// Allocates what the method needs and copies the input. The rest is not zeroed, as on NT: what the driver does not write and
    /// yet returns is seen as 0xCD.
    pub(super) fn new(code: u32, capacity: u32, input: &[u8]) -> Option<Self> {
        let method = match code & 3 {
            0 => Method::Buffered,
            1 | 2 => Method::Direct,
            _ => Method::Neither,
        };
        let capacity = capacity as usize;
        let mut buffers = Self {
            method,
            capacity,
            system: 0,
            direct: 0,
            mdl: 0,
        };
        let system_size = match method {
            Method::Buffered => input.len().max(capacity),
            Method::Direct => input.len(),
            Method::Neither => 0,
        };
        let size = system_size.max(capacity) as u64;
        if !reserve::has_for_client(2 * size.div_ceil(PAGE)) {
            return None;
        }
        let complete = buffers.allocate(system_size, input).is_some();
        if !complete {
            buffers.free();
        }
        complete.then_some(buffers)
    }

    fn allocate(&mut self, system_size: usize, input: &[u8]) -> Option<()> {
        let block = |size: usize, zero| pool::allocate(size as u64, BUFFER_TAG, zero, Placement::Block, 0);
        if system_size != 0 {
            let system = block(system_size, false)?;
            self.system = system as u64;
            // SAFETY: the block is fresh and holds at least the input.
            unsafe { system.copy_from_nonoverlapping(input.as_ptr(), input.len()) };
        }
        if self.method == Method::Direct && self.capacity != 0 {
            self.direct = block(self.capacity, true)? as u64;
            let mdl = block(size_of::<Mdl>(), true)?;
            self.mdl = mdl as u64;
            let value = Mdl {
                next: 0,
                size: size_of::<Mdl>() as u16,
                flags: MDL_MAPPED,
                padding: 0,
                process: 0,
                mapped_system_address: self.direct,
                start: self.direct & !0xFFF,
                byte_count: self.capacity as u32,
                byte_offset: (self.direct & 0xFFF) as u32,
            };
            // SAFETY: the block is fresh, of that size, and aligned to 16.
            unsafe { mdl.cast::<Mdl>().write(value) };
        }
        Some(())
    }

    pub(super) fn addresses(&self) -> Addresses {
        let neither = self.method == Method::Neither;
        Addresses {
            system: self.system as *mut u8,
            mdl: self.mdl,
            user: if neither { USER_OUTPUT } else { 0 },
            type3: if neither { USER_INPUT } else { 0 },
        }
    }

    /// What the client gets: `information` bytes, unless the request failed.
    pub(super) fn output(&self, status: i32, information: u64) -> Vec<u8> {
        let source = match self.method {
            Method::Buffered => self.system,
            Method::Direct => self.direct,
            Method::Neither => 0,
        };
        // Without room for output nothing is copied, whatever Information counts.
        if status::is_error(status)
            || information == 0
            || self.capacity == 0
            || self.method == Method::Neither
        {
            return Vec::new();
        }
        if information > self.capacity as u64 {
            bug::bugcheck(
                code::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
                [
                    code::io::INFORMATION_TOO_LARGE,
                    information,
                    self.capacity as u64,
                    0,
                ],
                format_args!(
                    "a control request is completed with Information {information}, and its output buffer has {} bytes: NT would \
                     copy what lies behind it to the client",
                    self.capacity
                ),
            );
        }
        // SAFETY: the block has `capacity` bytes at least, and the driver is done with it.
        unsafe { core::slice::from_raw_parts(source as *const u8, information as usize) }.to_vec()
    }

    pub(super) fn free(&self) {
        for block in [self.system, self.direct, self.mdl]
            .into_iter()
            .filter(|&block| block != 0)
        {
            if pool::free(block, Some(BUFFER_TAG), 0).is_err() {
                bug::bugcheck(
                    code::BAD_POOL_HEADER,
                    [0x20, block, 0, 0],
                    format_args!("the memory behind the buffer of a control request was overwritten"),
                );
            }
        }
    }
}
