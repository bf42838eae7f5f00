//! What a driver says about a request that it sends.

use crate::layout::SendOptions;
use rundown_lab_kernel::status;

/// `WDF_REQUEST_SEND_OPTION_TIMEOUT`.
const TIMEOUT: u32 = 1;
/// The sender waits for it.
const SYNCHRONOUS: u32 = 2;
/// The target's state is none of it.
const IGNORE_TARGET_STATE: u32 = 4;
/// The sender hears no more of it.
const SEND_AND_FORGET: u32 = 8;

/// How a request is sent.
#[derive(Clone, Copy, Default)]
pub struct Options {
    flags: u32,
    timeout: i64,
}

impl Options {
    /// `WDF_REQUEST_SEND_OPTIONS`, which a driver need not give (fxrequestvalidatefunctions.hpp:56).
    ///
    /// # Errors
    /// `STATUS_INFO_LENGTH_MISMATCH` or `STATUS_INVALID_PARAMETER`.
    ///
    /// # Safety
    /// `options` is null or points to a `WDF_REQUEST_SEND_OPTIONS`.
    pub unsafe fn read(options: *const SendOptions) -> Result<Self, i32> {
        // SAFETY: the caller promises it.
        let Some(&SendOptions { size, flags, timeout }) = (unsafe { options.as_ref() }) else {
            return Ok(Self::default());
        };
        if size as usize != size_of::<SendOptions>() {
            return Err(status::INFO_LENGTH_MISMATCH);
        }
        let known = TIMEOUT | SYNCHRONOUS | IGNORE_TARGET_STATE | SEND_AND_FORGET;
        let forgets = flags & SEND_AND_FORGET != 0;
        if flags & !known != 0 || (forgets && flags != SEND_AND_FORGET) {
            return Err(status::INVALID_PARAMETER);
        }
        Ok(Self { flags, timeout })
    }

    /// How long it may take; a timeout of 0 is none (fxiotarget.cpp:1350).
    pub fn timeout(&self) -> Option<i64> {
        Some(self.timeout).filter(|&timeout| self.flags & TIMEOUT != 0 && timeout != 0)
    }

    /// The same where the sender waits, and needs no timer.
    #[must_use]
    pub fn without_timeout(self) -> Self {
        Self {
            flags: self.flags & !TIMEOUT,
            ..self
        }
    }

    /// Whether the sender waits for it.
    pub fn is_synchronous(&self) -> bool {
        self.flags & SYNCHRONOUS != 0
    }

    /// Whether it goes whatever the target's state.
    pub fn ignores_state(&self) -> bool {
        self.flags & IGNORE_TARGET_STATE != 0
    }

    /// Whether the sender hears no more of it.
    pub fn forgets(&self) -> bool {
        self.flags & SEND_AND_FORGET != 0
    }
}
