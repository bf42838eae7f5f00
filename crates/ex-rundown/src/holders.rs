//! The table of a [`Tracked`](crate::Tracked) protection.
//!
//! An entry belongs to who has made its `thread` something else than 0, and then to the guard with its [`Ticket`], or to nobody while its
//! `references` say that they have no guard. Only the owner writes it, but for that last case: then whoever changes `references` first.

use core::{
    fmt,
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::AtomicUsize;

/// `RdnHoldr`, in the order of its bytes.
const SIGNATURE: [u8; 8] = *b"RdnHoldr";
/// How often the table is searched for references that are in it.
const SCANS: usize = 64;
/// In `Entry::references`: they have no guard.
const ASIDE: usize = 1 << 63;

/// A holder's entry, or that there was none free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ticket {
    /// Counted from 1; 0 for none.
    entry: usize,
}

/// Who holds a protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The thread that acquired ([`HolderPlatform::current_thread`](crate::HolderPlatform::current_thread)); in a DPC the one that it came over.
    pub thread: usize,
    /// Where its code was then, for a debugger's `ln`; 0 where that cannot be told.
    pub address: usize,
    /// When, in cycles of [`Platform::timestamp`](crate::Platform::timestamp).
    pub since: usize,
    /// How many references.
    pub count: u32,
    /// They have no guard, and may be another's of the same count.
    pub by_pointer: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            thread,
            address,
            since,
            count,
            by_pointer,
        } = self;
        let without = if *by_pointer { ", without a guard" } else { "" };
        write!(
            f,
            "{count} by thread {thread:#x} at {address:#x} since {since}{without}"
        )
    }
}

#[repr(C)]
struct Entry {
    /// 0: free.
    thread: AtomicUsize,
    address: AtomicUsize,
    since: AtomicUsize,
    /// 0 while it is written.
    references: AtomicUsize,
}

impl Entry {
    const fn new() -> Self {
        Self {
            thread: AtomicUsize::new(0),
            address: AtomicUsize::new(0),
            since: AtomicUsize::new(0),
            references: AtomicUsize::new(0),
        }
    }

    /// Takes it, if it is free.
    fn claim(&self, holder: &Holder) -> bool {
        // Acquire pairs with the Release of `free`: what is written below is written after what the last owner wrote.
        let free = self.thread.load(Relaxed) == 0
            && self
                .thread
                .compare_exchange(0, holder.thread, Acquire, Relaxed)
                .is_ok();
        if free {
            self.address.store(holder.address, Relaxed);
            self.since.store(holder.since, Relaxed);
            // Release pairs with the Acquire of `holder`.
            self.references.store(holder.count as usize, Release);
        }
        free
    }

    /// The end of its last reference.
    fn free(&self) {
        self.references.store(0, Relaxed);
        // Release pairs with the Acquire of `claim`.
        self.thread.store(0, Release);
    }

    fn holder(&self) -> Option<Holder> {
        // Acquire pairs with the Release of `claim`. The rest may be of a later holder, or of none: it is looked at, not followed.
        let references = self.references.load(Acquire);
        let thread = self.thread.load(Relaxed);
        (references != 0 && thread != 0).then(|| Holder {
            thread,
            address: self.address.load(Relaxed),
            since: self.since.load(Relaxed),
            count: count(references),
            by_pointer: references & ASIDE != 0,
        })
    }

    /// Of references that have no guard takes up to `most` out, or `exactly` so many or none. With the last one the entry is the caller's.
    fn take(&self, most: u32, exactly: bool) -> Option<Taken> {
        let mut taken = None;
        // AcqRel: pairs with itself and with the Release of `set_aside`, so that the entry's next owner sees what this one left.
        let _ = self.references.fetch_update(AcqRel, Relaxed, |references| {
            let there = count(references);
            taken =
                (references & ASIDE != 0 && if exactly { there == most } else { there != 0 }).then(|| {
                    Taken {
                        count: there.min(most),
                        all: there <= most,
                    }
                });
            let Taken { count, all } = taken.as_ref()?;
            Some(if *all {
                there as usize
            } else {
                (there - count) as usize | ASIDE
            })
        });
        taken
    }
}

/// Of an entry's `references`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an entry is made of a u32, and grows no more"
)]
fn count(references: usize) -> u32 {
    (references & !ASIDE) as u32
}

/// What was taken out of an entry.
struct Taken {
    count: u32,
    /// The entry as well.
    all: bool,
}

#[repr(C)]
pub(crate) struct Table<const N: usize> {
    signature: [u8; 8],
    entries: usize,
    unrecorded: AtomicUsize,
    holders: [Entry; N],
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new() -> Self {
        Self {
            signature: SIGNATURE,
            entries: N,
            unrecorded: AtomicUsize::new(0),
            holders: [const { Entry::new() }; N],
        }
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = Holder> {
        self.holders.iter().filter_map(Entry::holder)
    }

    pub(crate) fn unrecorded(&self) -> usize {
        // Relaxed, here and where it is counted: a number, which orders nothing.
        self.unrecorded.load(Relaxed)
    }

    /// The entry of a ticket that has one, whose owner the caller is.
    fn entry(&self, ticket: Ticket) -> Option<&Entry> {
        self.holders.get(ticket.entry.checked_sub(1)?)
    }

    /// Makes an entry of `count` references.
    pub(crate) fn enter(&self, thread: usize, address: usize, since: usize, count: u32) -> Ticket {
        let holder = Holder {
            thread,
            address,
            since,
            count,
            by_pointer: false,
        };
        self.enter_holder(&holder)
    }

    fn enter_holder(&self, holder: &Holder) -> Ticket {
        if holder.count == 0 {
            return Ticket::default();
        }
        // Threads lie some hundred bytes apart: each begins at an entry of its own, mostly.
        let first = holder.thread / 64;
        let claimed = (0..N)
            .map(|index| first.wrapping_add(index) % N)
            .find(|&index| self.holders[index].claim(holder));
        if let Some(index) = claimed {
            return Ticket { entry: index + 1 };
        }
        self.unrecorded.fetch_add(holder.count as usize, Relaxed);
        Ticket::default()
    }

    /// `count` of a ticket's references are about to be given back.
    pub(crate) fn leave(&self, ticket: Ticket, count: u32) {
        let Some(entry) = self.entry(ticket) else {
            let less = |unrecorded: usize| Some(unrecorded.saturating_sub(count as usize));
            let _ = self.unrecorded.fetch_update(Relaxed, Relaxed, less);
            return;
        };
        // Relaxed: the caller's own.
        match entry.references.load(Relaxed).saturating_sub(count as usize) {
            0 => entry.free(),
            // Relaxed: as above.
            rest => entry.references.store(rest, Relaxed),
        }
    }

    /// The references go on without a guard.
    pub(crate) fn set_aside(&self, ticket: Ticket) {
        if let Some(entry) = self.entry(ticket) {
            // Relaxed: the caller's own.
            let references = entry.references.load(Relaxed);
            // Release pairs with the AcqRel of `take`.
            entry.references.store(references | ASIDE, Release);
        }
    }

    /// Gives `count` references that were set aside to a guard: those of an entry of so many, else of several together.
    pub(crate) fn take_up(&self, count: u32) -> Ticket {
        let same = self
            .holders
            .iter()
            .position(|entry| entry.take(count, true).is_some());
        if let Some(index) = same {
            return Ticket { entry: index + 1 };
        }
        let mut of = None;
        let mut rest = count;
        // They are there: what others take meanwhile are as many as they own. But they may take those that this has not come to yet, and
        // leave theirs where it was.
        for _ in 0..SCANS {
            for entry in &self.holders {
                if rest == 0 {
                    break;
                }
                let holder = entry.holder();
                if let Some(Taken { count, all }) = entry.take(rest, false) {
                    rest -= count;
                    of = of.or(holder);
                    if all {
                        entry.free();
                    }
                }
            }
            let less = |unrecorded: usize| unrecorded.checked_sub(rest as usize);
            if self.unrecorded.fetch_update(Relaxed, Relaxed, less).is_ok() {
                break;
            }
        }
        if let Some(holder) = of {
            return self.enter_holder(&Holder {
                count,
                by_pointer: false,
                ..holder
            });
        }
        // They had no entry, and go on having none.
        self.unrecorded.fetch_add(count as usize, Relaxed);
        Ticket::default()
    }

    /// Makes an entry of its own for one of several references of a ticket.
    pub(crate) fn split(&self, ticket: Ticket) -> Ticket {
        let Some(entry) = self.entry(ticket) else {
            return ticket;
        };
        let Some(holder) = entry.holder() else {
            return ticket;
        };
        self.leave(ticket, 1);
        self.enter_holder(&Holder { count: 1, ..holder })
    }
}
