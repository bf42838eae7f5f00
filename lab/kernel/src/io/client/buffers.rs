//! The buffers of a request: of a control request by the method of its code, of a read or write by the device's flags.

use crate::bug::{self, code};
use crate::io::object::{DeviceObject, device_flag};
use crate::mm::mdl::{self, Mdl};
use crate::mm::pool::{self, Placement, Tag};
use crate::mm::{PAGE, reserve, user};
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
    fn allocate(self) -> Option<u64> {
        if self.size == 0 {
            return Some(0);
        }
        let block = pool::allocate(self.size as u64, BUFFER_TAG, false, Placement::Block, 0)?;
        // SAFETY: the block is fresh and holds at least those bytes.
        unsafe { block.copy_from_nonoverlapping(self.bytes.as_ptr(), self.bytes.len()) };
        Some(block as u64)
    }

    /// As the client's own memory; 0 for none.
    fn of_client(self) -> Option<u64> {
        user::allocate(self.size, self.bytes)
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
    /// The client's own memory: what the MDL of a direct method describes, or what is output where it is neither. 0 if there is none.
    output: u64,
    /// The client's input where it is neither.
    input: u64,
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
        let nothing = Filled::NOTHING;
        let [system, output, input] = match method {
            Method::Buffered => [both, nothing, nothing],
            Method::Direct => [input_only, output, nothing],
            Method::Neither => [nothing, output, input_only],
        };
        Self::new("control request", method, capacity, [system, output, input])
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
        let (system, output) = match method {
            Method::Buffered => (filled, Filled::NOTHING),
            Method::Direct | Method::Neither => (Filled::NOTHING, filled),
        };
        Self::new(what, method, capacity, [system, output, Filled::NOTHING])
    }

    /// What nobody asked to be filled of `SystemBuffer` is not zeroed, as on NT: what the driver does not write and yet returns is seen as 0xCD.
    /// The client's memory is what the client made it.
    fn new(
        what: &'static str,
        method: Method,
        capacity: u32,
        [system, output, input]: [Filled<'_>; 3],
    ) -> Option<Self> {
        let mut buffers = Self {
            what,
            method,
            capacity: capacity as usize,
            system: 0,
            output: 0,
            input: 0,
            mdl: 0,
        };
        let size = system.size + output.size + input.size;
        if !reserve::has_for_client((size as u64).div_ceil(PAGE) + 4) {
            return None;
        }
        let complete = buffers.allocate(system, output, input).is_some();
        if !complete {
            buffers.free();
        }
        complete.then_some(buffers)
    }

    fn allocate(&mut self, system: Filled<'_>, output: Filled<'_>, input: Filled<'_>) -> Option<()> {
        self.system = system.allocate()?;
        self.output = output.of_client()?;
        self.input = input.of_client()?;
        if self.method == Method::Direct && self.output != 0 {
            let size = mdl::size_for(self.output, output.size as u64);
            let place = pool::allocate(size, BUFFER_TAG, true, Placement::Block, 0)? as u64;
            // SAFETY: the block is fresh, of that size, and aligned to 16.
            unsafe {
                Mdl::initialize(
                    place,
                    self.output,
                    output.size as u32,
                    mdl::flag::ALLOCATED_FIXED_SIZE,
                );
            };
            self.mdl = place;
            // As the I/O manager hands it over: locked, and mapped by whoever needs it so.
            self.described().lock(self.capacity != 0).then_some(())?;
        }
        Some(())
    }

    /// The MDL of a direct method, if there is one.
    fn described(&self) -> &'static Mdl {
        // SAFETY: `allocate` made it, and `free` is the last to use it.
        unsafe { Mdl::at(self.mdl) }
    }

    pub(super) fn addresses(&self) -> Addresses {
        let neither = self.method == Method::Neither;
        Addresses {
            system: self.system as *mut u8,
            mdl: self.mdl,
            user: if neither { self.output } else { 0 },
            type3: self.input,
        }
    }

    /// What the client gets: `information` bytes, unless the request failed.
    pub(super) fn output(&self, status: i32, information: u64) -> Vec<u8> {
        // Without room for output nothing is copied, whatever Information counts.
        if status::is_error(status) || information == 0 || self.capacity == 0 {
            return Vec::new();
        }
        // Where it is neither, nobody copies: the client looks into its own memory.
        if self.method == Method::Neither {
            return user::read(self.output, information);
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
        if self.method == Method::Direct {
            return user::read(self.output, information);
        }
        // SAFETY: the block has `capacity` bytes at least, and the driver is done with it.
        unsafe { core::slice::from_raw_parts(self.system as *const u8, information as usize) }.to_vec()
    }

    pub(super) fn free(&self) {
        let overwritten = |block: u64| -> ! {
            bug::bugcheck(
                code::BAD_POOL_HEADER,
                [0x20, block, 0, 0],
                format_args!("the memory behind the buffer of a {} was overwritten", self.what),
            )
        };
        if self.mdl != 0 && self.described().flags() & mdl::flag::LOCKED != 0 {
            self.described().unlock();
        }
        for block in [self.output, self.input] {
            if block != 0 && !user::free(block) {
                overwritten(block);
            }
        }
        for block in [self.system, self.mdl] {
            if block != 0 && pool::free(block, Some(BUFFER_TAG), 0).is_err() {
                overwritten(block);
            }
        }
    }
}
