//! `docs/ioctl.md` is written by this test out of the sources, and compared: `SNAPSHOTS=overwrite cargo test -p rundown-abi`
//! writes it anew. Each offset that a field's documentation names is compared with the one that its neighbours give it; that
//! no structure has padding is what zerocopy's derives demand.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use rundown_abi::{ConformanceResult, ObjectState, Refusal, TURNS_PER_ANSWER, VERSION};

/// An item of the sources, with its documentation.
struct Documented<T> {
    item: T,
    text: String,
}

struct Field {
    name: String,
    kind: String,
    offset: usize,
}

struct Structure {
    name: String,
    size: usize,
    fields: Vec<Documented<Field>>,
}

struct Enumeration {
    name: String,
    variants: Vec<Documented<(String, String)>>,
}

#[derive(Default)]
struct Protocol {
    structures: Vec<Documented<Structure>>,
    enumerations: Vec<Documented<Enumeration>>,
    constants: Vec<Documented<(String, String)>>,
    /// Control codes by the name of their constant.
    codes: BTreeMap<String, u32>,
    sizes: BTreeMap<String, usize>,
}

impl Protocol {
    /// The protocol as its sources have it.
    fn read() -> Self {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut protocol = Self::default();
        // What is used comes before what uses it.
        for file in [
            "ioctl.rs",
            "header.rs",
            "stress/limits.rs",
            "info.rs",
            "stress/start.rs",
            "stress/result.rs",
            "object.rs",
            "code.rs",
            "conformance.rs",
            "interop.rs",
            "wire.rs",
        ] {
            let text = fs::read_to_string(sources.join(file)).unwrap();
            protocol.parse(text.split("#[cfg(test)]").next().unwrap());
        }
        protocol
    }

    fn parse(&mut self, source: &str) {
        let mut text = String::new();
        let mut owner = String::new();
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let line = line.trim();
            if let Some(more) = line.strip_prefix("///") {
                text.push_str(more.strip_prefix(' ').unwrap_or(more));
                text.push('\n');
                continue;
            }
            if line.starts_with("#[") || line.starts_with("//") {
                continue;
            }
            let documentation = std::mem::take(&mut text);
            if let Some(name) = braced(line, "pub struct ") {
                let item = self.structure(name, &mut lines);
                self.sizes.insert(item.name.clone(), item.size);
                self.structures.push(Documented {
                    item,
                    text: documentation,
                });
            } else if let Some(name) = braced(line, "pub enum ") {
                let item = Enumeration {
                    name: name.to_owned(),
                    variants: variants(&mut lines),
                };
                self.enumerations.push(Documented {
                    item,
                    text: documentation,
                });
            } else if let Some(name) = braced(line, "pub mod ").or_else(|| braced(line, "impl ")) {
                owner = format!("{name}::");
            } else if line == "}" {
                owner.clear();
            } else if let Some((name, value)) = constant(line) {
                if let Some(code) = control_code(value) {
                    self.codes.insert(name.to_owned(), code);
                } else {
                    let item = (format!("{owner}{name}"), value.to_owned());
                    self.constants.push(Documented {
                        item,
                        text: documentation,
                    });
                }
            }
        }
    }

    fn structure<'a>(&self, name: &str, lines: &mut impl Iterator<Item = &'a str>) -> Structure {
        let mut structure = Structure {
            name: name.to_owned(),
            size: 0,
            fields: Vec::new(),
        };
        let mut text = String::new();
        for line in lines.map(str::trim).take_while(|line| *line != "}") {
            if let Some(more) = line.strip_prefix("///") {
                text.push_str(more.trim());
                text.push(' ');
                continue;
            }
            let (field, kind) = line
                .strip_prefix("pub ")
                .and_then(|field| field.strip_suffix(',')?.split_once(": "))
                .unwrap_or_else(|| panic!("{name}: `{line}` is no field"));
            let documentation = std::mem::take(&mut text);
            let (offset, meaning) = offset(documentation.trim());
            assert_eq!(offset.unwrap_or(structure.size), structure.size, "{name}.{field}");
            structure.fields.push(Documented {
                item: Field {
                    name: field.to_owned(),
                    kind: kind.to_owned(),
                    offset: structure.size,
                },
                text: meaning.to_owned(),
            });
            structure.size += self.size(kind);
        }
        structure
    }

    fn size(&self, kind: &str) -> usize {
        if let Some((element, length)) = kind
            .strip_prefix('[')
            .and_then(|array| array.strip_suffix(']')?.split_once("; "))
        {
            let length = match length {
                "ObjectState::WORDS" => ObjectState::WORDS,
                "ConformanceResult::TRACE" => ConformanceResult::TRACE,
                "TURNS_PER_ANSWER" => TURNS_PER_ANSWER,
                number => number.parse().unwrap(),
            };
            return self.size(element) * length;
        }
        match kind {
            "u8" => 1,
            "u16" => 2,
            "u32" => 4,
            "u64" => 8,
            name => *self
                .sizes
                .get(name)
                .unwrap_or_else(|| panic!("what is a {name}?")),
        }
    }

    fn markdown(&self) -> String {
        let mut page = format!(
            "# The driver's requests, byte by byte\n\n\
             Version {VERSION} of the protocol between `rundown.sys` and its clients. This page is written by a test of \
             [`crates/rundown-abi`](../crates/rundown-abi), which has all of it as Rust; do not edit it.\n\n\
             Every request is `DeviceIoControl` on the device interface \
             `{}`, `METHOD_BUFFERED`. Its input begins with a `Header` that names the structure's size and the \
             protocol's version; an answer does the same. Fields are little-endian, no structure has padding, reserved \
             fields are zero in both directions. The input is exactly as long as its structure, the room for the answer at \
             least. Nothing is done before all of that is known to be right.\n\n\
             The words of run-down protection, and what the system answers to misuse, are in the documentation of \
             [`ex-rundown`](../crates/ex-rundown).\n\n## Requests\n\n",
            rundown_abi::INTERFACE_GUID_TEXT
        );
        page.push_str("| request | code | constant | access | input | answer |\n|---|---|---|---|---|---|\n");
        let table = include_str!("../src/lib.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "));
        for row in table.skip(1) {
            let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
            let [request, code, access, input, answer] = cells[..] else {
                panic!("{row}");
            };
            let name = code
                .trim_matches(['[', ']', '`'])
                .strip_prefix("ioctl::")
                .unwrap();
            let _ = writeln!(
                page,
                "| {request} | 0x{:08X} | `{name}` | {access} | {} | {} |",
                self.codes[name],
                prose(input),
                prose(answer)
            );
        }
        page.push_str("\n## Structures\n");
        for Documented { item, text } in &self.structures {
            let _ = write!(
                page,
                "\n### `{}`, 0x{:X} bytes\n\n{}\n\n| offset | type | field | |\n|---|---|---|---|\n",
                item.name,
                item.size,
                prose(text)
            );
            for Documented { item: field, text } in &item.fields {
                let _ = writeln!(
                    page,
                    "| 0x{:02X} | `{}` | `{}` | {} |",
                    field.offset,
                    field.kind,
                    field.name,
                    prose(text)
                );
            }
        }
        page.push_str("\n## Numbers with a meaning\n");
        for Documented { item, text } in &self.enumerations {
            let _ = write!(
                page,
                "\n### `{}`\n\n{}\n\n| number | name | |\n|---|---|---|\n",
                item.name,
                prose(text)
            );
            for Documented {
                item: (name, number),
                text,
            } in &item.variants
            {
                let _ = writeln!(page, "| {number} | `{name}` | {} |", prose(text));
            }
        }
        page.push_str("\n## Flags and limits\n\n| constant | value | |\n|---|---|---|\n");
        for Documented {
            item: (name, value),
            text,
        } in &self.constants
        {
            let _ = writeln!(
                page,
                "| `{name}` | `{value}` | {} |",
                prose(text).replace('\n', " ")
            );
        }
        page.push_str(
            "\n## Refusals\n\n\
             One NTSTATUS per cause, in the order in which a request is checked. Besides them, the system answers for the \
             driver: `STATUS_ACCESS_DENIED` (0xC0000022) when the handle lacks a code's access, and `STATUS_CANCELLED` \
             (0xC0000120) for a request that is cancelled while it pends. A wait that the close of its handle ends is \
             answered with `STATUS_CANCELLED` too; one whose last reference was released before succeeds.\n\n\
             | NTSTATUS | name | |\n|---|---|---|\n",
        );
        for refusal in Refusal::ALL {
            let _ = writeln!(
                page,
                "| 0x{:08X} | `{}` | {} |",
                refusal.status(),
                refusal.status_name(),
                refusal.explain()
            );
        }
        page
    }
}

/// The name in `pub struct Name {`, when the line begins like that.
fn braced<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    let name = line.strip_prefix(prefix)?.strip_suffix(" {")?;
    name.chars()
        .all(|c| c.is_alphanumeric() || c == '_')
        .then_some(name)
}

/// Name and value in `pub const NAME: u32 = value;`.
fn constant(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("pub const ")?.split_once(": ")?;
    let (kind, value) = rest.strip_suffix(';')?.split_once(" = ")?;
    ["u32", "u64", "usize"].contains(&kind).then_some((name, value))
}

/// The code that `ctl_code(function, access)` makes.
fn control_code(value: &str) -> Option<u32> {
    let (function, access) = value
        .strip_prefix("ctl_code(0x")?
        .strip_suffix(')')?
        .split_once(", ")?;
    let access = match access {
        "FILE_READ_ACCESS" => 1,
        "FILE_READ_ACCESS | FILE_WRITE_ACCESS" => 3,
        other => panic!("{other}"),
    };
    let function = u32::from_str_radix(function, 16).unwrap();
    Some(rundown_abi::ioctl::DEVICE_TYPE << 16 | access << 14 | function << 2)
}

/// The two parts of `Offset 0x08: what it is.`
fn offset(text: &str) -> (Option<usize>, &str) {
    let Some(rest) = text.strip_prefix("Offset ") else {
        return (None, text);
    };
    let rest = rest.strip_prefix("0x").unwrap_or(rest);
    let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    let (digits, meaning) = rest.split_at(digits);
    let offset = usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text}"));
    (Some(offset), meaning.trim_start_matches([':', '.']).trim())
}

fn variants<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<Documented<(String, String)>> {
    let mut found = Vec::new();
    let mut text = String::new();
    for line in lines.map(str::trim).take_while(|line| *line != "}") {
        if let Some(more) = line.strip_prefix("///") {
            text.push_str(more.trim());
            text.push(' ');
        } else if let Some((name, number)) = line.strip_suffix(',').and_then(|line| line.split_once(" = ")) {
            found.push(Documented {
                item: (name.split('(').next().unwrap().to_owned(), number.to_owned()),
                text: std::mem::take(&mut text),
            });
        } else {
            panic!("`{line}` is no variant");
        }
    }
    found
}

/// Rustdoc's links without their brackets, paragraphs kept.
fn prose(text: &str) -> String {
    let text = text.trim();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        let (name, after) = link.split_once(']').unwrap_or((link, ""));
        plain.push_str(name);
        rest = match after.strip_prefix('(') {
            Some(target) => target.split_once(')').map_or("", |(_, after)| after),
            None => after,
        };
    }
    plain + rest
}

#[test]
fn the_page_says_what_the_sources_say() {
    let protocol = Protocol::read();
    assert!(protocol.structures.len() > 20 && protocol.enumerations.len() > 10 && protocol.codes.len() > 15);
    snapbox::assert_data_eq!(
        protocol.markdown(),
        snapbox::file!["../../../docs/ioctl.md"].raw()
    );
}
