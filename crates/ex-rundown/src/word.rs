//! The word's values and its transitions, as pure functions.

/// `EX_RUNDOWN_ACTIVE`: set from the moment in which run-down begins.
pub const ACTIVE: usize = 1;

/// `EX_RUNDOWN_COUNT_INC`: what one reference adds to the word.
pub const COUNT_INC: usize = 2;

/// What a word says.
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
    /// Decodes a word.
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
    #[must_use]
    pub const fn word(self) -> usize {
        match self {
            Self::Live(references) => references * COUNT_INC,
            Self::RunDown => ACTIVE,
            Self::Waiting(block) => block | ACTIVE,
        }
    }
}

/// The word that the fast paths expect: what was read, taken for live. When it is not, the exchange fails by
/// itself, so no separate test is needed.
#[inline]
pub(crate) const fn assume_live(word: usize) -> usize {
    word & !ACTIVE
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_underflow_is_nts() {
        assert_eq!(released(0), 0_usize.wrapping_sub(2));
    }
}
