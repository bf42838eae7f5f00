//! References that belong to no thread and to no borrow: what stays with a pended IRP.

use core::{
    fmt,
    ops::{Deref, DerefMut},
};

use crate::{CountedGuard, Guard, Held, Protection, Rundown};

/// A guard that may go to another thread, and outlive the function that acquired it: what a request keeps that is pended in a
/// dispatch routine and completed by whoever comes.
///
/// Of a guard of a `static` it is made by `Owned::from`. Of any other by the guard's `into_owned`, which is unsafe: that the object
/// stays is then not the borrow checker's word but the owner's, who waits before it frees it. It need not be taken apart to go through
/// a `void *`: [`into_inner`](Self::into_inner) gives the guard, whose `into_raw` does that.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Owned, OwnedHeld, Rundown, RundownRef};
/// # type Nt = rundown_std::Std;
/// type Name = Rundown<String, RundownRef<Nt>>;
///
/// static NAME: Name = Rundown::<_, RundownRef<Nt>>::empty();
/// NAME.renew(String::from("device"))?;
///
/// let request: OwnedHeld<String, RundownRef<Nt>> = NAME.acquire().expect("live").into();
/// let completion = std::thread::spawn(move || request.len());
/// assert_eq!(NAME.run_down(), Some(String::from("device")), "when the request is over");
/// assert_eq!(completion.join().unwrap(), 6);
/// # Ok::<(), ex_rundown::NotRenewed<String>>(())
/// ```
///
/// A guard of an object on the stack is not enough:
///
/// ```compile_fail,E0597
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Owned, RundownRef};
/// # type Nt = rundown_std::Std;
/// let reference = RundownRef::<Nt>::new();
/// let owned = Owned::from(reference.try_acquire().expect("live"));
/// ```
#[must_use = "the reference is given back at once when it is not bound"]
pub struct Owned<G>(G);

/// One reference of any thread.
pub type OwnedGuard<R> = Owned<Guard<'static, R>>;

/// Several references of any thread.
pub type OwnedCountedGuard<R> = Owned<CountedGuard<'static, R>>;

/// Data that is held by any thread.
pub type OwnedHeld<T, R> = Owned<Held<'static, T, R>>;

// SAFETY: a guard holds nothing of its thread: its drop is a release, which any thread may do, through a shared reference.
unsafe impl<R: Protection + Sync> Send for OwnedGuard<R> {}
// SAFETY: as above.
unsafe impl<R: Protection + Sync> Send for OwnedCountedGuard<R> {}
// SAFETY: as above; and the data is given to another thread as a shared reference, which `Sync` of the whole allows.
unsafe impl<T, R: Protection> Send for OwnedHeld<T, R> where Rundown<T, R>: Sync {}

impl<R: Protection> From<Guard<'static, R>> for OwnedGuard<R> {
    fn from(guard: Guard<'static, R>) -> Self {
        Self(guard)
    }
}

impl<R: Protection> From<CountedGuard<'static, R>> for OwnedCountedGuard<R> {
    fn from(guard: CountedGuard<'static, R>) -> Self {
        Self(guard)
    }
}

impl<T, R: Protection> From<Held<'static, T, R>> for OwnedHeld<T, R> {
    fn from(held: Held<'static, T, R>) -> Self {
        Self(held)
    }
}

impl<G> Owned<G> {
    /// The guard, on this thread again.
    ///
    /// # IRQL
    /// Any.
    pub fn into_inner(self) -> G {
        self.0
    }
}

impl<G> Deref for Owned<G> {
    type Target = G;

    fn deref(&self) -> &G {
        &self.0
    }
}

impl<G> DerefMut for Owned<G> {
    fn deref_mut(&mut self) -> &mut G {
        &mut self.0
    }
}

impl<G: fmt::Debug> fmt::Debug for Owned<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
