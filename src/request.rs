//! A request of the framework's: its buffer, what is known about it, and its end.

use core::{ptr, slice};

use rundown_abi::Refusal;
use wdk_sys::{NTSTATUS, PVOID, WDF_OBJECT_CONTEXT_TYPE_INFO, WDFREQUEST, call_unsafe_wdf_function_binding};

use crate::kernel::wdf::ContextType;

/// What is known about a request before it is queued.
struct RequestContext {
    /// Its sender may see pointers.
    with_pointers: bool,
}

static TYPE: ContextType<RequestContext> = ContextType::new(c"RequestContext", &TYPE);

/// For the attributes of every request.
pub(crate) const fn type_info() -> *const WDF_OBJECT_CONTEXT_TYPE_INFO {
    TYPE.info()
}

/// Notes whether the sender may see pointers.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// The request is live, made with [`type_info`], and not queued yet.
pub(crate) unsafe fn show_pointers(request: WDFREQUEST, with_pointers: bool) {
    // SAFETY: the caller promises it.
    let place = unsafe { TYPE.of(request.cast()) };
    // SAFETY: the framework allocated the context with the size of its type, and nobody reads it before it is queued.
    unsafe { place.write(RequestContext { with_pointers }) };
}

/// Whether the sender of a request may see pointers, as was found out in its own context.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// The request is live, and [`show_pointers`] was told of it.
pub(crate) unsafe fn may_see_pointers(request: WDFREQUEST) -> bool {
    // SAFETY: the request is live, and was made with this type.
    let context = unsafe { TYPE.of(request.cast()) };
    // SAFETY: it was written before the request was queued.
    unsafe { (*context).with_pointers }
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
    /// The buffer of a request with so many bytes of input, and room for so many of output.
    pub(crate) const fn new(request: WDFREQUEST, input_length: usize, output_length: usize) -> Self {
        Self {
            request,
            input_length,
            output_length,
        }
    }

    /// The buffer for the answer to a request, whose input was read before.
    pub(crate) const fn of(request: WDFREQUEST, output_length: usize) -> Self {
        Self::new(request, 0, output_length)
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
