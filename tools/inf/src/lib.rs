//! INF files: from bytes to sections, entries and values.
//!
//! The grammar is that of "General Syntax Rules for INF Files" (Microsoft Learn): sections in brackets, `key = value,
//! value`, comments from `;`, a backslash that continues a line, quotes that protect everything and double to
//! stand for themselves, and `%token%` that stands for a string of `[Strings]`.

mod encoding;

use std::{collections::HashMap, fmt};

pub use encoding::decode;

/// A parsed INF.
#[derive(Clone, Debug)]
pub struct Inf {
    /// The sections in the order of the file. Sections of the same name are one, as for setup.
    pub sections: Vec<Section>,
    strings: HashMap<String, String>,
}

/// A section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name, as written first.
    pub name: String,
    /// The line of its heading, from 1.
    pub line: usize,
    /// Its lines.
    pub entries: Vec<Entry>,
}

/// A line of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the file, from 1.
    pub line: usize,
    /// What stands before `=`; none in a line without.
    pub key: Option<String>,
    /// What stands behind, split at commas, without quotes; `%token%`s are not yet replaced.
    pub values: Vec<String>,
}

/// Why a text is no INF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Inf {
    /// Parses a text.
    ///
    /// # Errors
    /// The first line that is no INF syntax.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut sections: Vec<Section> = Vec::new();
        let mut current = None;
        for (line, text) in logical_lines(text)? {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            if let Some(rest) = text.strip_prefix('[') {
                let name = rest
                    .strip_suffix(']')
                    .filter(|name| !name.trim().is_empty())
                    .ok_or_else(|| ParseError {
                        line,
                        what: "a section heading is a name in brackets, such as [Version]".into(),
                    })?;
                let name = unquote(name.trim());
                let index = sections
                    .iter()
                    .position(|section| section.name.eq_ignore_ascii_case(&name));
                current = Some(index.unwrap_or_else(|| {
                    sections.push(Section {
                        name,
                        line,
                        entries: Vec::new(),
                    });
                    sections.len() - 1
                }));
                continue;
            }
            let section = current.ok_or_else(|| ParseError {
                line,
                what: "text before the first section; an INF begins with [Version]".into(),
            })?;
            sections[section].entries.push(entry(line, text));
        }
        let mut inf = Self {
            sections,
            strings: HashMap::new(),
        };
        inf.strings = inf.read_strings()?;
        Ok(inf)
    }

    fn read_strings(&self) -> Result<HashMap<String, String>, ParseError> {
        let mut strings = HashMap::new();
        // [Strings.0409] and the like override by language; every token has to be in the plain one.
        for entry in self
            .section("Strings")
            .map(|section| section.entries.as_slice())
            .unwrap_or_default()
        {
            let key = entry.key.as_ref().ok_or_else(|| ParseError {
                line: entry.line,
                what: "a line of [Strings] is token = \"text\"".into(),
            })?;
            if strings
                .insert(key.to_ascii_lowercase(), entry.values.join(","))
                .is_some()
            {
                return Err(ParseError {
                    line: entry.line,
                    what: format!("the string token {key} is defined twice"),
                });
            }
        }
        Ok(strings)
    }

    /// The section of this name, in any case.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.name.eq_ignore_ascii_case(name))
    }

    /// Replaces `%token%` by its string and `%%` by `%`. A directory number such as `%13%` stays.
    ///
    /// # Errors
    /// The token that `[Strings]` does not define.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            let Some((token, after)) = after.split_once('%') else {
                // A single per cent sign stands for itself.
                expanded.push('%');
                rest = after;
                break;
            };
            if token.is_empty() {
                expanded.push('%');
            } else if token.bytes().all(|byte| byte.is_ascii_digit()) {
                expanded.extend(["%", token, "%"]);
            } else {
                expanded.push_str(
                    self.strings
                        .get(&token.to_ascii_lowercase())
                        .ok_or_else(|| token.to_owned())?,
                );
            }
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The same INF with every `%token%` outside of `[Strings]` replaced.
    ///
    /// # Errors
    /// The first line with a token that `[Strings]` does not define.
    pub fn expanded(mut self) -> Result<Self, ParseError> {
        let mut sections = std::mem::take(&mut self.sections);
        let used = |section: &&mut Section| !section.name.eq_ignore_ascii_case("Strings");
        for entry in sections
            .iter_mut()
            .filter(used)
            .flat_map(|section| &mut section.entries)
        {
            for text in entry.key.iter_mut().chain(&mut entry.values) {
                *text = self.expand(text).map_err(|token| ParseError {
                    line: entry.line,
                    what: format!("%{token}% is not defined in [Strings]"),
                })?;
            }
        }
        self.sections = sections;
        Ok(self)
    }

    /// The first value of `key` in `section`, expanded.
    #[must_use]
    pub fn value(&self, section: &str, key: &str) -> Option<String> {
        let entry = self.section(section)?.entry(key)?;
        self.expand(entry.values.first()?).ok()
    }
}

impl Section {
    /// The first line with this key, in any case.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.named(key).next()
    }

    /// All lines with this key, in any case.
    pub fn named(&self, key: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.is(key))
    }
}

impl Entry {
    /// Whether this line has that key, in any case.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.key.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(key))
    }

    /// The value with this index; empty when it is left out.
    #[must_use]
    pub fn value(&self, index: usize) -> &str {
        self.values.get(index).map_or("", String::as_str)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.name)
    }
}

/// Lines without comments, continued ones joined, with the number of their first.
fn logical_lines(text: &str) -> Result<Vec<(usize, String)>, ParseError> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = index + 1;
        let text = without_comment(raw).ok_or_else(|| ParseError {
            line,
            what: "a quotation mark is not closed on its line".into(),
        })?;
        let (number, mut joined) = open.take().unwrap_or((line, String::new()));
        if let Some(continued) = text.trim_end().strip_suffix('\\') {
            joined.push_str(continued);
            open = Some((number, joined));
        } else {
            joined.push_str(text);
            lines.push((number, joined));
        }
    }
    lines.extend(open);
    Ok(lines)
}

/// The line up to its comment; `None` when a quotation mark stays open.
fn without_comment(line: &str) -> Option<&str> {
    let mut quoted = false;
    for (position, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ';' if !quoted => return Some(&line[..position]),
            _ => {}
        }
    }
    (!quoted).then_some(line)
}

fn entry(line: usize, text: &str) -> Entry {
    let (key, values) = match find_unquoted(text, '=') {
        Some(position) => (
            Some(unquote(text[..position].trim())),
            text[position + 1..].trim(),
        ),
        None => (None, text),
    };
    Entry {
        line,
        key,
        values: if values.is_empty() {
            Vec::new()
        } else {
            split(values)
        },
    }
}

fn find_unquoted(text: &str, wanted: char) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(position, character)| {
        quoted ^= character == '"';
        (!quoted && character == wanted).then_some(position)
    })
}

fn split(mut text: &str) -> Vec<String> {
    let mut values = Vec::new();
    while let Some(position) = find_unquoted(text, ',') {
        values.push(unquote(text[..position].trim()));
        text = &text[position + 1..];
    }
    values.push(unquote(text.trim()));
    values
}

/// Takes the quotes away; doubled ones inside of quotes stand for one.
fn unquote(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '"' {
            plain.push(character);
        } else if quoted && characters.peek() == Some(&'"') {
            characters.next();
            plain.push('"');
        } else {
            quoted = !quoted;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_comments_and_quotes() {
        let inf = Inf::parse(
            "; a comment\n[Version]\nSignature = \"$WINDOWS NT$\" ; not \"this\n[A]\nHKR,,Security,,\"D:P(A;;GA;;;SY)\"\n\
             x = \"say \"\"hi\"\", please\", 2,,4\n[version]\nClass=Y\n",
        )
        .unwrap();
        assert_eq!(inf.sections.len(), 2);
        assert_eq!(inf.value("VERSION", "signature").unwrap(), "$WINDOWS NT$");
        assert_eq!(inf.value("Version", "Class").unwrap(), "Y");
        let a = inf.section("a").unwrap();
        assert_eq!(a.entries[0].key, None);
        assert_eq!(
            a.entries[0].values,
            ["HKR", "", "Security", "", "D:P(A;;GA;;;SY)"]
        );
        assert_eq!(a.entries[1].values, ["say \"hi\", please", "2", "", "4"]);
    }

    #[test]
    fn a_backslash_continues_a_line() {
        let inf = Inf::parse("[A]\nx = 1, \\ ; comment\n    2\ny = 3\n").unwrap();
        let a = inf.section("A").unwrap();
        assert_eq!(
            (a.entries[0].line, a.entries[0].values.as_slice()),
            (2, ["1".into(), "2".into()].as_slice())
        );
        assert_eq!(a.entries[1].line, 4);
    }

    #[test]
    fn tokens_directories_and_per_cent_signs() {
        let inf = Inf::parse("[A]\nx=1\n[Strings]\nName = \"Rundown, really\"\n").unwrap();
        assert_eq!(inf.expand("%NAME%!").unwrap(), "Rundown, really!");
        assert_eq!(inf.expand(r"%13%\a.sys").unwrap(), r"%13%\a.sys");
        assert_eq!(inf.expand("%%SystemRoot%%, 5%").unwrap(), "%SystemRoot%, 5%");
        assert_eq!(inf.expand("%Other%").unwrap_err(), "Other");
    }

    #[test]
    fn tokens_are_replaced_everywhere_but_in_strings() {
        let text = "[A]\n%Name% = %Name%, x\n[Strings]\nName = n\nOther = %Unknown%\n";
        let inf = Inf::parse(text).unwrap().expanded().unwrap();
        let entry = inf.section("A").unwrap().entry("n").unwrap();
        assert_eq!(entry.values, ["n", "x"]);
        let error = Inf::parse("[A]\n\nx = 1, %Typo%\n")
            .unwrap()
            .expanded()
            .unwrap_err();
        assert_eq!(error.to_string(), "line 3: %Typo% is not defined in [Strings]");
    }

    #[test]
    fn no_truncation_panics() {
        let text = "; c\n[Version]\nA = \"b;\"\"\", 2 \\\n, 3\n%T% = %13%\n[Strings]\nT = x%%\n";
        for end in 0..text.len() {
            let _ = Inf::parse(&text[..end]).and_then(Inf::expanded);
        }
    }

    #[test]
    fn what_is_no_inf_names_its_line() {
        for (text, line, what) in [
            ("\nx=1\n", 2, "before the first section"),
            ("[A\n", 1, "brackets"),
            ("[ ]\n", 1, "brackets"),
            ("[A]\nx=\"open\n", 2, "not closed"),
            ("[Strings]\na=1\nA=2\n", 3, "twice"),
            ("[Strings]\nabc\n", 2, "token"),
        ] {
            let error = Inf::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}");
            assert!(error.what.contains(what), "{error}");
        }
    }
}
