//! The one place that knows the checkers: loom's atomics stand in for the real ones under `--cfg ex_rundown_loom`,
//! shuttle's under `--cfg ex_rundown_shuttle`. The names are this crate's own, so that somebody else's models of
//! somebody else's code get the real ones.

#[cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
pub(crate) use core::sync::atomic::{AtomicPtr, fence};
#[cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]
pub use core::sync::atomic::{AtomicU32, AtomicUsize};
#[cfg(ex_rundown_loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, fence};
#[cfg(ex_rundown_loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicUsize};
#[cfg(ex_rundown_shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicPtr, fence};
#[cfg(ex_rundown_shuttle)]
pub use shuttle::sync::atomic::{AtomicU32, AtomicUsize};

/// A constructor that is constant, but for loom, whose atomics cannot be made in a constant.
macro_rules! constructor {
    ($(#[$meta:meta])* $visibility:vis const $($rest:tt)*) => {
        #[cfg(not(ex_rundown_loom))]
        $(#[$meta])*
        $visibility const $($rest)*

        #[cfg(ex_rundown_loom)]
        $(#[$meta])*
        $visibility $($rest)*
    };
}
pub(crate) use constructor;

/// The lifetime of memory, as loom can see it: of a wait block's stack frame, and of a reference's own words.
///
/// A releaser [touches](Lifetime::touch) it before it reaches into it; the waiter [ends](Lifetime::end) the block's when
/// it is about to return, and the drop of a reference ends that of its words. loom then demands that every touch happens
/// before the end, which is the invariant that a block on a stack, and a reference in an object that is freed after the
/// wait, rely on. Without loom there is nothing here.
#[cfg(not(ex_rundown_loom))]
#[derive(Debug)]
pub(crate) struct Lifetime;

#[cfg(not(ex_rundown_loom))]
impl Lifetime {
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
#[cfg(ex_rundown_loom)]
#[derive(Debug)]
pub(crate) struct Lifetime(loom::cell::UnsafeCell<()>);

#[cfg(ex_rundown_loom)]
impl Lifetime {
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
