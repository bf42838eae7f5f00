//! What a scene asks of a reference.

use ex_rundown::{
    AllocatedCacheAwareRundownRef, Check, DispatchRundownRef, Protection, RundownRef,
    WideCacheAwareRundownRef, WideRundownRef,
};

use crate::{
    platform::{Modelled, Way, move_to},
    seam::Shared,
};

pub(crate) trait Protocol: Shared + Sized + 'static {
    fn new() -> Self;
    /// `who` is the processor that it is done on.
    fn acquire(&self, who: usize) -> bool;
    fn release(&self, who: usize);
    fn wait(&self);
    /// Optional, between the two.
    fn completed(&self) {}
    fn reinitialize(&self);
}

macro_rules! real {
    ($type:ident, $this:ident => $inner:expr, $new:expr) => {
        impl<W: Way, C: Check> Protocol for $type<Modelled<W>, C> {
            fn new() -> Self {
                $new
            }
            fn acquire(&self, who: usize) -> bool {
                move_to(who);
                let $this = self;
                $inner.acquire()
            }
            fn release(&self, who: usize) {
                move_to(who);
                let $this = self;
                // SAFETY: each scene's holder calls this once for the one reference that it acquired.
                unsafe { $inner.release() };
            }
            fn wait(&self) {
                let $this = self;
                $inner.wait();
            }
            fn completed(&self) {
                let $this = self;
                $inner.completed();
            }
            fn reinitialize(&self) {
                let $this = self;
                $inner.reinitialize();
            }
        }
    };
}

// SAFETY (all three): each scene has one owner, which waits, completes and re-initialises.
real!(RundownRef, this => this, unsafe { RundownRef::with_policy() });
real!(WideRundownRef, this => this, unsafe { WideRundownRef::with_policy() });
real!(
    AllocatedCacheAwareRundownRef,
    this => (**this),
    unsafe { AllocatedCacheAwareRundownRef::with_policy() }.expect("memory")
);

/// Those of the platform alone, by what they have in common; the one for `DISPATCH_LEVEL` does each operation in a section of its own.
macro_rules! strict {
    ($type:ident) => {
        impl<W: Way> Protocol for $type<Modelled<W>> {
            fn new() -> Self {
                $type::new().expect("memory")
            }
            fn acquire(&self, who: usize) -> bool {
                move_to(who);
                Protection::acquire(self)
            }
            fn release(&self, who: usize) {
                move_to(who);
                // SAFETY: each scene's holder calls this once for the one reference that it acquired.
                unsafe { Protection::release(self) };
            }
            fn wait(&self) {
                self.wait();
            }
            fn completed(&self) {
                self.completed();
            }
            fn reinitialize(&self) {
                self.reinitialize();
            }
        }
    };
}

strict!(DispatchRundownRef);
strict!(WideCacheAwareRundownRef);
