//! What the objects of all handles take together.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rundown_abi::Refusal;

use crate::kernel::parameters;

/// Bytes of pool that objects take at this moment, in the whole driver.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Leave for an object of so many bytes; given back when it is dropped.
pub(super) struct Quota(u64);

impl Quota {
    /// # Errors
    /// [`Refusal::TooManyBytesInAll`].
    pub(super) fn take(bytes: u64) -> Result<Self, Refusal> {
        let most = u64::from(parameters::object_bytes());
        // Relaxed, here and below: it only counts.
        TAKEN
            .fetch_update(Relaxed, Relaxed, |now| {
                now.checked_add(bytes).filter(|&sum| sum <= most)
            })
            .map(|_| Self(bytes))
            .map_err(|_| Refusal::TooManyBytesInAll)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Relaxed);
    }
}
