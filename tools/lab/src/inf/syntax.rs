//! An INF's grammar: sections, directives, strings.

use super::{Result, error};
use std::collections::HashMap;

/// Bytes to text.
pub(super) fn decode(bytes: &[u8]) -> Result<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| unit([pair[0], pair[1]]))
            .collect();
        String::from_utf16(&units).or_else(|_| error(None, "is not valid UTF-16"))
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => match std::str::from_utf8(rest) {
            Ok(text) => Ok(text.to_owned()),
            Err(e) => error(
                rest[..e.valid_up_to()].split(|&b| b == b'\n').count(),
                "is neither ASCII, UTF-8 nor UTF-16 with a byte order mark",
            ),
        },
    }
}

/// One directive: `key = value, value, ...`, or only values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    key: Option<String>,
    pub(super) values: Vec<String>,
}

/// A value by its place; an absent one is empty, as `SetupAPI` has it.
pub(super) fn field(line: &Line, index: usize) -> String {
    line.values.get(index).cloned().unwrap_or_default()
}

pub(super) fn root_is(line: &Line, root: &str) -> bool {
    line.values
        .first()
        .is_some_and(|value| value.eq_ignore_ascii_case(root))
}

/// All lines of all sections with one name: an INF may open a section again.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) lines: Vec<Line>,
}

impl Section {
    pub(super) fn named<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines
            .iter()
            .filter(move |line| line.key.as_deref().is_some_and(|k| k.eq_ignore_ascii_case(key)))
    }
}

/// All sections, with `%name%` replaced.
#[derive(Debug, Default)]
pub(super) struct File {
    sections: HashMap<String, Section>,
}

impl File {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut file = Self::default();
        let mut current: Option<String> = None;
        for (number, logical) in logical_lines(text) {
            let content = logical.trim();
            if content.is_empty() {
                continue;
            }
            if let Some(rest) = content.strip_prefix('[') {
                let Some(name) = rest.strip_suffix(']') else {
                    return error(number, "a section's name does not end with ']'");
                };
                let name = name.trim().to_ascii_lowercase();
                file.sections.entry(name.clone()).or_default();
                current = Some(name);
                continue;
            }
            let Some(section) = current.as_ref().and_then(|name| file.sections.get_mut(name)) else {
                return error(number, "a directive stands before the first [section]");
            };
            section.lines.push(directive(number, content)?);
        }
        file.substitute()?;
        Ok(file)
    }

    /// Replaces `%name%` by the text of `[Strings]`. A directory id (`%13%`) stays as it is; a variable of stampinf (`$ARCH$`) is an error,
    /// since the file is then a template.
    fn substitute(&mut self) -> Result<()> {
        let strings: HashMap<String, String> =
            self.sections.get("strings").map_or_else(HashMap::new, |section| {
                section
                    .lines
                    .iter()
                    .filter_map(|l| Some((l.key.as_ref()?.to_ascii_lowercase(), field(l, 0))))
                    .collect()
            });
        for (name, section) in &mut self.sections {
            if name.contains("$arch$") {
                return error(
                    None,
                    format!(
                        "[{name}] still contains $ARCH$: this is a template (.inx), give the stamped .inf"
                    ),
                );
            }
            if name == "strings" {
                continue;
            }
            for line in &mut section.lines {
                if let Some(key) = &line.key {
                    line.key = Some(expand(key, &strings, line.number)?);
                }
                for value in &mut line.values {
                    *value = expand(value, &strings, line.number)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(&name.to_ascii_lowercase())
    }

    /// The install section `name` with each decoration that 64-bit Windows prefers, and then `suffix`; those that exist, in the order of preference.
    pub(super) fn decorated<'a>(
        &'a self,
        name: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = &'a Section> {
        ["ntamd64", "nt", ""].into_iter().filter_map(move |decoration| {
            let dot = if decoration.is_empty() { "" } else { "." };
            self.section(&format!("{name}{dot}{decoration}{suffix}"))
        })
    }

    pub(super) fn single(&self, section: &str, key: &str) -> Result<String> {
        let line = self.section(section).and_then(|s| s.named(key).next());
        match line.map(|line| field(line, 0)) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => error(None, format!("{key} is missing in [{section}]")),
        }
    }
}

/// Joins lines that end with a backslash, and cuts comments off; each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (index, raw) in text.lines().enumerate() {
        let line = without_comment(raw).trim_end();
        let (content, goes_on) = match line.strip_suffix('\\') {
            Some(head) => (head, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some((_, last)) if continued => last.push_str(content.trim_start()),
            _ => lines.push((index + 1, content.to_owned())),
        }
        continued = goes_on;
    }
    lines
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (index, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => return &line[..index],
            _ => {}
        }
    }
    line
}

/// Splits `key = value, "value, with comma"`.
fn directive(line: usize, content: &str) -> Result<Line> {
    let mut quoted = false;
    let mut key = None;
    let mut values = Vec::new();
    let mut start = 0;
    for (index, c) in content.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '=' if !quoted && key.is_none() && values.is_empty() => {
                key = Some(unquote(&content[start..index]));
                start = index + 1;
            }
            ',' if !quoted => {
                values.push(unquote(&content[start..index]));
                start = index + 1;
            }
            _ => {}
        }
    }
    if quoted {
        return error(line, "a quoted text does not end");
    }
    values.push(unquote(&content[start..]));
    Ok(Line {
        number: line,
        key,
        values,
    })
}

/// Drops blanks around a value and its quotation marks; two inside a quoted text stand for one.
fn unquote(text: &str) -> String {
    let text = text.trim();
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '"' {
            if quoted && characters.peek() == Some(&'"') {
                characters.next();
                out.push('"');
            } else {
                quoted = !quoted;
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn expand(text: &str, strings: &HashMap<String, String>, line: usize) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        let Some(length) = rest[start + 1..].find('%') else {
            break;
        };
        let name = &rest[start + 1..start + 1 + length];
        out.push_str(&rest[..start]);
        if name.is_empty() {
            out.push('%');
        } else if name.chars().all(|c| c.is_ascii_digit()) {
            // A directory id, which only the copying of files needs.
            out.push_str(&rest[start..start + length + 2]);
        } else if let Some(value) = strings.get(&name.to_ascii_lowercase()) {
            out.push_str(value);
        } else {
            return error(line, format!("%{name}% is not defined in [Strings]"));
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

/// A number as INFs write it.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
