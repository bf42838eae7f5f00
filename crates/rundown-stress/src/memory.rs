//! What the engine asks of the memory that a run lives in.

use core::ops::Deref;

/// Resident memory that is shared by the threads of a run, and whose allocation can fail.
pub trait Memory {
    /// So many values, on cache lines that nobody else uses.
    type Slice<T: Send + Sync>: Deref<Target = [T]> + Send + Sync;

    /// Makes `count` values one by one; `None` when memory is short, or `make` gives none.
    fn slice<T: Send + Sync>(count: usize, make: impl FnMut(usize) -> Option<T>) -> Option<Self::Slice<T>>;
}
