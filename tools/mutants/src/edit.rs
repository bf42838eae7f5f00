//! Changes of a text that lie in one another: what surrounds a range, and what takes the place of one.

use std::{cmp::Reverse, ops::Range};

/// A change of the text.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Text before and behind a range, around what lies in it.
    Around(Range<usize>, String, String),
    /// Text instead of a range that nothing else touches.
    Instead(Range<usize>, String),
}

/// A piece of text at a place of the original.
struct Piece {
    at: usize,
    /// At the same place: what ends there comes first, then what replaces, then what begins there.
    rank: u8,
    /// Of those that end in one place the inner comes first, of those that begin in one place the outer.
    nesting: Reverse<usize>,
    sequence: usize,
    /// The original is left out up to here.
    skips_to: usize,
    text: String,
}

/// Where the places of the original went.
pub(crate) struct Moved(Vec<(usize, usize)>);

impl Moved {
    fn shift(&self, pieces: impl Fn(&(usize, usize)) -> bool) -> usize {
        self.0
            .iter()
            .filter(|piece| pieces(piece))
            .map(|(_, length)| length)
            .sum()
    }

    /// A place, with all that was put there still behind it.
    pub(crate) fn start(&self, at: usize) -> usize {
        at + self.shift(|(place, _)| *place < at)
    }

    /// A place, with all that was put there before it.
    pub(crate) fn end(&self, at: usize) -> usize {
        at + self.shift(|(place, _)| *place <= at)
    }
}

/// Makes the changes. A replacement is no shorter than what it replaces.
pub(crate) fn apply(text: &str, edits: Vec<Edit>) -> (String, Moved) {
    let mut pieces = Vec::new();
    for (sequence, edit) in edits.into_iter().enumerate() {
        match edit {
            Edit::Around(range, before, behind) => {
                let length = range.end - range.start;
                pieces.push(Piece {
                    at: range.start,
                    rank: 2,
                    nesting: Reverse(length),
                    sequence,
                    skips_to: range.start,
                    text: before,
                });
                pieces.push(Piece {
                    at: range.end,
                    rank: 0,
                    nesting: Reverse(usize::MAX - length),
                    sequence: usize::MAX - sequence,
                    skips_to: range.end,
                    text: behind,
                });
            }
            Edit::Instead(range, text) => pieces.push(Piece {
                at: range.start,
                rank: 1,
                nesting: Reverse(0),
                sequence,
                skips_to: range.end,
                text,
            }),
        }
    }
    pieces.sort_by_key(|piece| (piece.at, piece.rank, piece.nesting, piece.sequence));
    let mut changed = String::new();
    let mut at = 0;
    let mut moved = Vec::new();
    for piece in pieces {
        changed.push_str(&text[at..piece.at]);
        changed.push_str(&piece.text);
        at = piece.skips_to;
        moved.push((
            piece.at,
            piece.text.len().saturating_sub(piece.skips_to - piece.at),
        ));
    }
    changed.push_str(&text[at..]);
    (changed, Moved(moved))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(range: Range<usize>, before: &str, behind: &str) -> Edit {
        Edit::Around(range, before.into(), behind.into())
    }

    #[test]
    fn what_lies_in_something_stays_in_it() {
        // a < b && c
        let edits = vec![
            around(0..10, "{", "}"),
            around(0..5, "(", ")"),
            around(0..1, "[", "]"),
            Edit::Instead(2..3, ">".into()),
            around(9..10, "<", ">"),
        ];
        let (text, moved) = apply("a < b && c", edits);
        assert_eq!(text, "{([a] > b) && <c>}");
        assert_eq!(&text[moved.start(9)..moved.end(10)], "<c>}");
    }

    #[test]
    fn two_around_the_same_nest() {
        let (text, _) = apply("x", vec![around(0..1, "(", ")"), around(0..1, "[", "]")]);
        assert_eq!(text, "([x])");
    }
}
