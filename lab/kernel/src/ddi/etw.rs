//! Event Tracing for Windows: providers, and the events that they write.
//!
//! Somebody always listens, to everything: a provider is enabled while it registers. Each event is a line of the log,
//! ```text
//! etw: {GUID} PROVIDER EVENT FIELD=VALUE ...
//! ```
//! which the host counts. Both calls that make something, registering and writing, can be made to fail.

use crate::bug::{self, code};
use crate::export::Export;
use crate::ke::thread;
use crate::ldr::image;
use crate::lock::IrqLock;
use crate::rtl::guid::guid_text;
use crate::status;
use crate::{callout, log, points, trace};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use lab_wire::tracelogging;

/// `STATUS_NO_MEMORY`.
const NO_MEMORY: i32 = 0xC000_0017_u32 as i32;
/// `EVENT_CONTROL_CODE_ENABLE_PROVIDER`.
const ENABLE: u64 = 1;
/// `TRACE_LEVEL_VERBOSE`.
const VERBOSE: u64 = 5;
/// `EventProviderSetTraits`, of `EVENT_INFO_CLASS`.
const SET_TRAITS: u32 = 2;
/// `MAX_EVENT_DATA_DESCRIPTORS`.
const MOST_DATA: u32 = 128;
/// `EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA`.
const EVENT_METADATA: u8 = 1;
/// `EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA`.
const PROVIDER_METADATA: u8 = 2;
const FIRST_HANDLE: u64 = 0xFFFF_8001_0000_0000;

struct Provider {
    handle: u64,
    guid: [u8; 16],
    /// From its traits.
    name: String,
    /// Who registered it.
    caller: u64,
}

struct Providers {
    registered: Vec<Provider>,
    next: u64,
}

static PROVIDERS: IrqLock<Providers> = IrqLock::new(Providers {
    registered: Vec::new(),
    next: FIRST_HANDLE,
});

/// `EVENT_DATA_DESCRIPTOR`.
#[repr(C)]
struct DataDescriptor {
    address: u64,
    size: u32,
    kind: u8,
    reserved: [u8; 3],
}

const _: () = assert!(size_of::<DataDescriptor>() == 16);

impl DataDescriptor {
    /// # Safety
    /// The DDI: so many bytes can be read there.
    unsafe fn bytes(&self) -> &[u8] {
        if self.size == 0 {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts(self.address as *const u8, self.size as usize) }
    }
}

/// The providers that are registered, and who did it.
pub fn registered() -> Vec<(u64, u64)> {
    let providers = PROVIDERS.lock();
    let registered = providers.registered.iter();
    registered
        .map(|provider| (provider.handle, provider.caller))
        .collect()
}

/// Calls the driver's `ETWENABLECALLBACK`: everything is wanted.
fn enable(callback: u64, context: u64) {
    type Callback = unsafe extern "win64" fn(*const [u8; 16], u64, u64, u64, u64, u64, u64);
    let nobody = [0; 16];
    // SAFETY: the driver gave this address for an ETWENABLECALLBACK.
    let routine = unsafe { core::mem::transmute::<u64, Callback>(callback) };
    callout::call_driver("enable callback", || {
        // SAFETY: these are its arguments: source, control code, level, any and all of the keywords, filter, context.
        unsafe { routine(&raw const nobody, ENABLE, VERBOSE, u64::MAX, 0, 0, context) };
    });
}

unsafe extern "win64" fn etw_register(
    guid: *const [u8; 16],
    callback: u64,
    context: u64,
    handle: *mut u64,
) -> i32 {
    if points::creation_fails() {
        return NO_MEMORY;
    }
    // SAFETY: the DDI asks for a GUID there.
    let guid = unsafe { guid.read() };
    let new = {
        let mut providers = PROVIDERS.lock();
        let new = providers.next;
        providers.next += 8;
        providers.registered.push(Provider {
            handle: new,
            guid,
            name: String::from("?"),
            caller: thread::current().caller(),
        });
        new
    };
    // SAFETY: the DDI asks for room for a REGHANDLE there.
    unsafe { handle.write(new) };
    if callback != 0 {
        enable(callback, context);
    }
    status::SUCCESS
}

unsafe extern "win64" fn etw_unregister(handle: u64) -> i32 {
    // Verifier tells whose call it is by the return address. A call that is a driver routine's last act, compiled to a
    // jump, returns to who called the driver; then the driver is found to have left its provider (seen by the authors of
    // eBPF for Windows, who switch that optimisation off).
    let caller = thread::current().caller();
    if image::holder(caller).is_none() {
        return status::SUCCESS;
    }
    let mut providers = PROVIDERS.lock();
    let Some(index) = providers
        .registered
        .iter()
        .position(|provider| provider.handle == handle)
    else {
        drop(providers);
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::BAD_ETW_HANDLE, handle, 0, 0],
            format_args!("EtwUnregister was given {handle:#x}, which is no registered provider's handle"),
        );
    };
    providers.registered.remove(index);
    status::SUCCESS
}

unsafe extern "win64" fn etw_set_information(
    handle: u64,
    class: u32,
    address: *const u8,
    length: u32,
) -> i32 {
    if class != SET_TRAITS || address.is_null() {
        return status::INVALID_PARAMETER;
    }
    // SAFETY: the DDI asks for so many bytes there.
    let traits = unsafe { core::slice::from_raw_parts(address, length as usize) };
    let Some(name) = tracelogging::provider(traits) else {
        return status::INVALID_PARAMETER;
    };
    let mut providers = PROVIDERS.lock();
    let Some(provider) = providers
        .registered
        .iter_mut()
        .find(|provider| provider.handle == handle)
    else {
        return status::INVALID_HANDLE;
    };
    provider.name = name.replace(|letter: char| !letter.is_ascii_graphic(), "_");
    status::SUCCESS
}

unsafe extern "win64" fn etw_write_transfer(
    handle: u64,
    descriptor: *const [u64; 2],
    _activity: *const [u8; 16],
    _related: *const [u8; 16],
    count: u32,
    data: *const DataDescriptor,
) -> i32 {
    if count > MOST_DATA {
        return status::INVALID_PARAMETER;
    }
    // SAFETY: the DDI asks for an EVENT_DESCRIPTOR there.
    let _ = unsafe { descriptor.read_volatile() };
    let provider = {
        let providers = PROVIDERS.lock();
        let known = providers
            .registered
            .iter()
            .find(|provider| provider.handle == handle);
        known.map(|provider| (guid_text(&provider.guid), provider.name.clone()))
    };
    let Some((guid, mut name)) = provider else {
        return status::INVALID_HANDLE;
    };
    if points::creation_fails() {
        return NO_MEMORY;
    }
    let mut items: &[DataDescriptor] = &[];
    if count > 0 {
        // SAFETY: the DDI asks for so many EVENT_DATA_DESCRIPTORs there.
        items = unsafe { core::slice::from_raw_parts(data, count as usize) };
    }
    let (mut metadata, mut payload) = (&[][..], Vec::new());
    for item in items {
        // SAFETY: the DDI: each names bytes of system memory.
        let bytes = unsafe { item.bytes() };
        match item.kind {
            EVENT_METADATA => metadata = bytes,
            PROVIDER_METADATA => name = tracelogging::provider(bytes).unwrap_or("?").to_string(),
            _ => payload.extend_from_slice(bytes),
        }
    }
    let event = tracelogging::event(metadata, &payload);
    let event = event.as_deref().unwrap_or("?");
    log!("etw: {guid} {name} {event}");
    if trace::is_on() {
        trace::text(trace::Kind::Event, &format!("{name} {event}"));
    }
    status::SUCCESS
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function("EtwRegister", 0..=0, etw_register as *const ()),
    Export::function("EtwUnregister", 0..=0, etw_unregister as *const ()),
    Export::function("EtwSetInformation", 0..=0, etw_set_information as *const ()),
    Export::function("EtwWriteTransfer", 0..=15, etw_write_transfer as *const ()),
];
