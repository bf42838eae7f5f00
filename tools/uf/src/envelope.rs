//! What people's tools put around the debugger's text, taken off.

use std::borrow::Cow;

/// The text without byte order marks, terminal colours, HTML's escapes, and with its backticks: a line's number and what the
/// debugger printed stay.
pub(crate) fn opened(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if text.contains('\u{feff}') {
        text = text.replace('\u{feff}', "").into();
    }
    if text.contains('\u{1b}') {
        text = without_colours(&text).into();
    }
    if text.contains('&') {
        text = ESCAPES
            .iter()
            .fold(text.into_owned(), |text, (escape, character)| {
                text.replace(escape, character)
            })
            .into();
    }
    if text.contains(is_tick) {
        text = with_backticks(&text).into();
    }
    text
}

/// What HTML writes instead of a character; the ampersand's own comes last.
const ESCAPES: [(&str, &str); 9] = [
    ("&#96;", "`"),
    ("&#x60;", "`"),
    ("&grave;", "`"),
    ("&#39;", "'"),
    ("&quot;", "\""),
    ("&nbsp;", " "),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&amp;", "&"),
];

/// What word processors, web pages and typists make of the backtick in an address.
fn is_tick(c: char) -> bool {
    matches!(
        c,
        '\'' | '\u{b4}'
            | '\u{2018}'
            | '\u{2019}'
            | '\u{201b}'
            | '\u{2032}'
            | '\u{2035}'
            | '\u{2cb}'
            | '\u{ff40}'
    )
}

/// Puts the backtick back between two groups of eight hexadecimal digits. In a name such a character is its own.
fn with_backticks(text: &str) -> String {
    let is_digit = |at: Option<char>| at.is_some_and(|c| c.is_ascii_hexdigit());
    let ends_with_eight = |text: &str| {
        let mut back = text.chars().rev();
        (0..8).all(|_| is_digit(back.next())) && !is_digit(back.next())
    };
    let begins_with_eight = |text: &str| {
        let mut next = text.chars();
        (0..8).all(|_| is_digit(next.next())) && !is_digit(next.next())
    };
    text.char_indices()
        .map(|(at, c)| {
            let inside =
                is_tick(c) && ends_with_eight(&text[..at]) && begins_with_eight(&text[at + c.len_utf8()..]);
            if inside { '`' } else { c }
        })
        .collect()
}

/// Drops the control sequences with which a terminal's log sets colours (ECMA-48: ESC, `[`, parameters, a final letter).
fn without_colours(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.strip_prefix('[').and_then(|sequence| {
            let end = sequence.find(|c: char| c.is_ascii_alphabetic())?;
            Some(&sequence[end + 1..])
        });
        kept.push_str(rest.unwrap_or(piece));
    }
    kept
}

/// A line without the prompts in front of it: with its commands piped in, a debugger prints its answers right behind them.
pub(crate) fn without_prompts(line: &str) -> &str {
    let mut line = line.trim_start();
    // `0: kd>`, `lkd>`, `kd>`, `0: kd:x86>`, `1: lkd>`.
    while let Some((before, behind)) = line.split_once('>') {
        let debugger = before.split_once(": ").map_or(before, |(processor, debugger)| {
            if !processor.is_empty() && processor.bytes().all(|byte| byte.is_ascii_digit()) {
                debugger
            } else {
                before
            }
        });
        let debugger = debugger
            .split_once(':')
            .map_or(debugger, |(debugger, _)| debugger);
        if !matches!(debugger, "kd" | "lkd") {
            break;
        }
        line = behind.trim_start();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_come_back_in_addresses_and_only_there() {
        for (text, expected) in [
            ("fffff802'10001000 c3 ret", "fffff802`10001000 c3 ret"),
            ("(fffff802\u{2019}10001000)", "(fffff802`10001000)"),
            ("fffff802&#96;10001000", "fffff802`10001000"),
            ("nt! ?? ::X::`string'+0x12", "nt! ?? ::X::`string'+0x12"),
            ("fffff802'1000100 c3", "fffff802'1000100 c3"),
            ("0fffff802'10001000", "0fffff802'10001000"),
            ("deadbeef'cafecafe0", "deadbeef'cafecafe0"),
            ("\u{feff}nt!X:", "nt!X:"),
            ("\u{1b}[1;32mnt!X:\u{1b}[0m", "nt!X:"),
            ("\u{1b}unknown", "unknown"),
            ("nt!A&lt;B&gt;", "nt!A<B>"),
        ] {
            assert_eq!(opened(text), expected);
        }
    }

    #[test]
    fn prompts_are_the_debuggers() {
        for (line, expected) in [
            ("0: kd> nt!X:", "nt!X:"),
            ("lkd> nt!X:", "nt!X:"),
            ("11: kd> 11: kd> nt!X:", "nt!X:"),
            ("  kd>", ""),
            ("0: kd:x86> nt!X:", "nt!X:"),
            ("x: kd> nt!X:", "x: kd> nt!X:"),
            ("a > b", "a > b"),
            ("nt!A<B>:", "nt!A<B>:"),
        ] {
            assert_eq!(without_prompts(line), expected, "{line}");
        }
    }
}
