//! What a user-mode process does: it opens the device, reads, writes, sends control requests, cancels them, closes its handles, or dies.
//!
//! A file object is referenced by its handle and by every request under way; `IRP_MJ_CLEANUP` goes out when the handle is closed,
//! `IRP_MJ_CLOSE` when the last reference goes.

mod buffers;

use super::device;
use super::interface;
use super::irp::{self, Done};
use super::mdl;
use super::object::{DeviceObject, FileObject, Irp, SecurityContext, TYPE_FILE, device_flag, major};
use crate::bug::{self, code};
use crate::callout::Outermost;
use crate::config;
use crate::ke::irql;
use crate::ke::thread::current_address;
use crate::ke::wait;
use crate::ke::worker;
use crate::lock::IrqLock;
use crate::mm::pool::{self, Placement, Tag};
use crate::mm::reserve;
use crate::rtl::UnicodeString;
use crate::rtl::guid::Guid;
use crate::status;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use buffers::Buffers;
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use lab_wire::frame::{Access, Caller};
use lab_wire::sddl::{FILE_READ_DATA, FILE_WRITE_DATA, SecurityDescriptor};

const FILE_TAG: Tag = Tag(u32::from_le_bytes(*b"File"));
/// `UserMode`.
const USER_MODE: i8 = 1;
/// What protects a device that neither the INF nor the driver protects: everybody may read and write.
const OPEN_TO_ALL: &str = "D:(A;;GA;;;SY)(A;;GA;;;BA)(A;;GRGWGX;;;WD)";
/// `FILE_OPEN << 24 | FILE_NON_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT`.
const CREATE_OPTIONS: u32 = 0x0100_0060;
/// `FO_HANDLE_CREATED`.
const HANDLE_CREATED: u32 = 0x0004_0000;
/// Handles are multiples of four.
const HANDLE_STEP: u64 = 4;

/// What a handle of the client's stands for: an open file, or another driver's pointer to the device.
struct File {
    /// None for a driver.
    object: Option<&'static FileObject>,
    /// The top of the stack that was opened.
    device: &'static DeviceObject,
    granted: u32,
    /// Who opened it, and sends its requests.
    caller: Caller,
    /// The handle, and requests under way.
    references: AtomicUsize,
}

/// What a client asks of the device behind a handle.
#[derive(Clone, Copy, Debug)]
pub enum Transfer<'a> {
    /// `DeviceIoControl`.
    Control {
        /// The control code.
        code: u32,
        /// Bytes of output that the client has room for.
        capacity: u32,
        /// Its input.
        input: &'a [u8],
    },
    /// `ReadFile`.
    Read {
        /// How many bytes.
        length: u32,
        /// Where from; the file's own position if `None`.
        offset: Option<u64>,
    },
    /// `WriteFile`.
    Write {
        /// Where to; as above.
        offset: Option<u64>,
        /// What.
        input: &'a [u8],
    },
}

impl Transfer<'_> {
    /// The request without its input.
    pub fn kind(&self) -> Asked {
        match self {
            Self::Control { code, .. } => Asked::Control(*code),
            Self::Read { .. } => Asked::Read,
            Self::Write { .. } => Asked::Write,
        }
    }
}

/// Which request it is.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// With its control code.
    Control(u32),
    /// A read.
    Read,
    /// A write.
    Write,
}

impl Asked {
    fn code(self) -> u32 {
        match self {
            Self::Control(code) => code,
            Self::Read | Self::Write => 0,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(code) => write!(f, "the request with control code {code:#010x}"),
            Self::Read => f.write_str("the read"),
            Self::Write => f.write_str("the write"),
        }
    }
}

/// A request that is not answered yet.
struct Pending {
    asked: Asked,
    /// `None` until its IRP is on its way.
    serial: Option<u64>,
    /// Cancelled before it had one.
    cancelled: bool,
}

static FILES: IrqLock<BTreeMap<u64, Arc<File>>> = IrqLock::new(BTreeMap::new());
static PENDING: IrqLock<BTreeMap<u32, Pending>> = IrqLock::new(BTreeMap::new());
/// Files whose close has not been sent.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// Calls of [`open`] that are under way.
static OPENS: AtomicUsize = AtomicUsize::new(0);
/// On whose behalf threads run that carry out a client's request.
static CALLERS: IrqLock<BTreeMap<u64, Caller>> = IrqLock::new(BTreeMap::new());
/// Guards the devices' open counts.
static OPENING: IrqLock<u64> = IrqLock::new(0);

/// `CreateFile` on a device interface: a handle.
///
/// # Errors
/// The NTSTATUS of the look-up, the access check, or the driver's create routine.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn open(class: &Guid, access: Access, caller: Caller) -> Result<u64, i32> {
    let find = || {
        let device = interface::find(class).ok_or(status::OBJECT_NAME_NOT_FOUND)?;
        Ok((device, String::new()))
    };
    try_open(find, access, caller)
}

/// `CreateFile` on a name: a handle.
///
/// # Errors
/// As [`open`].
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn open_name(name: &str, access: Access, caller: Caller) -> Result<u64, i32> {
    try_open(|| interface::resolve(name), access, caller)
}

fn try_open(
    find: impl FnOnce() -> Result<(&'static DeviceObject, String), i32>,
    access: Access,
    caller: Caller,
) -> Result<u64, i32> {
    OPENS.fetch_add(1, Ordering::Acquire);
    let opened = find().and_then(|(device, name)| open_device(device, &name, access, caller));
    // Release: `close_all` sees the file of an open that is over.
    OPENS.fetch_sub(1, Ordering::Release);
    opened
}

/// Opens the top of the stack that `physical` is in; `name` is the file's on it.
fn open_device(
    physical: &'static DeviceObject,
    name: &str,
    access: Access,
    caller: Caller,
) -> Result<u64, i32> {
    let device = device::top_of_stack(physical);
    if device.flags.get() & device_flag::DEVICE_INITIALIZING != 0 {
        return Err(status::NO_SUCH_DEVICE);
    }
    let granted = if caller.is_kernel() {
        FILE_READ_DATA | FILE_WRITE_DATA
    } else {
        let sddl = device::security(physical);
        let descriptor = SecurityDescriptor::parse(sddl.as_deref().unwrap_or(OPEN_TO_ALL))
            .map_err(|_| status::ACCESS_DENIED)?;
        descriptor.check(caller, access).ok_or(status::ACCESS_DENIED)?
    };
    let handle = {
        let mut last = OPENING.lock();
        if device.flags.get() & device_flag::EXCLUSIVE != 0 && device.reference_count.get() != 0 {
            return Err(status::ACCESS_DENIED);
        }
        device.reference_count.set(device.reference_count.get() + 1);
        *last += HANDLE_STEP;
        *last
    };
    let object = if caller.is_kernel() {
        None
    } else {
        Some(create(device, name, granted, caller).inspect_err(|_| leave(device))?)
    };
    let file = File {
        object,
        device,
        granted,
        caller,
        references: AtomicUsize::new(1),
    };
    OPEN.fetch_add(1, Ordering::Relaxed);
    FILES.lock().insert(handle, Arc::new(file));
    Ok(handle)
}

/// Counts a handle to `device` off.
fn leave(device: &'static DeviceObject) {
    {
        let _guard = OPENING.lock();
        device.reference_count.set(device.reference_count.get() - 1);
    }
    device::release_if_unused((&raw const *device) as u64);
}

/// Makes a file object and asks the driver whether it may be.
fn create(
    device: &'static DeviceObject,
    name: &str,
    granted: u32,
    caller: Caller,
) -> Result<&'static FileObject, i32> {
    let size = size_of::<FileObject>() as u64;
    if !reserve::has_for_client(2) {
        return Err(status::INSUFFICIENT_RESOURCES);
    }
    let memory =
        pool::allocate(size, FILE_TAG, true, Placement::Block, 0).ok_or(status::INSUFFICIENT_RESOURCES)?;
    // SAFETY: fresh zeroed pool of the right size; every field may be zero. It stays until `free_file`.
    let object: &'static FileObject = unsafe { &*memory.cast() };
    object.kind.set(TYPE_FILE);
    object.size.set(size as i16);
    object.device_object.set((&raw const *device).cast_mut());
    object
        .file_name
        .set(file_name(name).inspect_err(|_| free_file(object))?);
    object.read_access.set(u8::from(granted & FILE_READ_DATA != 0));
    object.write_access.set(u8::from(granted & FILE_WRITE_DATA != 0));
    object.shared_read.set(1);
    object.shared_write.set(1);
    let context = SecurityContext {
        quality_of_service: 0,
        access_state: 0,
        desired_access: granted,
        full_create_options: CREATE_OPTIONS,
    };
    let status = in_process_of(caller, || {
        send(device, object, major::CREATE, |parameters| {
            // FILE_SHARE_READ | FILE_SHARE_WRITE
            *parameters = [(&raw const context) as u64, u64::from(CREATE_OPTIONS), 3 << 16, 0];
        })
    });
    if !status::is_success(status) {
        free_file(object);
        return Err(status);
    }
    object.flags.set(HANDLE_CREATED);
    Ok(object)
}

/// Does `work` in the process of `caller`: what the running thread does meanwhile is done on its behalf.
fn in_process_of<R>(caller: Caller, work: impl FnOnce() -> R) -> R {
    let thread = current_address();
    CALLERS.lock().insert(thread, caller);
    let result = work();
    CALLERS.lock().remove(&thread);
    result
}

/// Sends a request about a file and waits for it.
fn send(
    device: &'static DeviceObject,
    object: &'static FileObject,
    function: u8,
    fill: impl FnOnce(&mut [u64; 4]),
) -> i32 {
    let (status, _) = irp::send_and_wait(device, |irp, stack| {
        irp.requestor_mode.set(USER_MODE);
        irp.original_file_object.set((&raw const *object).cast_mut());
        stack.major_function.set(function);
        stack.file_object.set((&raw const *object).cast_mut());
        let mut parameters = [0; 4];
        fill(&mut parameters);
        stack
            .parameters
            .iter()
            .zip(parameters)
            .for_each(|(field, value)| field.set(value));
    });
    status
}

/// A file's name in pool; empty for none.
fn file_name(name: &str) -> Result<UnicodeString, i32> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let length = size_of_val(units.as_slice());
    let mut buffer = ptr::null_mut();
    if length != 0 {
        buffer = pool::allocate(length as u64, FILE_TAG, false, Placement::Block, 0)
            .ok_or(status::INSUFFICIENT_RESOURCES)?
            .cast::<u16>();
        // SAFETY: the block is fresh, and as long as the name.
        unsafe { buffer.copy_from_nonoverlapping(units.as_ptr(), units.len()) };
    }
    Ok(UnicodeString {
        length: length as u16,
        maximum_length: length as u16,
        buffer,
    })
}

fn free_file(object: &'static FileObject) {
    let name = object.file_name.get().buffer as u64;
    if name != 0 && pool::free(name, Some(FILE_TAG), 0).is_err() {
        bug::bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, name, 0, 0],
            format_args!("the memory behind a file object's name was overwritten"),
        );
    }
    if pool::free((&raw const *object) as u64, Some(FILE_TAG), 0).is_err() {
        bug::bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, (&raw const *object) as u64, 0, 0],
            format_args!("the memory behind a file object was overwritten"),
        );
    }
}

impl File {
    /// The file of a handle, with a reference that the caller gives back. It is taken while the handle is there, as
    /// `ObReferenceObjectByHandle` does: afterwards somebody else may close it, when the device goes.
    fn of(handle: u64) -> Option<Arc<Self>> {
        let files = FILES.lock();
        let file = files.get(&handle)?;
        // Relaxed: the handle's own reference cannot go meanwhile.
        file.references.fetch_add(1, Ordering::Relaxed);
        Some(file.clone())
    }

    /// Takes a reference back; with the last one the file is closed, by a worker: this may run at `DISPATCH_LEVEL`.
    fn dereference(self: Arc<Self>) {
        // AcqRel: whoever closes sees what every request did.
        if self.references.fetch_sub(1, Ordering::AcqRel) == 1 {
            worker::queue(move || {
                if let Some(object) = self.object {
                    send(self.device, object, major::CLOSE, |_| {});
                    free_file(object);
                }
                leave(self.device);
                // Release: pairs with the Acquire in `close_all`.
                OPEN.fetch_sub(1, Ordering::Release);
            });
        }
    }
}

/// `CloseHandle`: cleanup now, close when the last request is done.
///
/// # Errors
/// `STATUS_INVALID_HANDLE`.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn close(handle: u64) -> Result<(), i32> {
    let file = FILES.lock().remove(&handle).ok_or(status::INVALID_HANDLE)?;
    if let Some(object) = file.object {
        // Its page says so of a cleanup; a close comes in no particular process.
        in_process_of(file.caller, || send(file.device, object, major::CLEANUP, |_| {}));
    }
    file.dereference();
    Ok(())
}

/// On whose behalf the running thread carries out a request; `None` for a thread of the system's.
pub fn current_caller() -> Option<Caller> {
    let caller = CALLERS.lock().get(&current_address()).copied();
    caller.filter(|caller| !caller.is_kernel())
}

/// How the answer to a request is delivered; called at or below `DISPATCH_LEVEL`.
pub type Answer = Box<dyn FnOnce(i32, Vec<u8>) + Send>;

/// A request that has arrived and is not sent yet.
pub struct Arrived {
    id: u32,
    /// With a reference, or why there is none.
    file: Result<Arc<File>, i32>,
}

impl Arrived {
    /// Takes note of a request the moment it arrives. A cancellation that overtakes it finds it, and whoever closes the handle after
    /// it comes too late: `NtDeviceIoControlFile` has referenced the file before its thread can do anything else.
    pub fn new(id: u32, handle: u64, asked: Asked) -> Self {
        PENDING.lock().insert(
            id,
            Pending {
                asked,
                serial: None,
                cancelled: false,
            },
        );
        Self {
            id,
            file: File::of(handle).ok_or(status::INVALID_HANDLE),
        }
    }

    /// Sends it. Returns when the driver's dispatch routine does; `answer` is called when the request is done, with what was read, or
    /// for a write with the number of bytes.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn send(self, transfer: Transfer<'_>, answer: Answer) {
        let sent = match self.file {
            Ok(file) => {
                let sent = start_on(&file, self.id, transfer, answer);
                file.dereference();
                sent
            }
            Err(status) => Err((status, answer)),
        };
        if let Err((status, answer)) = sent {
            PENDING.lock().remove(&self.id);
            answer(status, Vec::new());
        }
    }
}

fn start_on(file: &Arc<File>, id: u32, transfer: Transfer<'_>, answer: Answer) -> Result<(), (i32, Answer)> {
    let needed = match transfer {
        // The control code's access bits, FILE_READ_ACCESS and FILE_WRITE_ACCESS, are those of the file's data.
        Transfer::Control { code, .. } => code >> 14 & (FILE_READ_DATA | FILE_WRITE_DATA),
        Transfer::Read { .. } => FILE_READ_DATA,
        Transfer::Write { .. } => FILE_WRITE_DATA,
    };
    if file.granted & needed != needed {
        return Err((status::ACCESS_DENIED, answer));
    }
    let device = file.device;
    let buffers = match transfer {
        Transfer::Control {
            code,
            capacity,
            input,
        } => Buffers::of_control(code, capacity, input),
        Transfer::Read { length, .. } => Buffers::of_read(device, length),
        Transfer::Write { input, .. } => Buffers::of_write(device, input),
    };
    let Some(buffers) = buffers else {
        return Err((status::INSUFFICIENT_RESOURCES, answer));
    };
    let Some((irp, serial)) = irp::allocate(device.stack_size.get()) else {
        buffers.free();
        return Err((status::INSUFFICIENT_RESOURCES, answer));
    };
    // Relaxed: the caller's reference keeps the file open meanwhile.
    file.references.fetch_add(1, Ordering::Relaxed);
    let addresses = buffers.addresses();
    let referenced = file.clone();
    let is_write = matches!(transfer, Transfer::Write { .. });
    let done: Done = Box::new(move |irp: &'static Irp| {
        let (status, information) = (irp.io_status.status.get(), irp.io_status.information.get());
        let output = if is_write && !status::is_error(status) {
            information.to_le_bytes().to_vec()
        } else {
            buffers.output(status, information)
        };
        mdl::finish(irp.mdl_address.get(), buffers.addresses().mdl);
        buffers.free();
        PENDING.lock().remove(&id);
        answer(status, output);
        referenced.dereference();
    });
    irp::when_done(irp, done);
    if let Some(object) = file.object {
        irp.requestor_mode.set(USER_MODE);
        irp.original_file_object.set((&raw const *object).cast_mut());
    }
    irp.system_buffer.set(addresses.system);
    irp.mdl_address.set(addresses.mdl);
    irp.user_buffer.set(addresses.user);
    let stack = irp::next(irp);
    stack.file_object.set(
        file.object
            .map_or(ptr::null_mut(), |object| (&raw const *object).cast_mut()),
    );
    // A file's position is the driver's to move on.
    let position = |offset: Option<u64>| {
        let own = || file.object.map_or(0, |object| object.current_byte_offset.get());
        offset.unwrap_or_else(own)
    };
    let (function, parameters) = match transfer {
        Transfer::Control {
            code,
            capacity,
            input,
        } => {
            let lengths = [u64::from(capacity), input.len() as u64];
            let parameters = [lengths[0], lengths[1], u64::from(code), addresses.type3];
            (major::DEVICE_CONTROL, parameters)
        }
        Transfer::Read { length, offset } => (major::READ, [u64::from(length), 0, position(offset), 0]),
        Transfer::Write { offset, input } => (major::WRITE, [input.len() as u64, 0, position(offset), 0]),
    };
    stack.major_function.set(function);
    stack
        .parameters
        .iter()
        .zip(parameters)
        .for_each(|(field, value)| field.set(value));
    let cancelled = {
        let mut pending = PENDING.lock();
        pending.get_mut(&id).is_some_and(|entry| {
            entry.serial = Some(serial);
            entry.cancelled
        })
    };
    if cancelled {
        irp.cancel.set(1);
    }
    match file.caller {
        Caller::Kernel => irp::send(device, irp, serial, Outermost::System),
        Caller::KernelAtDispatch => {
            let _raised = irql::Raised::to(irql::DISPATCH_LEVEL);
            irp::send(device, irp, serial, Outermost::System);
        }
        client => in_process_of(client, || irp::send(device, irp, serial, Outermost::Client)),
    }
    Ok(())
}

/// `CancelIoEx` on one request.
///
/// # Errors
/// `STATUS_NOT_FOUND` if it is done, or never was.
pub fn cancel(id: u32) -> Result<(), i32> {
    let serial = {
        let mut pending = PENDING.lock();
        let entry = pending.get_mut(&id).ok_or(status::NOT_FOUND)?;
        entry.cancelled = true;
        entry.serial
    };
    if let Some(serial) = serial {
        irp::cancel_serial(serial);
    }
    Ok(())
}

/// `CancelIoEx` on every handle.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn cancel_all() {
    let ids: Vec<u32> = PENDING.lock().keys().copied().collect();
    for id in ids {
        // One that is done meanwhile needs no cancellation.
        let _ = cancel(id);
    }
}

/// Waits until no file is being closed any more: those that are open have a handle.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn wait_for_closes() {
    // Acquire: pairs with the Release after a close.
    while OPEN.load(Ordering::Acquire) > FILES.lock().len() + PENDING.lock().len() {
        wait::sleep(1);
    }
}

/// Process rundown: the dead process' requests are cancelled and waited for, then its handles are closed.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn die() {
    cancel_all();
    wait_for_requests("was cancelled, since its process died,");
    close_all();
}

/// Closes every handle that is open, and waits until the files are closed.
pub fn close_all() {
    loop {
        // Acquire: pairs with the Release at the end of an open; its file is seen below, or was closed already.
        let opening = OPENS.load(Ordering::Acquire) != 0;
        let handles: Vec<u64> = FILES.lock().keys().copied().collect();
        for handle in handles {
            // Somebody else may close it meanwhile, which is as good.
            let _ = close(handle);
        }
        wait_for_requests("lost its handle, and was told so by IRP_MJ_CLEANUP,");
        // Acquire: pairs with the Release after the close.
        if !opening && OPEN.load(Ordering::Acquire) == 0 {
            return;
        }
        wait::sleep(1);
    }
}

/// Waits for all requests; one that takes too long is never completed.
fn wait_for_requests(why: &str) {
    let limit = config::get().hang;
    for waited in 0.. {
        let Some(asked) = PENDING.lock().values().next().map(|pending| pending.asked) else {
            return;
        };
        if waited > limit {
            bug::bugcheck(
                code::REQUEST_NOT_COMPLETED,
                [u64::from(asked.code()), waited, 0, 0],
                format_args!("{asked} {why} and is not completed {waited} ms later"),
            );
        }
        wait::sleep(1);
    }
}
