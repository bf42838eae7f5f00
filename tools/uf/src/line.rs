//! One line of the debugger's output.

use crate::{
    Error, Place,
    envelope::without_prompts,
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
    /// `uf nt!ExSomething`, what somebody typed: the name.
    Command(String),
    /// ``fffff802`10001000 nt!ExSomething (void)``, what `x nt!ExSomething` printed: where a name is.
    Symbol(u64, Place),
    /// The debugger has no symbols, and names everything by what lies before it.
    NoSymbols,
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
    let text = without_prompts(text);
    if let Some(place) = header(text) {
        return Ok(Line::Header(place));
    }
    if let Some(name) = command(text) {
        return Ok(Line::Command(name));
    }
    if is_without_symbols(text) {
        return Ok(Line::NoSymbols);
    }
    if is_32_bit_row(text) {
        return Err(Error::at(
            number,
            "this row has a 32-bit address",
            "give the same `uf` commands on an x64 target",
        ));
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
    if let Some(place) = Place::parse(digits) {
        return Ok(Line::Symbol(address, place));
    }
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

/// The name after `uf` and its options.
fn command(text: &str) -> Option<String> {
    let mut words = text.strip_prefix("uf ")?.split_whitespace();
    let name = words.find(|word| !word.starts_with('/'))?;
    let is_last = words.next().is_none();
    is_last.then(|| name.to_owned())
}

/// What says that a module's symbols are missing: the debugger's own warning, or a header that is a distance into a module.
fn is_without_symbols(text: &str) -> bool {
    let distance = |name: &str| {
        let (module, offset) = name.split_once("+0x")?;
        let is_module = matches!(module, "nt" | "ntoskrnl" | "ntkrnlmp");
        (is_module && is_hex(offset)).then_some(())
    };
    text.contains("Defaulted to export symbols") || text.strip_suffix(':').and_then(distance).is_some()
}

/// An instruction at an address of eight digits. Bytes and a mnemonic follow, so that prose is not taken for it.
fn is_32_bit_row(text: &str) -> bool {
    let (first, rest) = first_word(text);
    let row = if first.len() < 8 && first.bytes().all(|byte| byte.is_ascii_digit()) {
        rest
    } else {
        text
    };
    let (address, rest) = first_word(row);
    let (digits, text) = first_word(rest);
    address.len() == 8
        && is_hex(address)
        && is_hex(digits)
        && digits.len().is_multiple_of(2)
        && digits.len() <= 2 * LONGEST
        && text.starts_with(|c: char| c.is_ascii_lowercase())
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
            "0: kd> uf nt!X and more",
            "82846c6c 8bff",
            "deadbeef cafe Something",
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
    fn commands_and_missing_symbols_are_known() {
        let command = |name: &str| Ok(Line::Command(name.to_owned()));
        assert_eq!(
            parse(1, "0: kd> uf fffff802`10001000"),
            command("fffff802`10001000")
        );
        assert_eq!(parse(1, "lkd> uf /c nt!X"), command("nt!X"));
        for row in ["nt!X (void)", "nt!X = <no type information>", "nt!X"] {
            let place = Place::parse("nt!X").unwrap();
            assert_eq!(
                parse(1, &format!("fffff802`10001000          {row}")),
                Ok(Line::Symbol(0xffff_f802_1000_1000, place))
            );
        }
        for text in [
            "*** ERROR: Symbol file could not be found.  Defaulted to export symbols for ntkrnlmp.exe - ",
            "nt+0x2c8d80:",
        ] {
            assert_eq!(parse(1, text), Ok(Line::NoSymbols));
        }
    }

    #[test]
    fn headers_come_with_or_without_a_file() {
        for text in [
            "nt!X+0x19:",
            "nt!X+0x19 [src\\x.c @ 346]:",
            "  nt!X+0x19 [C:\\a b\\x.c @ 1]:",
            "0: kd> nt!X+0x19:",
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
            ("82846c6c 8bff            mov     edi,edi", "32-bit address"),
            ("  12 82846c6c 8bff            mov     edi,edi", "32-bit address"),
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
