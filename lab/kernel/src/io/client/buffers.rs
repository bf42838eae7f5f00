//! The buffers of a request: of a control request by the method of its code, of a read or write by the device's flags.

use crate::bug::{self, code};
use crate::io::object::{DeviceObject, device_flag};
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

impl Method {
    /// How a device has its reads and writes.
    fn of(device: &DeviceObject) -> Self {
        match device.flags.get() {
            flags if flags & device_flag::BUFFERED_IO != 0 => Self::Buffered,
            flags if flags & device_flag::DIRECT_IO != 0 => Self::Direct,
            _ => Self::Neither,
        }
    }
}

/// So many bytes, the first of which are given.
#[derive(Clone, Copy)]
struct Filled<'a> {
    size: usize,
    bytes: &'a [u8],
}

impl<'a> Filled<'a> {
    const NOTHING: Self = Self::new(0, &[]);

    const fn new(size: usize, bytes: &'a [u8]) -> Self {
        Self { size, bytes }
    }

    /// As a block of pool; 0 for none, if there are no bytes. `None` when memory is short.
    fn allocate(self, zero: bool) -> Option<u64> {
        if self.size == 0 {
            return Some(0);
        }
        let block = pool::allocate(self.size as u64, BUFFER_TAG, zero, Placement::Block, 0)?;
        // SAFETY: the block is fresh and holds at least those bytes.
        unsafe { block.copy_from_nonoverlapping(self.bytes.as_ptr(), self.bytes.len()) };
        Some(block as u64)
    }
}

/// The buffers of a request.
pub(super) struct Buffers {
    /// Which kind of request it is, for people.
    what: &'static str,
    method: Method,
    capacity: usize,
    /// `SystemBuffer`, 0 if there is none.
    system: u64,
    /// What the MDL of a direct method describes, 0 if there is none.
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
    /// Of a control request, by the method of its code: what the method needs, with the input copied.
    pub(super) fn of_control(code: u32, capacity: u32, input: &[u8]) -> Option<Self> {
        let method = match code & 3 {
            0 => Method::Buffered,
            1 | 2 => Method::Direct,
            _ => Method::Neither,
        };
        let (input_only, output) = (
            Filled::new(input.len(), input),
            Filled::new(capacity as usize, &[]),
        );
        let both = Filled::new(input.len().max(capacity as usize), input);
        let (system, direct) = match method {
            Method::Buffered => (both, Filled::NOTHING),
            Method::Direct => (input_only, output),
            Method::Neither => (Filled::NOTHING, Filled::NOTHING),
        };
        Self::new("control request", method, capacity, system, direct)
    }

    /// Of a read, by the device's flags.
    pub(super) fn of_read(device: &DeviceObject, length: u32) -> Option<Self> {
        Self::of_transfer("read", device, length, Filled::new(length as usize, &[]))
    }

    /// Of a write, by the device's flags.
    pub(super) fn of_write(device: &DeviceObject, input: &[u8]) -> Option<Self> {
        Self::of_transfer("write", device, 0, Filled::new(input.len(), input))
    }

    fn of_transfer(
        what: &'static str,
        device: &DeviceObject,
        capacity: u32,
        filled: Filled<'_>,
    ) -> Option<Self> {
        let method = Method::of(device);
        let (system, direct) = match method {
            Method::Buffered => (filled, Filled::NOTHING),
            Method::Direct => (Filled::NOTHING, filled),
            Method::Neither => (Filled::NOTHING, Filled::NOTHING),
        };
        Self::new(what, method, capacity, system, direct)
    }

    /// What nobody asked to be filled is not zeroed, as on NT: what the driver does not write and yet returns is seen as 0xCD.
    fn new(
        what: &'static str,
        method: Method,
        capacity: u32,
        system: Filled<'_>,
        direct: Filled<'_>,
    ) -> Option<Self> {
        let mut buffers = Self {
            what,
            method,
            capacity: capacity as usize,
            system: 0,
            direct: 0,
            mdl: 0,
        };
        let size = system.size.max(direct.size) as u64;
        if !reserve::has_for_client(2 * size.div_ceil(PAGE)) {
            return None;
        }
        let complete = buffers.allocate(system, direct).is_some();
        if !complete {
            buffers.free();
        }
        complete.then_some(buffers)
    }

    fn allocate(&mut self, system: Filled<'_>, direct: Filled<'_>) -> Option<()> {
        self.system = system.allocate(false)?;
        if direct.size != 0 {
            self.direct = direct.allocate(true)?;
            let mdl = pool::allocate(size_of::<Mdl>() as u64, BUFFER_TAG, true, Placement::Block, 0)?;
            self.mdl = mdl as u64;
            let value = Mdl {
                next: 0,
                size: size_of::<Mdl>() as u16,
                flags: MDL_MAPPED,
                padding: 0,
                process: 0,
                mapped_system_address: self.direct,
                start: self.direct & !0xFFF,
                byte_count: direct.size as u32,
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
                    "a {} is completed with Information {information}, and its output buffer has {} bytes: NT would \
                     copy what lies behind it to the client",
                    self.what, self.capacity
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
                    format_args!("the memory behind the buffer of a {} was overwritten", self.what),
                );
            }
        }
    }
}
