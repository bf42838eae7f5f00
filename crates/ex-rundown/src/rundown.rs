//! Data that is run down with its protection.

use core::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};

#[cfg(not(ex_rundown_loom))]
use crate::StaticProtection;
use crate::{
    AtomicU32, Owned, OwnedHeld, Protection,
    cell::{Cell, Reading},
    sync::constructor,
};

/// There is no data: it was taken.
const EMPTY: u32 = 0;
/// One thread runs the data down, or puts new data in.
const BUSY: u32 = 1;
/// There is data.
const FULL: u32 = 2;

/// Data under run-down protection `R`, which [`run_down`](Self::run_down) gives back.
///
/// Dropping it never waits: whoever can drop it has no guard outstanding.
///
/// Of the threads that run the data down at the same time one gets it. If the platform's
/// [`misuse`](crate::Platform::misuse) unwinds out of [`run_down`](Self::run_down) or [`renew`](Self::renew), the data stays where
/// it is for ever, and is not dropped.
///
/// # Invariants
///
/// 1. While an acquire may be granted, `data` is initialised.
/// 2. Only the thread that made `stage` busy waits on `protection`, re-initialises it, or moves `data`.
/// 3. While `stage` is full, `data` is initialised.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Rundown, RundownRef};
/// # type Nt = rundown_std::Std;
/// let name = Rundown::<_, RundownRef<Nt>>::new(String::from("device"), RundownRef::new());
///
/// assert_eq!(name.acquire().expect("live").len(), 6);
/// assert_eq!(name.run_down(), Some(String::from("device")));
/// assert!(name.acquire().is_none());
/// ```
pub struct Rundown<T, R: Protection> {
    protection: R,
    stage: AtomicU32,
    data: Cell<T>,
}

// SAFETY: guards give `&T` to any thread (Sync), and `run_down` gives `T` to any thread (Send).
unsafe impl<T: Send + Sync, R: Protection + Sync> Sync for Rundown<T, R> {}

impl<T, R: Protection> Rundown<T, R> {
    constructor! {
        /// Puts `data` under `protection`.
        ///
        /// A protection that is run down already refuses every acquire. The data is then not reachable, but it is there: it has
        /// to be [run down](Self::run_down) before other data can be [put in](Self::renew). To start without data, see
        /// [`empty`](Rundown::empty).
        ///
        /// # IRQL
        /// Any.
        ///
        /// ```
        /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
        /// use ex_rundown::{Rundown, WideRundownRef};
        /// # type Nt = rundown_std::Std;
        /// static TABLE: Rundown<[u32; 2], WideRundownRef<Nt>> = Rundown::new([1, 2], WideRundownRef::new());
        /// assert_eq!(TABLE.acquire().expect("live")[1], 2);
        /// ```
        pub const fn new(data: T, protection: R) -> Self {
            Self {
                protection,
                stage: AtomicU32::new(FULL),
                data: Cell::new(data),
            }
        }
    }

    /// The data, for as long as the guard lives; `None` when run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if this is resident; so is the guard's drop.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::{Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, RundownRef::<Nt>::new());
    /// assert_eq!(data.acquire().as_deref(), Some(&7));
    /// ```
    #[expect(clippy::inline_always, reason = "as `Protection::try_acquire`")]
    #[inline(always)]
    pub fn acquire(&self) -> Option<Held<'_, T, R>> {
        let ticket = self.protection.hold()?;
        Some(Held {
            data: self.data.read(),
            reference: Reference {
                rundown: NonNull::from(self),
                ticket,
                lifetime: PhantomData,
            },
        })
    }

    /// Runs the data down: refuses newcomers, waits for the holders, and gives the data back.
    ///
    /// `None`, at once, when there is no data or another thread is at it. Only one thread ever waits.
    ///
    /// # IRQL
    /// As the protection's wait.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::{Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, RundownRef::<Nt>::new());
    /// assert_eq!(data.run_down(), Some(7));
    /// assert_eq!(data.run_down(), None);
    /// ```
    pub fn run_down(&self) -> Option<T> {
        self.claim(FULL).ok()?;
        self.protection.wait();
        // SAFETY: invariants 2 and 3: full when it was claimed, and only this thread moves it. The wait has
        // returned, so no guard reads it, and no acquire is granted until the next `renew`.
        let data = unsafe { self.data.take() };
        self.stage.store(EMPTY, Release);
        Some(data)
    }

    /// Puts new data in and makes the protection live again.
    ///
    /// # Errors
    /// Gives `data` back when the old data is [still there](NotRenewed::StillThere), or another thread is
    /// [at it](NotRenewed::Busy).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{NotRenewed, Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, RundownRef::<Nt>::new());
    /// assert_eq!(data.renew(8), Err(NotRenewed::StillThere(8)));
    /// data.run_down();
    /// assert_eq!(data.renew(8), Ok(()));
    /// assert_eq!(data.acquire().as_deref(), Some(&8));
    /// ```
    pub fn renew(&self, data: T) -> Result<(), NotRenewed<T>> {
        match self.claim(EMPTY) {
            Ok(()) => {}
            Err(FULL) => return Err(NotRenewed::StillThere(data)),
            Err(_) => return Err(NotRenewed::Busy(data)),
        }
        // SAFETY: invariant 2; and nobody reads: every acquire is refused until the next line.
        unsafe { self.data.put(data) };
        // A protection may leave something of its wait behind until it is told that run-down is complete: NT's do.
        self.protection.completed();
        self.protection.reinitialize();
        self.stage.store(FULL, Release);
        Ok(())
    }

    /// The protection, and the data under it, for other ways to hold it.
    #[inline]
    pub(crate) fn parts(&self) -> (&R, &Cell<T>) {
        (&self.protection, &self.data)
    }

    /// Makes the stage busy, if it is `from`; otherwise what it is.
    fn claim(&self, from: u32) -> Result<(), u32> {
        // Acquire pairs with the Release of the thread that was busy before.
        self.stage
            .compare_exchange(from, BUSY, Acquire, Relaxed)
            .map(|_| ())
    }
}

#[cfg(not(ex_rundown_loom))]
impl<T, R: StaticProtection> Rundown<T, R> {
    /// Starts without data: refuses every acquire until it is [renewed](Self::renew). For a `static` that is filled later, as in
    /// `DriverEntry`.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// static NAME: Rundown<String, RundownRef<Nt>> = Rundown::<_, RundownRef<Nt>>::empty();
    /// assert!(NAME.acquire().is_none());
    /// assert!(NAME.renew(String::from("device")).is_ok());
    /// assert_eq!(NAME.acquire().expect("live").len(), 6);
    /// ```
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            protection: R::RUN_DOWN,
            stage: AtomicU32::new(EMPTY),
            data: Cell::empty(),
        }
    }
}

impl<T, R: Protection> Drop for Rundown<T, R> {
    fn drop(&mut self) {
        // Exclusive: a relaxed load sees the last stage.
        if self.stage.load(Relaxed) == FULL {
            // SAFETY: invariant 3. A guard borrows `self`, so there is none.
            unsafe { self.data.drop_value() };
        }
    }
}

impl<T, R: Protection + fmt::Debug> fmt::Debug for Rundown<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rundown").field(&self.protection).finish()
    }
}

/// The data of a [`Rundown`], held until this is dropped.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Rundown, RundownRef};
/// # type Nt = rundown_std::Std;
/// let data = Rundown::new(vec![1, 2, 3], RundownRef::<Nt>::new());
/// let held = data.acquire().expect("live");
/// assert_eq!(held.iter().sum::<i32>(), 6);
/// ```
#[must_use = "the data is given back at once when the guard is not bound"]
pub struct Held<'a, T, R: Protection> {
    // INVARIANT: there is data, and nobody writes it, while the reference lives. It is dropped before the reference.
    data: Reading<T>,
    reference: Reference<'a, T, R>,
}

/// One reference of a [`Rundown`]'s protection.
struct Reference<'a, T, R: Protection> {
    // INVARIANT: this owns one reference of its protection, so it is valid. A raw pointer, as in `Guard`.
    rundown: NonNull<Rundown<T, R>>,
    ticket: R::Ticket,
    lifetime: PhantomData<&'a Rundown<T, R>>,
}

impl<T, R: Protection> Drop for Reference<'_, T, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by the invariant it is valid; a field of it.
        let protection = unsafe { &raw const (*self.rundown.as_ptr()).protection };
        // SAFETY: by the invariant the reference is this one's, and it is dropped once.
        unsafe { R::let_go_at(protection, self.ticket) };
    }
}

impl<T, R: Protection> Held<'_, T, R> {
    /// Takes it apart, for a caller that carries it through a `void *`, such as the driver context of an IRP that it pends.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{Held, Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, RundownRef::<Nt>::new());
    /// let context = Held::into_raw(data.acquire().expect("live"));
    /// // SAFETY: from `into_raw`, once, and the data is still there.
    /// let held = unsafe { Held::from_raw(context) };
    /// assert_eq!(*held, 7);
    /// ```
    #[inline]
    #[must_use = "the reference is released by nobody else"]
    pub fn into_raw(held: Self) -> *const Rundown<T, R> {
        // The pointer to the data goes, the reference stays.
        let Self { data: _, reference } = held;
        let reference = ManuallyDrop::new(reference);
        // SAFETY: by the invariant it is valid as long as the reference is.
        let rundown = unsafe { reference.rundown.as_ref() };
        rundown.protection.set_aside(reference.ticket);
        reference.rundown.as_ptr()
    }

    /// Puts together what [`into_raw`](Self::into_raw) took apart.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// `raw` came from `into_raw` and was not put together since. It stays valid until the data is given back: whoever frees it
    /// [runs it down](Rundown::run_down) before.
    #[inline]
    pub unsafe fn from_raw(raw: *const Rundown<T, R>) -> Self {
        // SAFETY: from a `NonNull`, says the caller.
        let rundown = unsafe { NonNull::new_unchecked(raw.cast_mut()) };
        // SAFETY: valid, since the caller owns a reference.
        let Rundown { protection, data, .. } = unsafe { rundown.as_ref() };
        Self {
            data: data.read(),
            reference: Reference {
                rundown,
                ticket: protection.take_up(1),
                lifetime: PhantomData,
            },
        }
    }

    /// Frees it from its thread and its borrow.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// The [`Rundown`] stays valid until the data is given back: whoever frees it [runs it down](Rundown::run_down) before. (For a
    /// `static` there is nothing to promise: [`Owned`] is made of a `Held<'static, ..>` without unsafe code.)
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{Held, Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, RundownRef::<Nt>::new());
    /// // SAFETY: `data` is run down before it goes.
    /// let held = unsafe { Held::into_owned(data.acquire().expect("live")) };
    /// std::thread::spawn(move || assert_eq!(**held, 7));
    /// data.run_down();
    /// ```
    #[inline]
    pub unsafe fn into_owned(held: Self) -> OwnedHeld<T, R>
    where
        T: 'static,
        R: 'static,
    {
        let Self { data, reference } = held;
        let reference = ManuallyDrop::new(reference);
        Owned::from(Held {
            data,
            reference: Reference {
                rundown: reference.rundown,
                ticket: reference.ticket,
                lifetime: PhantomData::<&'static Rundown<T, R>>,
            },
        })
    }
}

impl<T, R: Protection> Deref for Held<'_, T, R> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by the invariant.
        unsafe { self.data.value() }
    }
}

impl<T: fmt::Debug, R: Protection> fmt::Debug for Held<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Why [`Rundown::renew`] took no data; and the data.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{NotRenewed, Rundown, RundownRef};
/// # type Nt = rundown_std::Std;
/// let data = Rundown::new(7, RundownRef::<Nt>::new());
/// let refused = data.renew(8).unwrap_err();
/// assert_eq!(refused, NotRenewed::StillThere(8));
/// assert_eq!(refused.into_inner(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRenewed<T> {
    /// The old data is still there: it has to be run down first.
    StillThere(T),
    /// Another thread runs the data down, or puts new data in, at this moment.
    Busy(T),
}

impl<T> NotRenewed<T> {
    /// The data that was not taken.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # use ex_rundown::NotRenewed;
    /// assert_eq!(NotRenewed::Busy(8).into_inner(), 8);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            Self::StillThere(data) | Self::Busy(data) => data,
        }
    }
}

impl<T> fmt::Display for NotRenewed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StillThere(_) => "the old data is still there: run it down first",
            Self::Busy(_) => "another thread runs the data down or renews it: wait for that thread",
        })
    }
}

impl<T: fmt::Debug> core::error::Error for NotRenewed<T> {}
