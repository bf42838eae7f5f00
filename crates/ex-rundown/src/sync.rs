//! The one place that knows the checkers: loom's atomics stand in for the real ones under `--cfg loom`, shuttle's under
//! `--cfg shuttle`.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::sync::atomic::{AtomicPtr, fence};
#[cfg(not(any(loom, shuttle)))]
pub use core::sync::atomic::{AtomicU32, AtomicUsize};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicUsize};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicPtr, fence};
#[cfg(shuttle)]
pub use shuttle::sync::atomic::{AtomicU32, AtomicUsize};

/// The lifetime of memory, as loom can see it: of a wait block's stack frame, and of a reference's own words.
///
/// A releaser [touches](Frame::touch) it before it reaches into it; the waiter [ends](Frame::end) the block's when it
/// is about to return, and the drop of a reference ends that of its words. loom then demands that every touch happens
/// before the end, which is the invariant that a block on a stack, and a reference in an object that is freed after
/// the wait, live by. Without loom there is nothing here.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Frame;

#[cfg(not(loom))]
impl Frame {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "loom's counterpart uses it")]
    pub(crate) const fn touch(&self) {}

    #[inline]
    #[expect(clippy::unused_self, reason = "loom's counterpart uses it")]
    pub(crate) const fn end(&self) {}
}

/// See the counterpart without loom.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Frame(loom::cell::UnsafeCell<()>);

#[cfg(loom)]
impl Frame {
    pub(crate) fn new() -> Self {
        Self(loom::cell::UnsafeCell::new(()))
    }

    pub(crate) fn touch(&self) {
        self.0.with(|_| ());
    }

    pub(crate) fn end(&self) {
        self.0.with_mut(|_| ());
    }
}
