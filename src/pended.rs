//! Requests that pend: they lie in a manual queue, where the framework cancels them when their client does, until the driver
//! takes them out again.
//!
//! When a handle is closed, the framework calls `EvtFileCleanup` before it cancels what the handle still has in queues
//! (`FxPkgGeneral::OnCleanup`), so its waits end there, by the driver, which answers as the framework would.

use core::{mem::ManuallyDrop, ptr};

use rundown_abi::Refusal;
use wdk_sys::{WDFQUEUE, WDFREQUEST, call_unsafe_wdf_function_binding};

use crate::request::{self, Buffer};

/// A request that may be made to pend.
pub(crate) struct Pend<'a> {
    buffer: &'a Buffer,
    queue: WDFQUEUE,
}

impl<'a> Pend<'a> {
    /// The request of `buffer`, to be put into the manual queue `queue`.
    pub(crate) const fn new(buffer: &'a Buffer, queue: WDFQUEUE) -> Self {
        Self { buffer, queue }
    }

    /// Puts the request into the queue: it is no longer the caller's to complete.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// [`Refusal::Removed`] when the queue takes nothing any more; the request is still the caller's.
    pub(crate) fn pend(self) -> Result<PendedRequest, Refusal> {
        let request = self.buffer.request();
        // Its handle has to stay valid when the framework cancels it.
        // SAFETY: the request is live, since it is not completed yet.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfObjectReferenceActual,
                request.cast(),
                ptr::null_mut(),
                0,
                ptr::null()
            );
        }
        // SAFETY: request and queue are live and of one device, and the request is the caller's.
        let status =
            unsafe { call_unsafe_wdf_function_binding!(WdfRequestForwardToIoQueue, request, self.queue) };
        let pended = PendedRequest {
            buffer: Buffer::of(request, self.buffer.capacity()),
            queue: self.queue,
        };
        if wdk::nt_success(status) {
            Ok(pended)
        } else {
            pended.forget();
            Err(Refusal::Removed)
        }
    }
}

/// A request in the manual queue, or one that was cancelled there. Dropping it completes it as out of resources.
pub(crate) struct PendedRequest {
    // INVARIANT: the request is referenced.
    buffer: Buffer,
    queue: WDFQUEUE,
}

// SAFETY: a framework handle, and a buffer that is written by whoever takes the request out of the queue.
unsafe impl Send for PendedRequest {}

impl PendedRequest {
    /// Answers the request, unless it was cancelled.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn complete(self, answer: &[u8]) {
        self.finish(|buffer| buffer.write(answer).map(|()| answer.len()));
    }

    /// Refuses the request, unless it was cancelled.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn refuse(self, refusal: Refusal) {
        self.finish(|_| Err(refusal));
    }

    /// Answers the request as cancelled, which it is one way or the other.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn cancel(self) {
        self.end(|_, request| request::complete_with(request, wdk_sys::STATUS_CANCELLED, 0));
    }

    fn finish(self, answer: impl FnOnce(&mut Buffer) -> Result<usize, Refusal>) {
        self.end(|buffer, request| request::complete(request, answer(buffer)));
    }

    fn end(self, complete: impl FnOnce(&mut Buffer, WDFREQUEST)) {
        let mut this = ManuallyDrop::new(self);
        this.take_out(complete);
        this.dereference();
    }

    /// Takes the request out of the queue and hands it to `complete`, unless it was cancelled.
    fn take_out(&mut self, complete: impl FnOnce(&mut Buffer, WDFREQUEST)) {
        let mut request: WDFREQUEST = ptr::null_mut();
        // SAFETY: the queue lives as long as its device, whose handles are open while requests pend; the request is
        // referenced, by the invariant; the result is written.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfIoQueueRetrieveFoundRequest,
                self.queue,
                self.buffer.request(),
                &raw mut request,
            )
        };
        // Otherwise it was cancelled, and the framework has completed it.
        if wdk::nt_success(status) {
            complete(&mut self.buffer, request);
        }
    }

    /// Lets go of a request that is not in the queue.
    fn forget(self) {
        ManuallyDrop::new(self).dereference();
    }

    fn dereference(&mut self) {
        // SAFETY: by the invariant; each caller gives the reference back once, and does not use it again.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfObjectDereferenceActual,
                self.buffer.request().cast(),
                ptr::null_mut(),
                0,
                ptr::null()
            );
        }
    }
}

impl Drop for PendedRequest {
    fn drop(&mut self) {
        self.take_out(|_, request| request::complete(request, Err(Refusal::Resources)));
        self.dereference();
    }
}
