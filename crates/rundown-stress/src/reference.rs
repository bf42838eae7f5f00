//! The reference under test, whoever implements it.

use ex_rundown::WayOut;

/// Run-down protection of one object.
pub trait Reference: Sync {
    /// Whether a reference that is granted while [`reinitialize`](Self::reinitialize) goes on may be released on another
    /// processor than the one that it was granted on. NT's cache-aware re-initialise goes from slot to slot, and a release in
    /// a slot that is still run down follows a null pointer there.
    const RELEASED_ANYWHERE: bool;

    /// Takes `count` references, at least one; `false` when protection is refused.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn acquire(&self, count: u32) -> bool;

    /// Gives back what the ticket stands for.
    ///
    /// The engine makes a ticket for what this very reference has granted, and hands it in once: an implementation
    /// may rely on that.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn release(&self, ticket: Ticket);

    /// Runs the object down and waits for its holders; how that ended, where the implementation tells.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, or `DISPATCH_LEVEL` when every holder runs on another processor.
    fn run_down(&self) -> Option<WayOut>;

    /// Marks it as run down.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn complete(&self);

    /// Makes it live again.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn reinitialize(&self);

    /// Its word, for a report; `None` when it is not one word of NT's layout.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn word(&self) -> Option<usize>;
}

/// Stands for references that were granted and are not given back yet. Only this crate makes one.
#[derive(Debug)]
#[must_use = "the references are out until the ticket is handed in"]
pub struct Ticket {
    // INVARIANT: as many references were granted and belong to this ticket alone.
    count: u32,
}

impl Ticket {
    /// Acquires, and gives the ticket for it; `None` when protection is refused.
    #[inline]
    pub(crate) fn take<R: Reference>(reference: &R, count: u32) -> Option<Self> {
        reference.acquire(count).then_some(Self { count })
    }

    /// How many references it stands for.
    #[inline]
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Two tickets for the same references, the first for `first` of them (at least one, at most all), and the other unless
    /// nothing is left.
    pub(crate) fn split(self, first: u32) -> (Self, Option<Self>) {
        let first = first.clamp(1, self.count);
        let rest = self.count - first;
        (Self { count: first }, (rest > 0).then_some(Self { count: rest }))
    }

    /// Leaves one reference to whoever [finds](Self::found) it.
    pub(crate) fn leave(self) {
        debug_assert_eq!(self.count, 1);
    }

    /// The ticket for one reference that was [left](Self::leave), and that nobody else has found.
    pub(crate) const fn found() -> Self {
        Self { count: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::Ticket;

    #[test]
    fn parts_add_up() {
        for count in 1..6 {
            for first in 0..8 {
                let (one, other) = Ticket { count }.split(first);
                assert!(one.count() >= 1);
                assert_eq!(one.count() + other.as_ref().map_or(0, Ticket::count), count);
                assert!(other.is_none_or(|other| other.count() > 0));
            }
        }
    }
}
