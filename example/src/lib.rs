//! A driver to copy: per-device state behind [`Rundown`], requests in flight, and a removal that waits for them.
//!
//! The device answers a request at its next tick, as hardware would with an interrupt. docs/example.md walks through this.
#![no_std]

mod context;

use core::{
    cell::Cell,
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use ex_rundown::{Held, Rundown};
use wdk_panic as _;
use wdk_sys::{
    DRIVER_OBJECT, GUID, NT_SUCCESS, NTSTATUS, PCUNICODE_STRING, PWDFDEVICE_INIT, STATUS_DELETE_PENDING,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS, WDF_DRIVER_CONFIG,
    WDF_IO_QUEUE_CONFIG, WDF_PNPPOWER_EVENT_CALLBACKS, WDF_TIMER_CONFIG, WDFCMRESLIST, WDFDEVICE, WDFDRIVER,
    WDFOBJECT, WDFQUEUE, WDFREQUEST, WDFTIMER, call_unsafe_wdf_function_binding,
};

use context::{ContextType, attributes, size};

/// What protects the state. The system's own routines instead: `ex_rundown_nt::NativeRundown`.
type Protection = ex_rundown::RundownRef<ex_rundown_nt::Nt>;

/// The device interface that a client opens.
static INTERFACE: GUID = GUID {
    Data1: 0x2d8b_6f1e,
    Data2: 0x90c4,
    Data3: 0x4b7a,
    Data4: [0xa3, 0x15, 0x6e, 0x0f, 0x5b, 0xc2, 0x84, 0xd9],
};

/// The one request that it takes: `CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_READ_ACCESS)`, with eight bytes of output.
const ASK: u32 = 0x22 << 16 | 1 << 14 | 0x800 << 2;

/// How often the device ticks, in milliseconds.
const TICK: u32 = 10;

/// What lives from the device's start to its stop: here a counter; in a driver with hardware its registers and buffers.
struct Session {
    answered: AtomicU64,
}

/// A device's context.
struct Device {
    session: Rundown<Session, Protection>,
    in_flight: WDFQUEUE,
    tick: WDFTIMER,
}

/// A request's context: the reference that it holds, taken apart, since the framework zeroes a context and drops nothing.
struct Request {
    session: Cell<*const Rundown<Session, Protection>>,
}

static DEVICE: ContextType<Device> = ContextType::new(c"Device", &DEVICE);
static REQUEST: ContextType<Request> = ContextType::new(c"Request", &REQUEST);

/// # Safety
/// Called by the framework, once, at `PASSIVE_LEVEL`.
#[unsafe(export_name = "DriverEntry")]
unsafe extern "system" fn driver_entry(driver: &mut DRIVER_OBJECT, path: PCUNICODE_STRING) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size::<WDF_DRIVER_CONFIG>(),
        EvtDriverDeviceAdd: Some(evt_driver_device_add),
        ..WDF_DRIVER_CONFIG::default()
    };
    let mut attributes = attributes();
    // SAFETY: the I/O manager's driver object and path; the configuration is copied.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            path,
            &raw mut attributes,
            &raw mut config,
            ptr::null_mut()
        )
    }
}

/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a device that is being set up.
unsafe extern "C" fn evt_driver_device_add(_driver: WDFDRIVER, init: PWDFDEVICE_INIT) -> NTSTATUS {
    // SAFETY: `init` is this callback's to use up.
    match unsafe { create_device(init) } {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => status,
    }
}

/// # Safety
/// `init` is the framework's, and not used before.
unsafe fn create_device(mut init: PWDFDEVICE_INIT) -> Result<(), NTSTATUS> {
    let mut power = WDF_PNPPOWER_EVENT_CALLBACKS {
        Size: size::<WDF_PNPPOWER_EVENT_CALLBACKS>(),
        EvtDevicePrepareHardware: Some(evt_device_prepare_hardware),
        EvtDeviceReleaseHardware: Some(evt_device_release_hardware),
        ..WDF_PNPPOWER_EVENT_CALLBACKS::default()
    };
    // SAFETY: `init` is live; the callbacks are copied.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceInitSetPnpPowerEventCallbacks, init, &raw mut power);
    };
    let mut requests = REQUEST.attributes();
    requests.EvtCleanupCallback = Some(evt_request_cleanup);
    // SAFETY: `init` is live; the attributes are copied.
    unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitSetRequestAttributes, init, &raw mut requests) };

    let mut device: WDFDEVICE = ptr::null_mut();
    let mut with_context = DEVICE.attributes();
    // SAFETY: `init` is used up by success; the handle is written.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreate,
            &raw mut init,
            &raw mut with_context,
            &raw mut device
        )
    })?;

    let mut ticks = WDF_TIMER_CONFIG {
        Size: size::<WDF_TIMER_CONFIG>(),
        EvtTimerFunc: Some(evt_tick),
        Period: TICK,
        AutomaticSerialization: 0,
        ..WDF_TIMER_CONFIG::default()
    };
    let mut of_device = attributes();
    of_device.ParentObject = device.cast();
    let mut tick: WDFTIMER = ptr::null_mut();
    // SAFETY: configuration and attributes are copied; the handle is written.
    check(unsafe {
        call_unsafe_wdf_function_binding!(WdfTimerCreate, &raw mut ticks, &raw mut of_device, &raw mut tick)
    })?;

    // Independent of power: requests come at any time, also while the device goes. That is what the protection is for.
    let manual = wdk_sys::_WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchManual;
    // SAFETY: the device is live.
    let in_flight = unsafe { create_queue(device, manual) }?;
    // SAFETY: the device is live, and made with this context, which nobody uses before the queue below exists.
    let context = unsafe { DEVICE.of(device.cast()) };
    // SAFETY: as above; the framework allocated it for this type.
    unsafe {
        context.write(Device {
            session: Rundown::<_, Protection>::empty(),
            in_flight,
            tick,
        });
    };
    let parallel = wdk_sys::_WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel;
    // SAFETY: the device is live, and its context is set up.
    unsafe { create_queue(device, parallel) }?;
    // SAFETY: the device is live; the interface is read only during the call.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreateDeviceInterface,
            device,
            &raw const INTERFACE,
            ptr::null()
        )
    })
}

/// # Safety
/// The device is live; requests of the parallel queue may arrive at once.
unsafe fn create_queue(device: WDFDEVICE, dispatch: i32) -> Result<WDFQUEUE, NTSTATUS> {
    let parallel = dispatch == wdk_sys::_WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel;
    let mut config = WDF_IO_QUEUE_CONFIG {
        Size: size::<WDF_IO_QUEUE_CONFIG>(),
        DispatchType: dispatch,
        PowerManaged: wdk_sys::_WDF_TRI_STATE::WdfFalse,
        DefaultQueue: u8::from(parallel),
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    if parallel {
        config.EvtIoDeviceControl = Some(evt_io_device_control);
        config.Settings.Parallel.NumberOfPresentedRequests = u32::MAX;
    }
    let mut attributes = attributes();
    let mut queue: WDFQUEUE = ptr::null_mut();
    // SAFETY: the device is live, says the caller; configuration and attributes are copied; the handle is written.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfIoQueueCreate,
            device,
            &raw mut config,
            &raw mut attributes,
            &raw mut queue
        )
    })?;
    Ok(queue)
}

/// The device starts: there is a session from here on.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`.
unsafe extern "C" fn evt_device_prepare_hardware(
    device: WDFDEVICE,
    _raw: WDFCMRESLIST,
    _translated: WDFCMRESLIST,
) -> NTSTATUS {
    // SAFETY: live during its callback, with its context set up.
    let context = unsafe { DEVICE.get(device.cast()) };
    let session = Session {
        answered: AtomicU64::new(0),
    };
    if context.session.renew(session).is_err() {
        return STATUS_INVALID_DEVICE_STATE;
    }
    let soon = -10_000 * i64::from(TICK); // in units of 100 ns, negative for a time from now
    // SAFETY: the device's timer.
    let _ = unsafe { call_unsafe_wdf_function_binding!(WdfTimerStart, context.tick, soon) };
    STATUS_SUCCESS
}

/// The device stops, by request or by surprise: refuses newcomers, waits for what is in flight, and has the session back.
///
/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`.
unsafe extern "C" fn evt_device_release_hardware(device: WDFDEVICE, _translated: WDFCMRESLIST) -> NTSTATUS {
    // SAFETY: live during its callback, with its context set up.
    let context = unsafe { DEVICE.get(device.cast()) };
    // It goes at the end of this function; in a driver with hardware its parts are taken down here.
    let _session = context.session.run_down();
    // The ticks have completed what was in flight, and are of no use any more.
    // SAFETY: the device's timer, at PASSIVE_LEVEL, where it may be waited for.
    let _ = unsafe { call_unsafe_wdf_function_binding!(WdfTimerStop, context.tick, 1) };
    STATUS_SUCCESS
}

/// Dispatch acquires: from here to its completion the request holds the session.
///
/// # Safety
/// Called by the framework at `<= DISPATCH_LEVEL`, with a request that is this callback's.
unsafe extern "C" fn evt_io_device_control(
    queue: WDFQUEUE,
    request: WDFREQUEST,
    _output: usize,
    _input: usize,
    code: u32,
) {
    if code != ASK {
        return complete(request, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    // SAFETY: the queue is live during its callback.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfIoQueueGetDevice, queue) };
    // SAFETY: the device is live as long as its queue, with its context set up.
    let context = unsafe { DEVICE.get(device.cast()) };
    let Some(session) = context.session.acquire() else {
        return complete(request, STATUS_DELETE_PENDING, 0);
    };
    // SAFETY: this request is live, and nobody else has it.
    let held = &unsafe { REQUEST.get(request.cast()) }.session;
    held.set(Held::into_raw(session));
    // SAFETY: this request is live, and goes to the other queue.
    let status =
        unsafe { call_unsafe_wdf_function_binding!(WdfRequestForwardToIoQueue, request, context.in_flight) };
    if !NT_SUCCESS(status) {
        complete(request, status, 0);
    }
}

/// The hardware answers: completes what is in flight.
///
/// # Safety
/// Called by the framework at `DISPATCH_LEVEL`.
unsafe extern "C" fn evt_tick(timer: WDFTIMER) {
    // SAFETY: the timer is live during its callback, and so is the device, its parent.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfTimerGetParentObject, timer) };
    // SAFETY: as above, with its context set up.
    let context = unsafe { DEVICE.get(device) };
    let mut request: WDFREQUEST = ptr::null_mut();
    loop {
        // SAFETY: the device's queue; the handle is written.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfIoQueueRetrieveNextRequest,
                context.in_flight,
                &raw mut request
            )
        };
        if !NT_SUCCESS(status) {
            return;
        }
        // SAFETY: this request is live, and nobody else has it.
        let held = &unsafe { REQUEST.get(request.cast()) }.session;
        // SAFETY: dispatch has taken a reference for it, which its cleanup gives back.
        let session = unsafe { Held::from_raw(held.get()) };
        let number = session.answered.fetch_add(1, Relaxed) + 1;
        // The request keeps the reference.
        let _ = Held::into_raw(session);
        answer(request, number);
    }
}

/// Completion releases, whoever completes: this driver, or the framework for a client that has cancelled.
///
/// # Safety
/// Called by the framework at `<= DISPATCH_LEVEL`.
unsafe extern "C" fn evt_request_cleanup(request: WDFOBJECT) {
    // SAFETY: live during its callback.
    let held = &unsafe { REQUEST.get(request) }.session;
    let session = held.replace(ptr::null());
    if !session.is_null() {
        // SAFETY: the reference that dispatch has taken, given back once. The context of a device outlives its requests, and
        // EvtDeviceReleaseHardware waits before that.
        drop(unsafe { Held::from_raw(session) });
    }
}

/// Completes a request with a number of eight bytes as its output.
fn answer(request: WDFREQUEST, number: u64) {
    let mut output = ptr::null_mut();
    let length = size_of_val(&number);
    // SAFETY: the request is live, and so is its buffer until it is completed.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfRequestRetrieveOutputBuffer,
            request,
            length,
            &raw mut output,
            ptr::null_mut()
        )
    };
    if NT_SUCCESS(status) {
        // SAFETY: so many bytes at least, of any alignment.
        unsafe { output.cast::<u64>().write_unaligned(number) };
        complete(request, status, length as u64);
    } else {
        complete(request, status, 0);
    }
}

/// Completes a request with so many bytes of output.
fn complete(request: WDFREQUEST, status: NTSTATUS, bytes: u64) {
    // SAFETY: the caller's, completed once.
    unsafe { call_unsafe_wdf_function_binding!(WdfRequestCompleteWithInformation, request, status, bytes) };
}

fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if NT_SUCCESS(status) { Ok(()) } else { Err(status) }
}
