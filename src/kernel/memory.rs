//! Nonpaged pool as the memory that a run lives in.

use rundown_stress::Memory;

use super::PoolBox;

/// The pool.
pub(crate) enum Pool {}

impl Memory for Pool {
    type Slice<T: Send + Sync> = PoolBox<[T]>;

    fn slice<T: Send + Sync>(count: usize, make: impl FnMut(usize) -> Option<T>) -> Option<PoolBox<[T]>> {
        PoolBox::try_from_fn(count, make)
    }
}
