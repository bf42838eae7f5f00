//! The queue: from a WDF request to a call that [`ioctl`](crate::ioctl) understands, and back.

use core::{ptr, slice};

use ex_rundown::AtMostApcLevel;
use rundown_abi::Refusal;
use wdk::paged_code;
use wdk_sys::{
    NTSTATUS, PVOID, WDF_IO_QUEUE_CONFIG, WDFDEVICE, WDFQUEUE, WDFREQUEST, call_unsafe_wdf_function_binding,
};

use crate::{
    device::{self, attributes},
    ioctl::{self, Answer, Caller},
    kernel::size_of_u32,
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
    crate::kernel::check(unsafe {
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
    crate::kernel::check(unsafe {
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
    let context = unsafe { device::context(device) };
    // SAFETY: the device's execution level is passive, and nothing on the way raises the IRQL without a borrow.
    let level = unsafe { AtMostApcLevel::assume() };
    // SAFETY: the request is live until it is completed below.
    let file = unsafe { call_unsafe_wdf_function_binding!(WdfRequestGetFileObject, request) };

    if file.is_null() {
        // Whatever it would start would belong to nobody, and end with nobody.
        return complete(request, Err(Refusal::NoFileObject));
    }

    let mut buffer = Buffer {
        request,
        input_length,
        output_length,
    };
    let caller = Caller {
        file: file.cast(),
        // SAFETY: the request is live, and every one comes through the callback that finds this out.
        may_see_pointers: unsafe { device::may_see_pointers(request) },
        level,
    };
    match ioctl::dispatch(context, &caller, code, &mut buffer) {
        Ok(Answer::Now(length)) => complete(request, Ok(length)),
        Ok(Answer::Later) => {}
        Err(refusal) => complete(request, Err(refusal)),
    }
}

/// Completes a request that is the caller's: with so many bytes of answer, or refused.
pub(crate) fn complete(request: WDFREQUEST, result: Result<usize, Refusal>) {
    match result {
        Ok(length) => complete_with(request, wdk_sys::STATUS_SUCCESS, length),
        Err(refusal) => complete_with(request, refusal.status().cast_signed(), 0),
    }
}

/// Completes a request that is the caller's, with this status and so many bytes of answer.
pub(crate) fn complete_with(request: WDFREQUEST, status: NTSTATUS, information: usize) {
    // SAFETY: the request is the caller's, and completed once.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfRequestCompleteWithInformation,
            request,
            status,
            information as wdk_sys::ULONG_PTR,
        );
    }
}

/// A request's buffer. Its request is `METHOD_BUFFERED`, so input and output are the same memory: the input is
/// copied out before an output is written.
pub(crate) struct Buffer {
    request: WDFREQUEST,
    input_length: usize,
    output_length: usize,
}

impl Buffer {
    /// The buffer for the answer to a request, whose input was read before.
    pub(crate) const fn of(request: WDFREQUEST, output_length: usize) -> Self {
        Self {
            request,
            input_length: 0,
            output_length,
        }
    }

    /// The request.
    pub(crate) const fn request(&self) -> WDFREQUEST {
        self.request
    }

    /// Hands the input to `read`, which copies what it needs.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&[u8]) -> Result<R, Refusal>) -> Result<R, Refusal> {
        if self.input_length == 0 {
            // The framework has no buffer to give.
            return read(&[]);
        }
        let mut address: PVOID = ptr::null_mut();
        let mut length = 0;
        // SAFETY: the request is live; both results are written on success.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveInputBuffer,
                self.request,
                1,
                &raw mut address,
                &raw mut length,
            )
        };
        if !wdk::nt_success(status) {
            return Err(Refusal::InputTooShort);
        }
        // SAFETY: the system buffer has this length, belongs to this request, and nobody writes it meanwhile.
        read(unsafe { slice::from_raw_parts(address.cast::<u8>(), length) })
    }

    /// How many bytes of answer the client takes.
    pub(crate) fn capacity(&self) -> usize {
        self.output_length
    }

    /// Writes the answer.
    pub(crate) fn write(&mut self, answer: &[u8]) -> Result<(), Refusal> {
        if answer.is_empty() {
            return Ok(());
        }
        let mut address: PVOID = ptr::null_mut();
        // SAFETY: the request is live; the address is written on success.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveOutputBuffer,
                self.request,
                answer.len(),
                &raw mut address,
                ptr::null_mut(),
            )
        };
        if !wdk::nt_success(status) {
            return Err(Refusal::OutputTooSmall);
        }
        // SAFETY: the framework has checked that the buffer has room for the answer, which lies elsewhere.
        unsafe { ptr::copy_nonoverlapping(answer.as_ptr(), address.cast::<u8>(), answer.len()) };
        Ok(())
    }
}
