//! A request that the driver has not completed yet, or whose answer nobody has fetched.
//!
//! It goes through `NtDeviceIoControlFile` (`winternl.h`) and not through `DeviceIoControl`, which would fold the driver's
//! causes into a few Win32 errors: `STATUS_INVALID_PARAMETER_1` to `_12` are all `ERROR_INVALID_PARAMETER` there.

use std::{io, mem, ptr, time::Duration};

use windows_sys::{
    Wdk::{Storage::FileSystem::NtCancelIoFileEx, System::IO::NtDeviceIoControlFile},
    Win32::{
        Foundation::{CloseHandle, FALSE, HANDLE, STATUS_PENDING, TRUE, WAIT_OBJECT_0, WAIT_TIMEOUT},
        System::{
            IO::{IO_STATUS_BLOCK, IO_STATUS_BLOCK_0},
            Threading::{CreateEventW, INFINITE, WaitForSingleObject},
        },
    },
};

use crate::{error::Error, ntstatus::is_success, target::Ioctl};

/// A request and the memory that the kernel fills when it completes.
///
/// # Invariants
/// - `event` is an open event that this structure owns.
/// - `block` comes from `Box::into_raw` and is owned by this structure. While `pending`, the kernel may write to it and
///   to `output`, and reads `input`: the three stay where they are, and nobody else touches them, until `event` is set.
pub(super) struct UnderWay {
    name: String,
    handle: HANDLE,
    event: HANDLE,
    block: *mut IO_STATUS_BLOCK,
    /// What the kernel returned; the block counts only after a success or while it was pending.
    returned: i32,
    pending: bool,
    output: Vec<u8>,
    /// The I/O manager has copied it already (`METHOD_BUFFERED`), for other methods it must live.
    _input: Vec<u8>,
}

impl UnderWay {
    /// Sends a request. `handle` was opened with `FILE_FLAG_OVERLAPPED`.
    pub(super) fn begin(handle: HANDLE, request: &Ioctl<'_>) -> Result<Self, Error> {
        let too_long = |_| Error::Usage("a buffer cannot be longer than 4 GiB".into());
        let input_length = u32::try_from(request.input.len()).map_err(too_long)?;
        let output_length = u32::try_from(request.capacity).map_err(too_long)?;
        // SAFETY: no attributes and no name; the event is reset by hand and not set.
        let event = unsafe { CreateEventW(ptr::null(), TRUE, FALSE, ptr::null()) };
        if event.is_null() {
            return Err(super::lost(&io::Error::last_os_error()));
        }
        let block = Box::into_raw(Box::new(IO_STATUS_BLOCK {
            Anonymous: IO_STATUS_BLOCK_0 { Status: 0 },
            Information: 0,
        }));
        let input = request.input.to_vec();
        let mut output = vec![0; request.capacity];
        // SAFETY: the event is open, the buffers have the lengths that are said, and by the invariant all of them stay
        // where they are until the request has completed: moving a `Vec` does not move its bytes.
        let returned = unsafe {
            NtDeviceIoControlFile(
                handle,
                event,
                None,
                ptr::null(),
                block,
                request.code,
                input.as_ptr().cast(),
                input_length,
                output.as_mut_ptr().cast(),
                output_length,
            )
        };
        Ok(Self {
            name: request.name.to_owned(),
            handle,
            event,
            block,
            returned,
            pending: returned == STATUS_PENDING,
            output,
            _input: input,
        })
    }

    pub(super) fn was_sent_to(&self, handle: HANDLE) -> bool {
        self.handle == handle
    }

    /// Whether it has completed, after at most `patience`.
    pub(super) fn has_completed(&self, patience: Duration) -> Result<bool, Error> {
        if !self.pending {
            return Ok(true);
        }
        let milliseconds = u32::try_from(patience.as_millis()).unwrap_or(INFINITE);
        // SAFETY: the event is open by the invariant.
        match unsafe { WaitForSingleObject(self.event, milliseconds) } {
            WAIT_OBJECT_0 => Ok(true),
            WAIT_TIMEOUT => Ok(false),
            _ => Err(super::lost(&io::Error::last_os_error())),
        }
    }

    /// Its answer. To be called when it has completed.
    pub(super) fn answer(mut self) -> Result<Vec<u8>, Error> {
        // The event is set, or the kernel was done at once: it touches nothing any more.
        let was_pending = mem::replace(&mut self.pending, false);
        // SAFETY: the block is ours alone now, by the invariant and since the request has completed.
        let block = unsafe { self.block.read() };
        let status = if was_pending {
            // SAFETY: both members of the union are initialised: a status is an `i32`, whose every value is one.
            unsafe { block.Anonymous.Status }
        } else {
            self.returned
        };
        let status = status.cast_unsigned();
        if !is_success(status) {
            return Err(Error::Refused {
                request: self.name.clone(),
                status,
            });
        }
        let mut output = mem::take(&mut self.output);
        output.truncate(block.Information);
        Ok(output)
    }

    /// Asks for its cancellation. A request that has completed meanwhile is not found, which is no error.
    pub(super) fn cancel(&self) -> Result<(), Error> {
        let mut block = IO_STATUS_BLOCK {
            Anonymous: IO_STATUS_BLOCK_0 { Status: 0 },
            Information: 0,
        };
        // SAFETY: the owner of the handle drops its requests before it closes it; the request is named by the
        // address of its block, which is not read; `block` outlives the call.
        let status = unsafe { NtCancelIoFileEx(self.handle, self.block, &raw mut block) };
        let status = status.cast_unsigned();
        if is_success(status) || status == STATUS_NOT_FOUND {
            return Ok(());
        }
        Err(Error::Refused {
            request: format!("cancelling {}", self.name),
            status,
        })
    }
}

const STATUS_NOT_FOUND: u32 = 0xC000_0225;

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.pending {
            // It may have completed; then there is nothing to cancel. Otherwise the driver completes it: the kernel
            // must not write into memory that is given back.
            let _ = self.cancel();
            let _ = self.has_completed(Duration::MAX);
        }
        // SAFETY: the event is ours by the invariant, and closed once.
        let _ = unsafe { CloseHandle(self.event) };
        // SAFETY: the block came from `Box::into_raw`, and the request has completed.
        drop(unsafe { Box::from_raw(self.block) });
    }
}
