//! The queue: from a WDF request to a call that [`ioctl`](crate::ioctl) understands, and back.

use core::ptr;

use ex_rundown::AtMostApcLevel;
use rundown_abi::Refusal;
use wdk::paged_code;
use wdk_sys::{
    NTSTATUS, WDF_IO_QUEUE_CONFIG, WDFDEVICE, WDFQUEUE, WDFREQUEST, call_unsafe_wdf_function_binding,
};

use crate::{
    context,
    ioctl::{self, Answer, Caller},
    kernel::{check, size_of_u32, wdf::attributes},
    request::{self, Buffer, complete},
};

/// Creates the device's default queue: parallel, and independent of power since there is no hardware.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Safety
/// The device is live and its context is initialised: requests may arrive at once.
///
/// # Errors
/// What the framework answers.
#[unsafe(link_section = "PAGE")]
pub(crate) unsafe fn create(device: WDFDEVICE) -> Result<(), NTSTATUS> {
    paged_code!();
    let mut config = WDF_IO_QUEUE_CONFIG {
        Size: size_of_u32::<WDF_IO_QUEUE_CONFIG>(),
        DispatchType: wdk_sys::_WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel,
        PowerManaged: wdk_sys::_WDF_TRI_STATE::WdfFalse,
        DefaultQueue: 1,
        EvtIoDeviceControl: Some(evt_io_device_control),
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    config.Settings.Parallel.NumberOfPresentedRequests = u32::MAX;
    let mut attributes = attributes();
    // SAFETY: the device is live, says the caller; configuration and attributes are copied; no handle is asked for.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfIoQueueCreate,
            device,
            &raw mut config,
            &raw mut attributes,
            ptr::null_mut(),
        )
    })
}

/// Creates the queue in which requests pend until the driver takes them out.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
///
/// # Safety
/// The device is live.
///
/// # Errors
/// What the framework answers.
#[unsafe(link_section = "PAGE")]
pub(crate) unsafe fn create_manual(device: WDFDEVICE) -> Result<WDFQUEUE, NTSTATUS> {
    paged_code!();
    let mut config = WDF_IO_QUEUE_CONFIG {
        Size: size_of_u32::<WDF_IO_QUEUE_CONFIG>(),
        DispatchType: wdk_sys::_WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchManual,
        PowerManaged: wdk_sys::_WDF_TRI_STATE::WdfFalse,
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    let mut attributes = attributes();
    let mut queue: WDFQUEUE = ptr::null_mut();
    // SAFETY: the device is live, says the caller; configuration and attributes are copied; the handle is written.
    check(unsafe {
        call_unsafe_wdf_function_binding!(
            WdfIoQueueCreate,
            device,
            &raw mut config,
            &raw mut attributes,
            &raw mut queue,
        )
    })?;
    Ok(queue)
}

/// # Safety
/// Called by the framework at `PASSIVE_LEVEL`, with a request that is this callback's to complete.
unsafe extern "C" fn evt_io_device_control(
    queue: WDFQUEUE,
    request: WDFREQUEST,
    output_length: usize,
    input_length: usize,
    code: u32,
) {
    // SAFETY: the queue is live during its callback.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfIoQueueGetDevice, queue) };
    // SAFETY: the device is live as long as its queue, and `create` initialised the context before the queue.
    let context = unsafe { context::of(device) };
    // SAFETY: the device's execution level is passive, and nothing on the way raises the IRQL without a borrow.
    let level = unsafe { AtMostApcLevel::assume() };
    // SAFETY: the request is live until it is completed below.
    let file = unsafe { call_unsafe_wdf_function_binding!(WdfRequestGetFileObject, request) };

    if file.is_null() {
        // Whatever it would start would belong to nobody, and end with nobody.
        return complete(request, Err(Refusal::NoFileObject));
    }

    let mut buffer = Buffer::new(request, input_length, output_length);
    let caller = Caller {
        file: file.cast(),
        // SAFETY: the request is live, and every one comes through the callback that finds this out.
        may_see_pointers: unsafe { request::may_see_pointers(request) },
        level,
    };
    match ioctl::dispatch(context, &caller, code, &mut buffer) {
        Ok(Answer::Now(length)) => complete(request, Ok(length)),
        Ok(Answer::Later) => {}
        Err(refusal) => complete(request, Err(refusal)),
    }
}
