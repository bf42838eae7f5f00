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

/// The value read with the active bit cleared: the compare-exchange that expects it then fails by itself once run-down has
/// begun.
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

/// Whether single references can fill a word. From half of a 64-bit word they are 2^62, which take a hundred years; from
/// half of a 32-bit word they are 2^30, which take seconds. So the first needs a limit on counted acquires alone, and
/// the second one on every acquire.
pub(crate) const IS_NARROW: bool = usize::BITS < 64;

/// Why a word does not take references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Run-down has begun.
    RunDown,
    /// The word would exceed its limit.
    Full,
}

/// Counting with a limit, for words of one width: the tests exhaust narrower ones.
macro_rules! counting {
    ($word:ty, $signed:ty) => {
        /// The word with `count` references more, if that is `most` at most. A word may be negative: a slot of a
        /// cache-aware reference is, when references are released in it that were acquired in another.
        #[inline]
        #[allow(
            clippy::cast_lossless,
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            clippy::cast_sign_loss,
            reason = "64 bits hold every word and twice every count; a sum that is at most `most` fits again"
        )]
        pub(crate) const fn acquired_ex(word: $word, count: u32, most: $signed) -> Result<$word, Refused> {
            if word & (ACTIVE as $word) != 0 {
                return Err(Refused::RunDown);
            }
            let amount = count as i64 * COUNT_INC as i64;
            match (word.cast_signed() as i64).checked_add(amount) {
                Some(sum) if sum <= most as i64 => Ok(sum as $word),
                _ => Err(Refused::Full),
            }
        }
    };
}
counting!(usize, isize);

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{collections::HashSet, vec, vec::Vec};

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

    /// The same functions on words of eight bits.
    mod narrow {
        use super::super::{ACTIVE, COUNT_INC, Refused};
        counting!(u8, i8);
    }

    /// Every word, with every count that matters to it and some that fit nowhere.
    #[test]
    fn a_count_is_taken_exactly_or_not_at_all() {
        for word in 0..=u8::MAX {
            for most in [i8::MAX, i8::MAX / 2, i8::MAX / 3] {
                for count in (0..=0x1FF).chain([0x7FFF_FFFF, 0x8000_0000, u32::MAX]) {
                    let sum = i64::from(word.cast_signed()) + 2 * i64::from(count);
                    let expected = if word & 1 != 0 {
                        Err(Refused::RunDown)
                    } else {
                        i8::try_from(sum)
                            .ok()
                            .filter(|sum| *sum <= most)
                            .map(i8::cast_unsigned)
                            .ok_or(Refused::Full)
                    };
                    assert_eq!(
                        narrow::acquired_ex(word, count, most),
                        expected,
                        "{word:#x} + {count}"
                    );
                }
            }
        }
        let nearly = (isize::MAX - 1).cast_unsigned();
        assert_eq!(acquired_ex(nearly, 0, isize::MAX), Ok(nearly));
        assert_eq!(acquired_ex(nearly, 1, isize::MAX), Err(Refused::Full));
        assert_eq!(acquired_ex(nearly, u32::MAX, isize::MAX), Err(Refused::Full));
        assert_eq!(acquired_ex(0, 1 << 29, isize::MAX), Ok(1 << 30));
    }

    /// Three slots of eight bits, everything that can be done to them, and beside them whole numbers. Whatever is acquired
    /// or released where, no slot wraps and the words' sum is twice the number of references.
    #[test]
    fn no_slot_wraps_and_the_sum_is_exact() {
        const SLOTS: usize = 3;
        const MOST: i8 = i8::MAX / 3;
        let mut seen = HashSet::from([[0_i32; SLOTS]]);
        let mut rest: Vec<_> = vec![[0_i32; SLOTS]];
        while let Some(slots) = rest.pop() {
            let words = slots.map(|slot| i8::try_from(slot).expect("a slot wraps").cast_unsigned());
            let total: i32 = slots.iter().sum();
            assert!((0..=i32::from(i8::MAX)).contains(&total), "{slots:?}");
            let sum = words.iter().fold(0_u8, |sum, word| sum.wrapping_add(*word));
            assert_eq!(i32::from(sum), total, "{slots:?}");
            let mut reach = |index: usize, change: i32| {
                let mut next = slots;
                next[index] += change;
                if seen.insert(next) {
                    rest.push(next);
                }
            };
            for (index, word) in words.into_iter().enumerate() {
                for count in [1, 2, 7] {
                    if narrow::acquired_ex(word, count, MOST).is_ok() {
                        reach(index, 2 * i32::try_from(count).unwrap());
                    }
                }
                if total > 0 {
                    reach(index, -2);
                }
            }
            // A full slot sends its references elsewhere, and there is room unless so many references are out.
            let room = words
                .iter()
                .any(|word| narrow::acquired_ex(*word, 1, MOST).is_ok());
            assert!(room || total >= 3 * (i32::from(MOST) - 1), "{slots:?}");
        }
        assert!(seen.len() > 10_000, "{} states", seen.len());
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
