//! Data that is run down with its protection.

use core::{
    fmt,
    ops::Deref,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};

use crate::{
    AtomicU32, Guard, Protection, RundownRef, WideRundownRef,
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

    constructor! {
        /// Starts without data. `protection` is run down.
        const fn without_data(protection: R) -> Self {
            Self {
                protection,
                stage: AtomicU32::new(EMPTY),
                data: Cell::empty(),
            }
        }
    }

    /// The data, for as long as the guard lives; `None` when run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL` if this is resident; so is the guard's drop.
    ///
    /// ```
    /// # use ex_rundown::{Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, RundownRef::<Nt>::new());
    /// assert_eq!(data.acquire().as_deref(), Some(&7));
    /// ```
    #[inline]
    pub fn acquire(&self) -> Option<Held<'_, T, R>> {
        self.protection.acquire().then(|| Held {
            data: self.data.read(),
            _guard: Guard::new(&self.protection),
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
    /// # use ex_rundown::{Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, RundownRef::<Nt>::new());
    /// assert_eq!(data.run_down(), Some(7));
    /// assert_eq!(data.run_down(), None);
    /// ```
    pub fn run_down(&self) -> Option<T> {
        self.claim(FULL)?;
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
    /// Gives `data` back when the old data is still there, or another thread is at it.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// ```
    /// # use ex_rundown::{Rundown, RundownRef};
    /// # type Nt = rundown_std::Std;
    /// let data = Rundown::new(7, RundownRef::<Nt>::new());
    /// assert_eq!(data.renew(8), Err(8), "7 is still there");
    /// data.run_down();
    /// assert_eq!(data.renew(8), Ok(()));
    /// assert_eq!(data.acquire().as_deref(), Some(&8));
    /// ```
    pub fn renew(&self, data: T) -> Result<(), T> {
        if self.claim(EMPTY).is_none() {
            return Err(data);
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

    /// Makes the stage busy, if it is `from`.
    fn claim(&self, from: u32) -> Option<()> {
        // Acquire pairs with the Release of the thread that was busy before.
        self.stage
            .compare_exchange(from, BUSY, Acquire, Relaxed)
            .ok()
            .map(|_| ())
    }
}

/// `Rundown::empty`, for the references that can be made in a constant.
macro_rules! empty {
    ($type:ident) => {
        impl<T, P: crate::Platform> Rundown<T, $type<P>> {
            constructor! {
                /// Starts without data: refuses every acquire until it is [renewed](Self::renew). For a `static` that is filled
                /// later, as in `DriverEntry`.
                ///
                /// # IRQL
                /// Any.
                ///
                /// ```
                #[doc = concat!("use ex_rundown::{Rundown, ", stringify!($type), "};")]
                /// # type Nt = rundown_std::Std;
                #[doc = concat!("static NAME: Rundown<String, ", stringify!($type), "<Nt>> = Rundown::<_, ", stringify!($type), "<Nt>>::empty();")]
                /// assert!(NAME.acquire().is_none());
                /// assert_eq!(NAME.renew(String::from("device")), Ok(()));
                /// assert_eq!(NAME.acquire().expect("live").len(), 6);
                /// ```
                #[must_use]
                pub const fn empty() -> Self {
                    Self::without_data($type::new_run_down())
                }
            }
        }
    };
}
empty!(RundownRef);
empty!(WideRundownRef);

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
/// use ex_rundown::{Rundown, RundownRef};
/// # type Nt = rundown_std::Std;
/// let data = Rundown::new(vec![1, 2, 3], RundownRef::<Nt>::new());
/// let held = data.acquire().expect("live");
/// assert_eq!(held.iter().sum::<i32>(), 6);
/// ```
#[must_use = "the data is given back at once when the guard is not bound"]
pub struct Held<'a, T, R: Protection> {
    // INVARIANT: there is data, and nobody writes it, while the guard lives. It is dropped before the guard.
    data: Reading<T>,
    _guard: Guard<'a, R>,
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
