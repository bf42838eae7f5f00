//! Memory that a caller gives, and what may be wrong with it.

use core::{error::Error, fmt};

/// Why memory cannot be used.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{MemoryError, RundownRef};
/// # type Nt = rundown_std::Std;
/// // SAFETY: a null pointer is refused before it is used.
/// let refused = unsafe { RundownRef::<Nt>::from_ptr(std::ptr::null()) };
/// assert_eq!(refused.unwrap_err(), MemoryError::Null);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryError {
    /// The pointer is null.
    Null,
    /// The address is not a multiple of a pointer's size.
    Misaligned,
    /// There are fewer bytes than the reference needs.
    TooSmall {
        /// The bytes that it needs.
        needed: usize,
        /// The bytes that there are.
        given: usize,
    },
    /// The platform counts no processor, so there would be no slot.
    NoProcessors,
    /// The platform has no memory left.
    Exhausted,
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("the pointer is null: give it the address of the reference"),
            Self::Misaligned => {
                f.write_str("the address is not a multiple of a pointer's size: align the memory")
            }
            Self::TooSmall { needed, given } => {
                write!(
                    f,
                    "{given} bytes are too few: ask size_of and give {needed} or more"
                )
            }
            Self::NoProcessors => f.write_str("the platform counts no processor: it must count one or more"),
            Self::Exhausted => f.write_str("no memory is left: free some and try again"),
        }
    }
}

impl Error for MemoryError {}

/// That `address` is neither null nor misaligned for a word.
pub(crate) fn check_address(address: usize) -> Result<(), MemoryError> {
    if address == 0 {
        Err(MemoryError::Null)
    } else if !address.is_multiple_of(align_of::<usize>()) {
        Err(MemoryError::Misaligned)
    } else {
        Ok(())
    }
}
