//! `wdfiotarget.h`: requests with memory, formatted for a target or sent to it at once. The order of the questions is fxiotargetapi.cpp's and
//! fxiotargetkm.cpp's.

use super::buffer::Buffer;
use super::functions::fit;
use super::options::Options;
use super::submit::send_and_wait;
use crate::device;
use crate::layout::{IO_BUFFERED, IO_DIRECT, IO_NEITHER, MemoryDescriptor, MemoryOffset, SendOptions};
use crate::object::{self, Kind, Object};
use crate::request::formatted::{Before, Formatted};
use crate::request::made;
use crate::request::sending::require_not_sent;
use crate::slot::Slot;
use crate::violation::require_passive;
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{Irp, StackLocation, major};
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::mm::pool::{self, Placement};
use rundown_lab_kernel::status;

/// `WdfRequestTypeOther`.
const TYPE_OTHER: u32 = 0x1C;
/// The low bits of a control code.
const METHOD_BUFFERED: u32 = 0;
const METHOD_IN_DIRECT: u32 = 1;
const METHOD_NEITHER: u32 = 3;

/// A format under way: the request, with a fresh next stack location.
struct Format<'a> {
    request: &'a Arc<Object>,
    irp: &'static Irp,
    next: &'static StackLocation,
    context: Formatted,
}

impl<'a> Format<'a> {
    /// Whatever the request was formatted with before is released first.
    fn begin(target: &Object, request: &'a Arc<Object>) -> Result<Self, i32> {
        require_not_sent(request);
        let details = request.request();
        fit(request, target)?;
        let irp = details.irp();
        let next = irp::next(irp);
        irp::clear(next);
        if details.has_arrived() {
            let current = irp::current(irp);
            next.flags.set(current.flags.get());
            next.file_object.set(current.file_object.get());
        }
        Ok(Self {
            request,
            irp,
            next,
            context: Formatted::default(),
        })
    }

    fn keep(&mut self, buffer: &Buffer) {
        if let Some(object) = buffer.object() {
            object.reference();
            self.context.memories.push(object.clone());
        }
    }

    /// Pool in the place of the driver's buffers, which has the input.
    fn system_buffer(&mut self, size: u32, input: u64, count: u32) -> Result<(), i32> {
        let block = pool::allocate(
            size.into(),
            object::tag(),
            false,
            Placement::Block,
            thread::current().caller(),
        )
        .ok_or(status::INSUFFICIENT_RESOURCES)?;
        if input != 0 {
            // SAFETY: the driver's buffer has `count` bytes, by the declaration, and the block at least as many.
            unsafe { block.copy_from(input as *const u8, count as usize) };
        }
        self.context.block = block as u64;
        self.irp.system_buffer.set(block);
        Ok(())
    }

    fn mdl(&mut self, buffer: &Buffer, write: bool) -> Result<(), i32> {
        let (mdl, own) = buffer.mdl(write)?;
        self.irp.mdl_address.set(mdl);
        self.context.mdl = if own { mdl } else { 0 };
        Ok(())
    }

    fn parameters(&self, parameters: [u64; 4]) {
        self.next
            .parameters
            .iter()
            .zip(parameters)
            .for_each(|(place, value)| place.set(value));
    }

    /// A format that failed leaves the request as it was.
    fn end(self, done: Result<(), i32>) -> Result<(), i32> {
        let Self {
            request,
            irp,
            context,
            ..
        } = self;
        let mut sending = request.request().sending().lock();
        if let Err(status) = done {
            sending.context.get_or_insert_default();
            drop(sending);
            context.release(irp);
            return Err(status);
        }
        sending.context = Some(context);
        sending.formatted = true;
        Ok(())
    }
}

/// fxiotargetkm.cpp:34.
fn format_transfer(
    target: &Object,
    request: &Arc<Object>,
    function: u8,
    buffer: &Buffer,
    device_offset: i64,
) -> Result<(), i32> {
    let io_type = target
        .target()
        .place()
        .map(|place| device::io_type_of(place.device));
    let mut format = Format::begin(target, request)?;
    format.keep(buffer);
    format.context.before = Some(Before::of(format.irp));
    format.context.function = function;
    format.next.major_function.set(function);
    let length = buffer.length();
    let done = fill_transfer(&mut format, function == major::READ, io_type, buffer, length);
    format.parameters([length.into(), 0, device_offset as u64, 0]);
    format.end(done)
}

fn fill_transfer(
    format: &mut Format<'_>,
    is_read: bool,
    io_type: Option<u32>,
    buffer: &Buffer,
    length: u32,
) -> Result<(), i32> {
    match io_type {
        Some(IO_BUFFERED) if length == 0 => {
            format.irp.user_buffer.set(0);
            format.irp.system_buffer.set(core::ptr::null_mut());
            Ok(())
        }
        Some(IO_BUFFERED) => {
            let address = buffer.address()?;
            format.system_buffer(length, if is_read { 0 } else { address }, length)?;
            format.irp.user_buffer.set(if is_read { address } else { 0 });
            format.context.copy_back = is_read.then_some((address, length.into()));
            Ok(())
        }
        Some(IO_DIRECT) => format.mdl(buffer, is_read),
        Some(IO_NEITHER) => {
            format.irp.user_buffer.set(buffer.address()?);
            Ok(())
        }
        _ => Err(status::INVALID_DEVICE_STATE),
    }
}

/// fxiotargetkm.cpp:282.
fn format_control(
    target: &Object,
    request: &Arc<Object>,
    (code, internal): (u32, bool),
    input: &Buffer,
    output: &Buffer,
) -> Result<(), i32> {
    let mut format = Format::begin(target, request)?;
    format.keep(input);
    format.keep(output);
    format.context.before = Some(Before::of(format.irp));
    let function = if internal {
        major::INTERNAL_DEVICE_CONTROL
    } else {
        major::DEVICE_CONTROL
    };
    format.context.function = function;
    format.next.major_function.set(function);
    let lengths = [output.length(), input.length()].map(u64::from);
    format.parameters([lengths[0], lengths[1], code.into(), 0]);
    let done = fill_control(&mut format, code, input, output);
    format.end(done)
}

fn fill_control(format: &mut Format<'_>, code: u32, input: &Buffer, output: &Buffer) -> Result<(), i32> {
    let (in_length, out_length) = (input.length(), output.length());
    match code & 3 {
        METHOD_BUFFERED if in_length == 0 && out_length == 0 => {
            format.irp.user_buffer.set(0);
            format.irp.system_buffer.set(core::ptr::null_mut());
        }
        METHOD_BUFFERED => {
            let (from, to) = (input.address()?, output.address()?);
            format.system_buffer(in_length.max(out_length), from, in_length)?;
            format.irp.user_buffer.set(to);
            format.context.copy_back = (out_length != 0).then_some((to, out_length.into()));
        }
        METHOD_NEITHER => {
            format.irp.user_buffer.set(output.address()?);
            format.next.parameters[3].set(input.address()?);
        }
        method => {
            format.irp.system_buffer.set(input.address()? as *mut u8);
            format.mdl(output, method != METHOD_IN_DIRECT)?;
        }
    }
    Ok(())
}

/// Three arguments of the driver's own, and the code in the place of the third (fxiotarget.cpp:2460).
fn format_others(
    target: &Object,
    request: &Arc<Object>,
    code: u32,
    arguments: &[Buffer; 3],
) -> Result<(), i32> {
    let mut format = Format::begin(target, request)?;
    for argument in arguments {
        format.keep(argument);
    }
    format.next.major_function.set(major::INTERNAL_DEVICE_CONTROL);
    let addresses = || {
        let [first, second, fourth] = arguments;
        Ok([
            first.address()?,
            second.address()?,
            code.into(),
            fourth.address()?,
        ])
    };
    let done = addresses().map(|parameters| format.parameters(parameters));
    format.end(done)
}

/// What the completion routine is told of how the request was formatted.
fn say(request: &Arc<Object>, kind: u32, parameters: [u64; 6]) -> i32 {
    if let Some(context) = request.request().sending().lock().context.as_mut() {
        context.params.kind = kind;
        context.params.parameters = parameters;
    }
    status::SUCCESS
}

/// # Safety
/// `part` is null or points to a `WDFMEMORY_OFFSET`.
unsafe fn offset_of(part: *const MemoryOffset) -> u64 {
    // SAFETY: the caller promises it.
    unsafe { part.as_ref() }.map_or(0, |part| part.offset)
}

unsafe extern "win64" fn format_for_transfer<const FUNCTION: u8>(
    _globals: u64,
    target: u64,
    request: u64,
    memory: u64,
    part: *const MemoryOffset,
    device_offset: *const i64,
) -> i32 {
    let target = object::find(target, Kind::IoTarget);
    let request = object::find(request, Kind::Request);
    // SAFETY: the declaration: a part or null.
    let buffer = unsafe { Buffer::of_memory(memory, part) };
    // SAFETY: the declaration: an offset or null.
    let device_offset = unsafe { device_offset.as_ref() }.copied().unwrap_or(0);
    let done = buffer.and_then(|buffer| format_transfer(&target, &request, FUNCTION, &buffer, device_offset));
    match done {
        // SAFETY: as above.
        Ok(()) => say(
            &request,
            FUNCTION.into(),
            [memory, 0, unsafe { offset_of(part) }, 0, 0, 0],
        ),
        Err(status) => status,
    }
}

unsafe extern "win64" fn format_for_control<const INTERNAL: bool>(
    _globals: u64,
    target: u64,
    request: u64,
    code: u32,
    input: u64,
    input_part: *const MemoryOffset,
    output: u64,
    output_part: *const MemoryOffset,
) -> i32 {
    let target = object::find(target, Kind::IoTarget);
    let request = object::find(request, Kind::Request);
    // SAFETY: the declaration: a part or null.
    let buffers = unsafe { Buffer::of_memory(input, input_part) }
        // SAFETY: as above.
        .and_then(|from| Ok((from, unsafe { Buffer::of_memory(output, output_part) }?)));
    let done = buffers.and_then(|(from, to)| format_control(&target, &request, (code, INTERNAL), &from, &to));
    if let Err(status) = done {
        return status;
    }
    let function = if INTERNAL {
        major::INTERNAL_DEVICE_CONTROL
    } else {
        major::DEVICE_CONTROL
    };
    // SAFETY: as above.
    let in_offset = unsafe { offset_of(input_part) };
    // SAFETY: as above.
    let out_offset = unsafe { offset_of(output_part) };
    say(
        &request,
        function.into(),
        [code.into(), input, in_offset, output, out_offset, 0],
    )
}

unsafe extern "win64" fn format_for_others(
    _globals: u64,
    target: u64,
    request: u64,
    code: u32,
    first: u64,
    first_part: *const MemoryOffset,
    second: u64,
    second_part: *const MemoryOffset,
    fourth: u64,
    fourth_part: *const MemoryOffset,
) -> i32 {
    let target = object::find(target, Kind::IoTarget);
    let request = object::find(request, Kind::Request);
    let parts = [(first, first_part), (second, second_part), (fourth, fourth_part)];
    let mut arguments = [Buffer::None, Buffer::None, Buffer::None];
    for (argument, (memory, part)) in arguments.iter_mut().zip(parts) {
        // SAFETY: the declaration: a part or null.
        match unsafe { Buffer::of_memory(memory, part) } {
            Ok(buffer) => *argument = buffer,
            Err(status) => return status,
        }
    }
    match format_others(&target, &request, code, &arguments) {
        Ok(()) => say(&request, TYPE_OTHER, [first, second, 0, fourth, 0, 0]),
        Err(status) => status,
    }
}

/// Formats a request of its own, or the one that the driver gives for it, sends it and waits (fxsyncrequest.cpp).
///
/// # Safety
/// `options` is null or points to a `WDF_REQUEST_SEND_OPTIONS`, `bytes` is null or has room for a count.
unsafe fn synchronously(
    target: u64,
    request: u64,
    options: *const SendOptions,
    bytes: *mut u64,
    format: impl FnOnce(&Object, &Arc<Object>) -> Result<(), i32>,
) -> i32 {
    let target = object::find(target, Kind::IoTarget);
    require_passive();
    let given = (request != 0).then(|| object::find(request, Kind::Request));
    let own = given.is_none();
    let request = match given.map_or_else(|| made::create(None, 0, false), Ok) {
        Ok(request) => request,
        Err(status) => return status,
    };
    let details = request.request();
    // SAFETY: the caller promises it.
    let sent = unsafe { Options::read(options) }
        .and_then(|options| format(&target, &request).map(|()| options))
        .map(|options| send_and_wait(&target, &request, options, false).1);
    let status = match sent {
        Ok(status) => {
            // SAFETY: as above.
            if let Some(bytes) = unsafe { bytes.as_mut() } {
                *bytes = details.irp().io_status.information.get();
            }
            status
        }
        Err(status) => status,
    };
    details.release_context();
    details.sending().lock().context = None;
    if own {
        request.delete();
    }
    status
}

unsafe extern "win64" fn send_transfer<const FUNCTION: u8>(
    _globals: u64,
    target: u64,
    request: u64,
    memory: *const MemoryDescriptor,
    device_offset: *const i64,
    options: *const SendOptions,
    bytes: *mut u64,
) -> i32 {
    // SAFETY: the declaration.
    let buffer = unsafe { Buffer::of_descriptor(memory) };
    // SAFETY: the declaration: an offset or null.
    let device_offset = unsafe { device_offset.as_ref() }.copied().unwrap_or(0);
    // SAFETY: as above.
    unsafe {
        synchronously(target, request, options, bytes, |target, request| {
            format_transfer(target, request, FUNCTION, &buffer?, device_offset)
        })
    }
}

unsafe extern "win64" fn send_control<const INTERNAL: bool>(
    _globals: u64,
    target: u64,
    request: u64,
    code: u32,
    input: *const MemoryDescriptor,
    output: *const MemoryDescriptor,
    options: *const SendOptions,
    bytes: *mut u64,
) -> i32 {
    // SAFETY: the declaration.
    let from = unsafe { Buffer::of_descriptor(input) };
    // SAFETY: as above.
    let to = unsafe { Buffer::of_descriptor(output) };
    // SAFETY: as above.
    unsafe {
        synchronously(target, request, options, bytes, |target, request| {
            format_control(target, request, (code, INTERNAL), &from?, &to?)
        })
    }
}

unsafe extern "win64" fn send_others(
    _globals: u64,
    target: u64,
    request: u64,
    code: u32,
    first: *const MemoryDescriptor,
    second: *const MemoryDescriptor,
    fourth: *const MemoryDescriptor,
    options: *const SendOptions,
    bytes: *mut u64,
) -> i32 {
    // SAFETY: the declaration.
    let arguments = [first, second, fourth].map(|argument| unsafe { Buffer::of_descriptor(argument) });
    // SAFETY: as above.
    unsafe {
        synchronously(target, request, options, bytes, |target, request| {
            let [first, second, fourth] = arguments;
            format_others(target, request, code, &[first?, second?, fourth?])
        })
    }
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(
        182,
        "WdfIoTargetSendReadSynchronously",
        0,
        send_transfer::<{ major::READ }> as *const (),
    ),
    Slot::new(
        183,
        "WdfIoTargetFormatRequestForRead",
        2,
        format_for_transfer::<{ major::READ }> as *const (),
    ),
    Slot::new(
        184,
        "WdfIoTargetSendWriteSynchronously",
        0,
        send_transfer::<{ major::WRITE }> as *const (),
    ),
    Slot::new(
        185,
        "WdfIoTargetFormatRequestForWrite",
        2,
        format_for_transfer::<{ major::WRITE }> as *const (),
    ),
    Slot::new(
        186,
        "WdfIoTargetSendIoctlSynchronously",
        0,
        send_control::<false> as *const (),
    ),
    Slot::new(
        187,
        "WdfIoTargetFormatRequestForIoctl",
        2,
        format_for_control::<false> as *const (),
    ),
    Slot::new(
        188,
        "WdfIoTargetSendInternalIoctlSynchronously",
        0,
        send_control::<true> as *const (),
    ),
    Slot::new(
        189,
        "WdfIoTargetFormatRequestForInternalIoctl",
        2,
        format_for_control::<true> as *const (),
    ),
    Slot::new(
        190,
        "WdfIoTargetSendInternalIoctlOthersSynchronously",
        0,
        send_others as *const (),
    ),
    Slot::new(
        191,
        "WdfIoTargetFormatRequestForInternalIoctlOthers",
        2,
        format_for_others as *const (),
    ),
];
