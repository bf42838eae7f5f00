//! Protection that knows who holds it.

use core::{fmt, marker::PhantomData};

use crate::{
    HolderPlatform, Protection, StaticProtection, WayOut, arch,
    holders::{Holder, Table, Ticket},
};

/// A protection that records who holds it: the thread, the code and the time of every acquire that is not given back. For the day on
/// which a wait does not return: [`holders`](Self::holders) tells a program, `!rundown` of `debugger/rundown.js` a person.
///
/// It is the protection `R` with a table of `N` holders behind it, and takes its place by one line:
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{Rundown, RundownRef, Tracked};
/// # type Nt = rundown_std::Std;
/// # #[cfg(any())]
/// type Protection = RundownRef<Nt>;
/// type Protection = Tracked<RundownRef<Nt>, Nt>;
///
/// static NAME: Rundown<String, Protection> = Rundown::<_, Protection>::empty();
/// ```
///
/// An acquire adds a compare-exchange, a reading of the time stamp and four stores, a release two stores, all on lines that every
/// processor writes. Holders for whom there is no entry are [counted](Self::unrecorded).
///
/// A guard knows its entry, wherever it is dropped. A reference without a guard, by [`acquire`](Protection::acquire) or by a guard's
/// `into_raw`, has an entry that says so ([`Holder::by_pointer`]), and whoever gives such a reference back empties one of those of
/// the same count: how many there are is exact, which of them are left is not. An [`Owned`](crate::Owned) guard keeps its entry.
///
/// # Layout
///
/// The reference, and behind it, aligned to eight bytes:
///
/// | offset | size | |
/// |---|---|---|
/// | 0 | 8 | the bytes `RdnHoldr` |
/// | 8 | 8 | `N` |
/// | 16 | 8 | references without an entry |
/// | 24 | 32 x `N` | entries: thread (0: free), address of the code, time stamp, count (bit 63: without a guard) |
///
/// # IRQL
/// As the protection's own, and it is as resident as the protection has to be.
#[repr(C)]
pub struct Tracked<R, P, const N: usize = 32> {
    reference: R,
    table: Table<N>,
    platform: PhantomData<fn() -> P>,
}

impl<R, P: HolderPlatform, const N: usize> Tracked<R, P, N> {
    /// Has `reference` record its holders from here on.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{Protection, RundownRef, Tracked};
    /// # type Nt = rundown_std::Std;
    /// let reference = Tracked::<_, Nt>::new(RundownRef::<Nt>::new());
    /// let _guard = reference.try_acquire();
    /// assert_eq!(reference.holders().count(), 1);
    /// ```
    #[must_use]
    pub const fn new(reference: R) -> Self {
        Self {
            reference,
            table: Table::new(),
            platform: PhantomData,
        }
    }

    /// Who holds it at this moment. Others come and go meanwhile.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{HolderPlatform, Protection, RundownRef, Tracked};
    /// # type Nt = rundown_std::Std;
    /// let reference = Tracked::<_, Nt>::new(RundownRef::<Nt>::new());
    /// let guard = reference.try_acquire_ex(3);
    /// let holder = reference.holders().next().expect("this thread");
    /// assert_eq!((holder.thread, holder.count), (Nt::current_thread(), 3));
    /// drop(guard);
    /// assert_eq!(reference.holders().next(), None);
    /// ```
    pub fn holders(&self) -> impl Iterator<Item = Holder> {
        self.table.holders()
    }

    /// How many references have no entry: there was none free.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// use ex_rundown::{Protection, RundownRef, Tracked};
    /// # type Nt = rundown_std::Std;
    /// let reference = Tracked::<_, Nt, 1>::new(RundownRef::<Nt>::new());
    /// let guards = [reference.try_acquire(), reference.try_acquire()];
    /// assert_eq!((reference.holders().count(), reference.unrecorded()), (1, 1));
    /// ```
    #[must_use]
    pub fn unrecorded(&self) -> usize {
        self.table.unrecorded()
    }

    /// Enters the running thread, which acquired at `address`.
    fn enter(&self, address: usize, count: u32) -> Ticket {
        #[expect(clippy::cast_possible_truncation, reason = "this module is for 64 bits")]
        let since = P::timestamp() as usize;
        self.table.enter(P::current_thread(), address, since, count)
    }
}

// SAFETY: the protection is `R`, whose operations these are; the table is beside it. Its last use in a release is before `R`'s own.
unsafe impl<R: Protection, P: HolderPlatform, const N: usize> Protection for Tracked<R, P, N> {
    type Ticket = Ticket;

    #[expect(clippy::inline_always, reason = "the address is that of the code around it")]
    #[inline(always)]
    fn acquire(&self) -> bool {
        let Some(ticket) = self.hold() else { return false };
        self.set_aside(ticket);
        true
    }

    #[expect(clippy::inline_always, reason = "as `acquire`")]
    #[inline(always)]
    fn acquire_ex(&self, count: u32) -> bool {
        let Some(ticket) = self.hold_ex(count) else {
            return false;
        };
        self.set_aside(ticket);
        true
    }

    unsafe fn release_at(this: *const Self) {
        // SAFETY: valid at this moment, says the caller.
        let ticket = unsafe { (*this).take_up(1) };
        // SAFETY: the caller's promise, handed on.
        unsafe { Self::let_go_at(this, ticket) };
    }

    unsafe fn release_ex_at(this: *const Self, count: u32) {
        if count == 0 {
            return;
        }
        // SAFETY: valid at this moment, says the caller.
        let ticket = unsafe { (*this).take_up(count) };
        // SAFETY: the caller's promise, handed on.
        unsafe { Self::let_go_ex_at(this, ticket, count) };
    }

    #[expect(clippy::inline_always, reason = "as `acquire`")]
    #[inline(always)]
    fn hold(&self) -> Option<Ticket> {
        let address = arch::program_counter();
        self.reference.acquire().then(|| self.enter(address, 1))
    }

    #[expect(clippy::inline_always, reason = "as `acquire`")]
    #[inline(always)]
    fn hold_ex(&self, count: u32) -> Option<Ticket> {
        let address = arch::program_counter();
        self.reference
            .acquire_ex(count)
            .then(|| self.enter(address, count))
    }

    unsafe fn let_go_at(this: *const Self, ticket: Ticket) {
        // SAFETY: valid at this moment, says the caller.
        unsafe { (*this).table.leave(ticket, 1) };
        // SAFETY: as above; a field of it.
        let reference = unsafe { &raw const (*this).reference };
        // SAFETY: the caller's promise, handed on.
        unsafe { R::release_at(reference) };
    }

    unsafe fn let_go_ex_at(this: *const Self, ticket: Ticket, count: u32) {
        // SAFETY: valid at this moment, says the caller.
        unsafe { (*this).table.leave(ticket, count) };
        // SAFETY: as above; a field of it.
        let reference = unsafe { &raw const (*this).reference };
        // SAFETY: the caller's promise, handed on.
        unsafe { R::release_ex_at(reference, count) };
    }

    fn set_aside(&self, ticket: Ticket) {
        self.table.set_aside(ticket);
    }

    fn take_up(&self, count: u32) -> Ticket {
        self.table.take_up(count)
    }

    fn split(&self, ticket: Ticket) -> Ticket {
        self.table.split(ticket)
    }

    fn wait(&self) -> WayOut {
        self.reference.wait()
    }

    fn completed(&self) {
        self.reference.completed();
    }

    fn reinitialize(&self) {
        self.reference.reinitialize();
    }
}

// SAFETY: it grants what `R` grants.
unsafe impl<R: StaticProtection, P: HolderPlatform, const N: usize> StaticProtection for Tracked<R, P, N> {
    const RUN_DOWN: Self = Self::new(R::RUN_DOWN);
}

impl<R: fmt::Debug, P: HolderPlatform, const N: usize> fmt::Debug for Tracked<R, P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Holders<'a, const N: usize>(&'a Table<N>);
        impl<const N: usize> fmt::Debug for Holders<'_, N> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.0.holders()).finish()
            }
        }
        f.debug_struct("Tracked")
            .field("reference", &self.reference)
            .field("holders", &Holders(&self.table))
            .field("unrecorded", &self.unrecorded())
            .finish()
    }
}
