//! What a scene asks of a reference: the crate's three, and the mutants' copies.

use ex_rundown::{AllocatedCacheAwareRundownRef, Check, Protection, RundownRef, WideRundownRef};

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
    fn reinitialize(&self);
}

macro_rules! real {
    ($type:ident, $new:expr) => {
        impl<W: Way, C: Check> Protocol for $type<Modelled<W>, C> {
            fn new() -> Self {
                $new
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
                Protection::wait(self);
            }
            fn reinitialize(&self) {
                Protection::completed(self);
                Protection::reinitialize(self);
            }
        }
    };
}

real!(RundownRef, RundownRef::new());
real!(WideRundownRef, WideRundownRef::new());
real!(
    AllocatedCacheAwareRundownRef,
    AllocatedCacheAwareRundownRef::new().expect("memory")
);
