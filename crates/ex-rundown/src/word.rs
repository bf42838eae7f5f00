//! The word's values and its transitions, as pure functions.

/// `EX_RUNDOWN_ACTIVE`: set from the moment in which run-down begins.
///
/// ```
/// # use ex_rundown::{ACTIVE, State};
/// assert_eq!(State::RunDown.word(), ACTIVE);
/// ```
pub const ACTIVE: usize = 1;

/// `EX_RUNDOWN_COUNT_INC`: what one reference adds to the word.
///
/// ```
/// # use ex_rundown::{COUNT_INC, State};
/// assert_eq!(State::Live(1).word(), COUNT_INC);
/// ```
pub const COUNT_INC: usize = 2;

/// What a word says.
///
/// ```
/// use ex_rundown::{ACTIVE, COUNT_INC, State};
///
/// assert_eq!(State::of(3 * COUNT_INC), State::Live(3));
/// assert_eq!(State::of(ACTIVE), State::RunDown);
/// assert_eq!(State::of(0x1000 | ACTIVE), State::Waiting(0x1000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Run-down has not begun; so many references are outstanding.
    Live(usize),
    /// Run down: every acquire is refused.
    RunDown,
    /// Run-down has begun; the wait block is at this address. Under [`Parity`](crate::Parity), as in NT, also
    /// what a finished wait leaves behind.
    Waiting(usize),
}

impl State {
    /// Decodes a word. Every word has one meaning.
    ///
    /// ```
    /// # use ex_rundown::State;
    /// assert_eq!(State::of(0), State::Live(0));
    /// ```
    #[must_use]
    pub const fn of(word: usize) -> Self {
        if word & ACTIVE == 0 {
            Self::Live(word / COUNT_INC)
        } else if word == ACTIVE {
            Self::RunDown
        } else {
            Self::Waiting(word & !ACTIVE)
        }
    }

    /// The word that says this.
    ///
    /// ```
    /// # use ex_rundown::State;
    /// assert_eq!(State::Live(2).word(), 4);
    /// ```
    #[must_use]
    pub const fn word(self) -> usize {
        match self {
            Self::Live(references) => references * COUNT_INC,
            Self::RunDown => ACTIVE,
            Self::Waiting(block) => block | ACTIVE,
        }
    }
}

/// The word that an exchange without a test before it expects: what was read, taken for live. When it is not, the
/// exchange fails by itself.
#[inline]
pub(crate) const fn assume_live(word: usize) -> usize {
    word & !ACTIVE
}

/// Whether a word is live with a reference outstanding. Rotated by one it is the number of references, with the active
/// bit for its sign; so this is one comparison.
#[inline]
pub(crate) const fn is_held(word: usize) -> bool {
    word.rotate_right(1).cast_signed() > 0
}

/// One reference more; `None` when run-down has begun.
#[inline]
pub(crate) const fn acquired(word: usize) -> Option<usize> {
    if word & ACTIVE == 0 {
        Some(word.wrapping_add(COUNT_INC))
    } else {
        None
    }
}

/// One reference less, for a live word. `0` wraps to `-2`, as in NT; the checked policy does not let it come here.
#[inline]
pub(crate) const fn released(word: usize) -> usize {
    word.wrapping_sub(COUNT_INC)
}

/// What `count` references add to the word in NT, which computes it in 32 bits: from 2^31 on the top is lost.
#[inline]
pub(crate) const fn truncated(count: u32) -> usize {
    count.wrapping_mul(2) as usize
}

/// What `count` references add to the word; `None` when no word can hold so many.
#[inline]
pub(crate) const fn exact(count: u32) -> Option<usize> {
    (count as usize).checked_mul(COUNT_INC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_truncated_as_in_nt() {
        for (count, amount) in [
            (0, 0),
            (1, 2),
            (0x7FFF_FFFF, 0xFFFF_FFFE),
            (0x8000_0000, 0),
            (0x8000_0001, 2),
        ] {
            assert_eq!(truncated(count), amount);
        }
        for count in (0..1 << 12).chain([0x7FFF_FFFF]) {
            assert_eq!(exact(count), Some(truncated(count)), "the same below 2^31");
        }
    }

    #[test]
    fn a_state_is_its_word() {
        for word in 0..1 << 16 {
            assert_eq!(State::of(word).word(), word);
        }
        for word in [usize::MAX, usize::MAX - 1, usize::MAX / 2, usize::MAX / 2 + 1] {
            assert_eq!(State::of(word).word(), word);
        }
    }

    #[test]
    fn acquire_and_release_cancel_on_every_live_word() {
        for word in (0..1 << 16).step_by(2) {
            let next = acquired(word).unwrap();
            assert_eq!(State::of(next), State::Live(word / 2 + 1));
            assert_eq!(released(next), word);
        }
    }

    #[test]
    fn no_active_word_is_acquired() {
        for word in (1..1 << 16).step_by(2) {
            assert_eq!(acquired(word), None);
            assert_ne!(assume_live(word), word, "the fast path's exchange must fail");
        }
    }

    #[test]
    fn a_word_is_held_while_it_is_live_and_counts() {
        for word in (0..1 << 12).chain(usize::MAX - 0xFFF..=usize::MAX) {
            let held = matches!(State::of(word), State::Live(references) if references != 0);
            assert_eq!(is_held(word), held, "{word:#x}");
        }
        for bit in 0..usize::BITS {
            assert_eq!(is_held(1 << bit), bit != 0, "bit {bit} alone");
        }
    }

    #[test]
    fn an_underflow_is_nts() {
        assert_eq!(released(0), 0_usize.wrapping_sub(2));
    }
}
