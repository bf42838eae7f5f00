//! The plain reference in memory that C code shares.

use crate::{MemoryError, RundownRef, memory};

impl<P, C> RundownRef<P, C> {
    /// Takes a C driver's `EX_RUNDOWN_REF` for a reference.
    ///
    /// # Errors
    /// [`MemoryError::Null`] or [`MemoryError::Misaligned`].
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// Unless it is null or misaligned, `word` points to an `EX_RUNDOWN_REF` that was initialised, outlives `'a`, and
    /// is changed by run-down routines only, the native ones or these. References that are released here were
    /// acquired. A word that native code has run down is [completed](Self::completed) before code under
    /// [`Strict`](crate::Strict) waits on it: NT leaves a stale pointer. Under [`Parity`](crate::Parity) whoever can reach the
    /// reference keeps the [rules](crate::Parity#rules).
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{MemoryError, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let word = std::sync::atomic::AtomicUsize::new(0); // EX_RUNDOWN_REF, initialised
    /// // SAFETY: initialised, in place for as long, and touched by nobody else.
    /// let reference: &RundownRef<Nt> = unsafe { RundownRef::from_ptr(word.as_ptr()) }?;
    /// assert!(reference.acquire());
    /// assert_eq!(word.load(std::sync::atomic::Ordering::Relaxed), 2);
    /// # Ok::<(), MemoryError>(())
    /// ```
    pub unsafe fn from_ptr<'a>(word: *const usize) -> Result<&'a Self, MemoryError> {
        memory::check_address(word.addr())?;
        // SAFETY: neither null nor misaligned; the caller promises the rest, and the layouts are the same.
        Ok(unsafe { &*word.cast::<Self>() })
    }

    /// The word's address, for code that takes an `EX_RUNDOWN_REF *`.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::RundownRef;
    /// # type Nt = rundown_std::Std;
    /// let reference = RundownRef::<Nt>::new();
    /// let word: *mut usize = reference.as_ptr();
    /// // SAFETY: nobody changes it meanwhile.
    /// assert_eq!(unsafe { word.read() }, 0);
    /// ```
    #[must_use]
    pub const fn as_ptr(&self) -> *mut usize {
        self.word.as_ptr()
    }
}
