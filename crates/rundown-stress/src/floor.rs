//! What protects nothing: the floors that references are measured from. They cannot be run down, so they take part
//! in workloads without an owner only.

use core::{
    hint::black_box,
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};

use ex_rundown::WayOut;

use crate::{Reference, Ticket};

/// Two calls of nothing.
#[derive(Debug, Default)]
pub struct EmptyCall;

#[inline(never)]
fn nothing(value: &EmptyCall) -> bool {
    // Opaque, or the call would be optimised away.
    black_box(core::ptr::from_ref(value));
    true
}

impl Reference for EmptyCall {
    const RELEASED_ANYWHERE: bool = true;

    #[inline]
    fn acquire(&self, _count: u32) -> bool {
        black_box(nothing(self))
    }

    #[inline]
    fn release(&self, _ticket: Ticket) {
        black_box(nothing(self));
    }

    fn run_down(&self) -> Option<WayOut> {
        None
    }

    fn complete(&self) {}

    fn reinitialize(&self) {}

    fn word(&self) -> Option<usize> {
        None
    }
}

/// `lock xadd` of +2, then of -2: what a reference that never refuses would cost.
#[derive(Debug, Default)]
pub struct LockXadd(AtomicUsize);

impl LockXadd {
    /// A count of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }
}

impl Reference for LockXadd {
    const RELEASED_ANYWHERE: bool = true;

    #[inline]
    fn acquire(&self, count: u32) -> bool {
        // AcqRel, as a reference's operations; nothing is protected. The old value is used, or the compiler would take
        // `lock add`, which is not what a count needs.
        black_box(self.0.fetch_add(2 * count as usize, AcqRel));
        true
    }

    #[inline]
    fn release(&self, ticket: Ticket) {
        // AcqRel: see `acquire`.
        black_box(self.0.fetch_sub(2 * ticket.count() as usize, AcqRel));
    }

    fn run_down(&self) -> Option<WayOut> {
        None
    }

    fn complete(&self) {}

    fn reinitialize(&self) {}

    fn word(&self) -> Option<usize> {
        // Relaxed: for a report.
        Some(self.0.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_counts_by_two_or_not_at_all() {
        let count = LockXadd::new();
        assert_eq!(count.word(), Some(0));
        let ticket = Ticket::take(&count, 3).expect("it never refuses");
        assert_eq!(count.word(), Some(6));
        count.release(ticket);
        assert_eq!(count.word(), Some(0));
        assert_eq!(
            (count.run_down(), EmptyCall.run_down(), EmptyCall.word()),
            (None, None, None)
        );
    }
}
