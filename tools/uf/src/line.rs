//! One line of the debugger's output.

use crate::{
    Error, Place,
    place::{is_hex, parse_address},
};

/// One instruction as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line in the listing, from 1.
    pub line: usize,
    /// Where the instruction lies in the machine that it was dumped from.
    pub address: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the debugger says that they mean, without its remarks.
    pub text: String,
}

impl Row {
    /// The address after this instruction.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address.wrapping_add(self.bytes.len() as u64)
    }
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// `nt!ExSomething+0x21 [file.c @ 349]:`
    Header(Place),
    /// An instruction.
    Row(Row),
    /// Anything else: prose, prompts, blank lines.
    Prose,
}

const AGAIN: &str = "give that `uf` command again and copy its output whole";
/// The longest instruction of the architecture.
const LONGEST: usize = 15;

/// Reads one line, numbered `number`.
pub(crate) fn parse(number: usize, text: &str) -> Result<Line, Error> {
    // `trim` also takes the no-break spaces of copied web pages; mail and forums quote with '>'.
    let text = text
        .trim_start_matches(|c: char| c.is_whitespace() || c == '>')
        .trim_end();
    if let Some(place) = header(text) {
        return Ok(Line::Header(place));
    }
    let Some(row) = after_source_line(text) else {
        return Ok(Line::Prose);
    };
    let bad = |what: &str| Err(Error::at(number, what, AGAIN));

    let (address, rest) = first_word(row);
    let Some(address) = parse_address(address) else {
        return bad("the address is damaged (a 64-bit one is 8 digits, a backtick, 8 digits)");
    };
    let (digits, text) = first_word(rest);
    if !is_hex(digits) {
        return if digits.is_empty() {
            bad("the row ends after its address")
        } else {
            Err(Error::at(
                number,
                "the row has no instruction bytes",
                "give `.asm- no_code_bytes` and that `uf` command again",
            ))
        };
    }
    if digits.len() % 2 != 0 || digits.len() > 2 * LONGEST {
        return bad("the instruction bytes are damaged");
    }
    if address.checked_add(LONGEST as u64).is_none() {
        return bad("the address is damaged: nothing lies so high");
    }
    let text = without_remarks(text);
    if text.is_empty() {
        return bad("the row ends after its bytes");
    }
    Ok(Line::Row(Row {
        line: number,
        address,
        bytes: digits
            .as_bytes()
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | hex_digit(*digit)))
            .collect(),
        text: text.to_owned(),
    }))
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn header(text: &str) -> Option<Place> {
    let name = text.strip_suffix(':')?;
    let name = match name.split_once(" [") {
        // The source file and line.
        Some((name, file)) if file.ends_with(']') => name,
        _ => name,
    };
    Place::parse(name)
}

/// The row without its source line's number; `None` when the line is no row.
fn after_source_line(text: &str) -> Option<&str> {
    let (first, rest) = first_word(text);
    if looks_like_row(first, rest) {
        return Some(text);
    }
    let numbered = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    let (second, behind) = first_word(rest);
    (numbered && looks_like_row(second, behind)).then_some(rest)
}

/// Also true for a damaged one with its backtick, which then gets its error. Without a backtick the bytes must be
/// there: other tools print such addresses too.
fn looks_like_row(address: &str, behind: &str) -> bool {
    match address.split_once('`') {
        Some((high, low)) => high.len() >= 4 && low.len() >= 4 && is_hex(high) && is_hex(low),
        None => parse_address(address).is_some() && is_hex(first_word(behind).0),
    }
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Takes off what the debugger adds behind an instruction: `Branch`, and whether it would be taken.
fn without_remarks(mut text: &str) -> &str {
    loop {
        let before = text;
        for remark in ["Branch", "[br=0]", "[br=1]"] {
            text = text.trim_end().strip_suffix(remark).unwrap_or(text);
        }
        if text == before {
            return text.trim();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> (u64, Vec<u8>, String) {
        match parse(1, text) {
            Ok(Line::Row(row)) => (row.address, row.bytes, row.text),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn rows_come_with_or_without_a_source_line() {
        let expected = (
            0xffff_f802_1000_1000,
            vec![0x75, 0x08],
            "jne     nt!X+0xa (fffff802`1000100a)".to_owned(),
        );
        for text in [
            "fffff802`10001000 7508            jne     nt!X+0xa (fffff802`1000100a)  Branch",
            "  345 fffff802`10001000 7508            jne     nt!X+0xa (fffff802`1000100a)  Branch",
            "> fffff80210001000\t7508\tjne     nt!X+0xa (fffff802`1000100a)",
            "\u{a0}\u{a0}345\u{a0}fffff802`10001000\u{a0}7508\u{a0}jne     nt!X+0xa (fffff802`1000100a)  [br=1]\r",
        ] {
            assert_eq!(row(text), expected, "{text}");
        }
    }

    #[test]
    fn prose_is_prose() {
        for text in [
            "",
            "```jsx",
            "0: kd> uf fffff802`10001000",
            "lkd> uf nt!X",
            "date: 2024-10-21T12:00:00Z",
            "So it goes on:",
            "Look at nt!X:",
            "  345 lines",
            "Flow analysis was incomplete, some code may be missing",
            "140001000:\t48 83 ec 28\tsub $0x28,%rsp",
        ] {
            assert_eq!(parse(1, text), Ok(Line::Prose), "{text}");
        }
    }

    #[test]
    fn headers_come_with_or_without_a_file() {
        for text in [
            "nt!X+0x19:",
            "nt!X+0x19 [src\\x.c @ 346]:",
            "  nt!X+0x19 [C:\\a b\\x.c @ 1]:",
        ] {
            let Ok(Line::Header(place)) = parse(1, text) else {
                panic!("{text}")
            };
            assert_eq!(place.to_string(), "nt!X+0x19");
        }
    }

    #[test]
    fn a_damaged_row_says_what_is_damaged() {
        for (text, what) in [
            ("fffff802`1000100 c3 ret", "the address is damaged"),
            ("  12 fffff80210`001000 c3 ret", "the address is damaged"),
            ("fffff802`10001000", "ends after its address"),
            ("fffff802`10001000 ret", "no instruction bytes"),
            ("fffff802`10001000 c", "bytes are damaged"),
            ("fffff802`10001000 c3", "ends after its bytes"),
            ("fffff802`10001000 7508   Branch", "ends after its bytes"),
            (
                "fffff802`10001000 00112233445566778899aabbccddeeff ret",
                "bytes are damaged",
            ),
        ] {
            let error = parse(7, text).unwrap_err();
            assert_eq!(error.line, Some(7));
            assert!(error.to_string().contains(what), "{text}: {error}");
        }
    }
}
