//! Requests that a driver has the I/O manager build: it sends them, and the I/O manager ends them, which tells it by an event and a status block.

use super::irp;
use super::mdl as mdls;
use super::object::{DeviceObject, IoStatus, Irp, device_flag, major};
use crate::bug::{self, code};
use crate::ke::event;
use crate::ke::object::Header;
use crate::mm::mdl::{self, Mdl};
use crate::mm::pool::{self, Placement, Tag};
use crate::status;
use alloc::boxed::Box;

const TAG: Tag = Tag(u32::from_le_bytes(*b"IoBR"));

/// Who asked for a request: what it is told by.
#[derive(Clone, Copy)]
pub struct Requestor {
    /// Its `KEVENT`, or 0.
    pub event: u64,
    /// Its `IO_STATUS_BLOCK`.
    pub status_block: u64,
}

/// The memory of a request: what is given to the driver below, and what is left to copy back.
#[derive(Clone, Copy, Default)]
struct Memory {
    /// `SystemBuffer`, of so many bytes.
    system: u64,
    mdl: u64,
    /// Where the answer goes, and how much there is room for.
    output: (u64, u64),
}

impl Memory {
    /// A block of `size` bytes that begins with those at `input`.
    fn buffered(size: u64, input: u64, count: u64, output: (u64, u64)) -> Option<Self> {
        if size == 0 {
            return Some(Self::default());
        }
        let system = pool::allocate(size, TAG, false, Placement::Block, 0)?;
        // SAFETY: the driver's buffer has `count` bytes, by the DDI, and the block at least as many.
        unsafe { system.copy_from(input as *const u8, count as usize) };
        Some(Self {
            system: system as u64,
            mdl: 0,
            output,
        })
    }

    /// An MDL of the driver's buffer.
    fn direct(address: u64, length: u64, write: bool) -> Option<Self> {
        if length == 0 {
            return Some(Self::default());
        }
        let place = pool::allocate(mdl::size_for(address, length), TAG, true, Placement::Block, 0)? as u64;
        // SAFETY: fresh, of that size, aligned to 16.
        unsafe { Mdl::initialize(place, address, length as u32, mdl::flag::ALLOCATED_FIXED_SIZE) };
        // SAFETY: initialised; it stays until `free`.
        let locked = unsafe { Mdl::at(place) }.lock(write);
        let memory = Self {
            system: 0,
            mdl: place,
            output: (0, 0),
        };
        if !locked {
            memory.free();
        }
        locked.then_some(memory)
    }

    fn copy_back(&self, count: u64) {
        let (output, room) = self.output;
        if self.system != 0 && output != 0 {
            // SAFETY: the driver's buffer has that room until it is told, and the block as many bytes.
            unsafe { (output as *mut u8).copy_from(self.system as *const u8, count.min(room) as usize) };
        }
    }

    fn free(&self) {
        if self.mdl != 0 {
            // SAFETY: `direct` made it.
            let mdl = unsafe { Mdl::at(self.mdl) };
            if mdl.flags() & mdl::flag::LOCKED != 0 {
                mdl.unlock();
            }
        }
        for block in [self.system, self.mdl].into_iter().filter(|&block| block != 0) {
            if pool::free(block, Some(TAG), 0).is_err() {
                bug::bugcheck(
                    code::BAD_POOL_HEADER,
                    [0x20, block, 0, 0],
                    format_args!("the memory behind the buffer of a driver's request was overwritten"),
                );
            }
        }
    }
}

/// An IRP for `device`'s stack with that memory, which ends as its requestor is to be told.
fn build(device: &'static DeviceObject, memory: Memory, requestor: Requestor) -> Option<&'static Irp> {
    let Some((irp, _)) = irp::allocate(device.stack_size.get()) else {
        memory.free();
        return None;
    };
    irp.user_iosb.set(requestor.status_block);
    irp.user_event.set(requestor.event);
    irp.mdl_address.set(memory.mdl);
    irp.system_buffer.set(memory.system as *mut u8);
    irp::when_done(
        irp,
        Box::new(move |irp| {
            let (ended, information) = (irp.io_status.status.get(), irp.io_status.information.get());
            if !status::is_error(ended) {
                memory.copy_back(information);
            }
            mdls::finish(irp.mdl_address.get(), memory.mdl);
            memory.free();
            if requestor.status_block != 0 {
                // SAFETY: the DDI: the block stays until the request is done.
                let block = unsafe { &*(requestor.status_block as *const IoStatus) };
                block.status.set(ended);
                block.information.set(information);
            }
            if requestor.event != 0 {
                // SAFETY: the DDI: an initialised event that stays until it is set.
                event::set(unsafe { Header::at(requestor.event as *const Header) }, 0);
            }
        }),
    );
    Some(irp)
}

/// The buffers of a control request: where they are, and how long.
#[derive(Clone, Copy)]
pub struct Control {
    /// Its code.
    pub code: u32,
    /// The input.
    pub input: (u64, u32),
    /// The output.
    pub output: (u64, u32),
    /// Whether it is `IRP_MJ_INTERNAL_DEVICE_CONTROL`.
    pub internal: bool,
}

/// `IoBuildDeviceIoControlRequest`. `None` when memory is short.
pub fn control(
    device: &'static DeviceObject,
    control: Control,
    requestor: Requestor,
) -> Option<&'static Irp> {
    let (input, in_length) = (control.input.0, u64::from(control.input.1));
    let (output, out_length) = (control.output.0, u64::from(control.output.1));
    let method = control.code & 3;
    let memory = match method {
        0 => Memory::buffered(in_length.max(out_length), input, in_length, (output, out_length))?,
        1 | 2 => {
            let mut memory = Memory::direct(output, out_length, method == 2)?;
            let Some(system) = Memory::buffered(in_length, input, in_length, (0, 0)) else {
                memory.free();
                return None;
            };
            memory.system = system.system;
            memory
        }
        _ => Memory::default(),
    };
    let irp = build(device, memory, requestor)?;
    let stack = irp::next(irp);
    stack.major_function.set(if control.internal {
        major::INTERNAL_DEVICE_CONTROL
    } else {
        major::DEVICE_CONTROL
    });
    let type3 = if method == 3 { input } else { 0 };
    if method == 3 {
        irp.user_buffer.set(output);
    }
    let parameters = [out_length, in_length, control.code.into(), type3];
    stack
        .parameters
        .iter()
        .zip(parameters)
        .for_each(|(place, value)| place.set(value));
    Some(irp)
}

/// `IoBuildSynchronousFsdRequest`: a read or write by the device's flags, or a request without a buffer. `None` when memory is short.
pub fn transfer(
    device: &'static DeviceObject,
    function: u8,
    (buffer, length): (u64, u32),
    offset: u64,
    requestor: Requestor,
) -> Option<&'static Irp> {
    let (length, is_read) = (u64::from(length), function == major::READ);
    let flags = device.flags.get();
    let memory = match function {
        major::READ | major::WRITE if flags & device_flag::BUFFERED_IO != 0 => {
            let (input, output) = if is_read {
                (0, (buffer, length))
            } else {
                (length, (0, 0))
            };
            Memory::buffered(length, buffer, input, output)?
        }
        major::READ | major::WRITE if flags & device_flag::DIRECT_IO != 0 => {
            Memory::direct(buffer, length, is_read)?
        }
        _ => Memory::default(),
    };
    let irp = build(device, memory, requestor)?;
    let stack = irp::next(irp);
    stack.major_function.set(function);
    if matches!(function, major::READ | major::WRITE) {
        if flags & (device_flag::BUFFERED_IO | device_flag::DIRECT_IO) == 0 {
            irp.user_buffer.set(buffer);
        }
        let parameters = [length, 0, offset, 0];
        stack
            .parameters
            .iter()
            .zip(parameters)
            .for_each(|(place, value)| place.set(value));
    }
    Some(irp)
}
