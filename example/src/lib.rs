//! A driver to copy: per-device state behind [`Rundown`], requests in flight, and a removal that waits for them.
//!
//! The device answers a request at its next tick, as hardware would with an interrupt. docs/example.md walks through this file; [`wdf`] is
//! what a KMDF driver has in some form already.
#![no_std]

mod wdf;

use core::{
    cell::Cell,
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use ex_rundown::{Held, Rundown};
use ex_rundown_nt::Nt;
use wdk_panic as _;
use wdk_sys::{
    _WDF_IO_QUEUE_DISPATCH_TYPE::{WdfIoQueueDispatchManual, WdfIoQueueDispatchParallel},
    _WDF_TRI_STATE::WdfFalse,
    DRIVER_OBJECT, GUID, NT_SUCCESS, NTSTATUS, PCUNICODE_STRING, PWDFDEVICE_INIT, STATUS_DELETE_PENDING,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS, WDF_IO_QUEUE_CONFIG,
    WDF_PNPPOWER_EVENT_CALLBACKS, WDF_TIMER_CONFIG, WDFCMRESLIST, WDFDEVICE, WDFDRIVER, WDFOBJECT, WDFQUEUE,
    WDFREQUEST, WDFTIMER, call_unsafe_wdf_function_binding,
};

use wdf::{ContextType, size};

/// What protects the state, and knows who holds it: `!rundown` names them when a removal hangs. Without that it is the first type alone;
/// the system's own routines instead: `ex_rundown_nt::NativeRundown`.
type Protection = ex_rundown::Tracked<ex_rundown::RundownRef<Nt>, Nt>;

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

/// The device interface that a client opens: {2d8b6f1e-90c4-4b7a-a315-6e0f5bc284d9}.
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

/// # Safety
/// Called by the system, once, at `PASSIVE_LEVEL`.
#[unsafe(export_name = "DriverEntry")]
unsafe extern "system" fn driver_entry(driver: &mut DRIVER_OBJECT, path: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: what the system gave.
    unsafe { wdf::create_driver(driver, path, Some(evt_driver_device_add)) }
}

/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a device that is being set up.
unsafe extern "C" fn evt_driver_device_add(_driver: WDFDRIVER, init: PWDFDEVICE_INIT) -> NTSTATUS {
    // SAFETY: `init` is this callback's to use up.
    unsafe { create_device(init) }.err().unwrap_or(STATUS_SUCCESS)
}

/// # Safety
/// `init` is the framework's, and not used before.
unsafe fn create_device(init: PWDFDEVICE_INIT) -> Result<(), NTSTATUS> {
    let power = WDF_PNPPOWER_EVENT_CALLBACKS {
        Size: size::<WDF_PNPPOWER_EVENT_CALLBACKS>(),
        EvtDevicePrepareHardware: Some(evt_device_prepare_hardware),
        EvtDeviceReleaseHardware: Some(evt_device_release_hardware),
        ..WDF_PNPPOWER_EVENT_CALLBACKS::default()
    };
    let mut requests = REQUEST.attributes();
    requests.EvtCleanupCallback = Some(evt_request_cleanup);
    // SAFETY: the caller's promise.
    let device = unsafe { wdf::create_device(init, power, requests, DEVICE.attributes()) }?;
    let ticks = WDF_TIMER_CONFIG {
        Size: size::<WDF_TIMER_CONFIG>(),
        EvtTimerFunc: Some(evt_tick),
        Period: TICK,
        ..WDF_TIMER_CONFIG::default()
    };
    // SAFETY: the device is live.
    let tick = unsafe { wdf::create_timer(device, ticks) }?;
    // Independent of power: requests come at any time, also while the device goes. That is what the protection is for.
    let queue = WDF_IO_QUEUE_CONFIG {
        Size: size::<WDF_IO_QUEUE_CONFIG>(),
        PowerManaged: WdfFalse,
        DispatchType: WdfIoQueueDispatchManual,
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    // SAFETY: the device is live; this queue has no callbacks.
    let in_flight = unsafe { wdf::create_queue(device, queue) }?;
    let context = Device {
        session: Rundown::<_, Protection>::empty(),
        in_flight,
        tick,
    };
    // SAFETY: the device is live, and no request comes before the queue below exists.
    unsafe { DEVICE.set(device.cast(), context) };
    let mut queue = WDF_IO_QUEUE_CONFIG {
        DispatchType: WdfIoQueueDispatchParallel,
        DefaultQueue: 1,
        EvtIoDeviceControl: Some(evt_io_device_control),
        ..queue
    };
    queue.Settings.Parallel.NumberOfPresentedRequests = u32::MAX;
    // SAFETY: the device is live, and its context is set up.
    unsafe { wdf::create_queue(device, queue) }?;
    // SAFETY: the device is live.
    unsafe { wdf::create_interface(device, &INTERFACE) }
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
    // SAFETY: the queue is live during its callback.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfIoQueueGetDevice, queue) };
    // SAFETY: the device is live as long as its queue, with its context set up.
    let context = unsafe { DEVICE.get(device.cast()) };
    let status = match (code, context.session.acquire()) {
        (ASK, Some(session)) => {
            // SAFETY: this request is live, and nobody else has it.
            unsafe { REQUEST.get(request.cast()) }
                .session
                .set(Held::into_raw(session));
            // SAFETY: this request is live, and goes to the other queue.
            unsafe {
                call_unsafe_wdf_function_binding!(WdfRequestForwardToIoQueue, request, context.in_flight)
            }
        }
        (ASK, None) => STATUS_DELETE_PENDING,
        _ => STATUS_INVALID_DEVICE_REQUEST,
    };
    if !NT_SUCCESS(status) {
        // SAFETY: this callback's request, which went nowhere.
        unsafe { wdf::complete(request, status) };
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
    // SAFETY: the device's queue.
    while let Some(request) = unsafe { wdf::next_request(context.in_flight) } {
        // SAFETY: this request is live, and nobody else has it.
        let held = unsafe { REQUEST.get(request.cast()) };
        // SAFETY: dispatch has taken a reference for it, which its cleanup gives back.
        let session = unsafe { Held::from_raw(held.session.get()) };
        let number = session.answered.fetch_add(1, Relaxed) + 1;
        // The request keeps the reference.
        let _ = Held::into_raw(session);
        // SAFETY: out of the queue, so this driver's.
        unsafe { wdf::answer(request, number) };
    }
}

/// Completion releases, whoever completes: this driver, or the framework for a client that has cancelled.
///
/// # Safety
/// Called by the framework at `<= DISPATCH_LEVEL`.
unsafe extern "C" fn evt_request_cleanup(request: WDFOBJECT) {
    // SAFETY: live during its callback.
    let held = unsafe { REQUEST.get(request) }.session.replace(ptr::null());
    if !held.is_null() {
        // SAFETY: the reference that dispatch has taken, given back once. The context of a device outlives its requests, and
        // EvtDeviceReleaseHardware waits before that.
        drop(unsafe { Held::from_raw(held) });
    }
}
