//! KMDF's header, made from the facts in `sysroot/kmdf.txt`: every declaration, and an assertion for every index, size, offset and
//! value, so that a compiler which lays a structure out otherwise says so.
//!
//! The functions that C calls are inlines over the table ([`calls`]). wdk-sys calls through the table by index, and never sees them.

use std::{collections::HashSet, fmt::Write as _};

const FACTS: &str = include_str!("../sysroot/kmdf.txt");
/// The entries of the table, which has the same length in both versions (wdffuncenum.h).
const FUNCTIONS: u32 = 458;

/// A version of KMDF, 1.x, that the stand-in WDK has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.31, of Windows 10 2004 on.
    V31 = 31,
    /// 1.33, of Windows 11 on.
    V33 = 33,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V31, Self::V33];

    /// The number behind `1.`.
    #[must_use]
    pub const fn minor(self) -> u32 {
        self as u32
    }
}

/// What is declared under one name: its first line, and the lines below it with their depths.
struct Item<'a> {
    kind: &'a str,
    name: &'a str,
    rest: &'a str,
    body: Vec<(usize, &'a str)>,
}

impl Item<'_> {
    /// Whether the WDK has it in wdfusb.h; the handles and the names of structures are in wdftypes.h and wdfrequest.h.
    fn is_usb(&self) -> bool {
        let name = if self.kind == "function" {
            self.rest
        } else {
            self.name
        };
        ["WdfUsb", "WDF_USB_", "EVT_WDF_USB_"]
            .iter()
            .any(|start| name.starts_with(start))
    }
}

/// The items of a version.
fn items(version: Version) -> Vec<Item<'static>> {
    let mut items: Vec<Item<'static>> = Vec::new();
    let lines = FACTS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 4;
        if let (1.., Some(item)) = (depth, items.last_mut()) {
            item.body.push((depth, text));
            continue;
        }
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        if kind == "since" {
            if rest != format!("1.{}", version.minor()) {
                break;
            }
            continue;
        }
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let item = Item {
            kind,
            name,
            rest,
            body: Vec::new(),
        };
        items.retain(|known| (known.kind, known.name) != (kind, name));
        items.push(item);
    }
    items
}

/// The first line of each.
const MADE: &str = "/* Made by rundown-kit (src/kmdf.rs); see wdf.h. */\n\n";

/// `wdfapi.h` of a version: all but what `wdfusb.h` has.
#[must_use]
pub fn header(version: Version) -> String {
    let items = items(version);
    let mut text = String::from(MADE);
    for handle in items.iter().filter(|item| item.kind == "handle") {
        line(&mut text, format_args!("KIT_DECLARE_HANDLE({});", handle.name));
    }
    for Item { kind, name, .. } in items.iter().filter(|item| is_record(item.kind)) {
        line(
            &mut text,
            format_args!("typedef {kind} _{name} {name}, *P{name};\ntypedef const {kind} _{name} *PC{name};"),
        );
    }
    let functions = items.iter().filter(|item| item.kind == "function");
    let indices: Vec<_> = functions
        .map(|item| format!("{}TableIndex {}", pair(item.rest).0, item.name))
        .chain([format!("WdfFunctionTableNumEntries {FUNCTIONS}")])
        .collect();
    enumeration(&mut text, "WDFFUNCENUM", indices.iter().map(String::as_str));
    declarations(&mut text, items.iter().filter(|item| !item.is_usb()));
    text
}

/// `wdfusb.h` of a version, which wants the USB headers before it, as the WDK's does.
#[must_use]
pub fn usb_header(version: Version) -> String {
    let items = items(version);
    let usb = || items.iter().filter(|item| item.is_usb());
    let mut text = format!("{MADE}#ifndef KIT_WDFUSB_H\n#define KIT_WDFUSB_H\n");
    declarations(&mut text, usb());
    text.push_str("\n#ifndef __BINDGEN__\n");
    for item in usb().filter(|item| item.kind == "function") {
        call(&mut text, item);
    }
    text.push_str("#endif\n#endif\n");
    text
}

/// `wdfcalls.h` of a version: each function but those of `wdfusb.h`, as C calls it.
#[must_use]
pub fn calls(version: Version) -> String {
    let mut text = String::from(MADE);
    let items = items(version);
    for item in items
        .iter()
        .filter(|item| item.kind == "function" && !item.is_usb())
    {
        call(&mut text, item);
    }
    text
}

fn declarations<'a>(text: &mut String, items: impl Iterator<Item = &'a Item<'static>>) {
    let items: Vec<_> = items.collect();
    let of = |kind: &'static str| items.iter().copied().filter(move |item| item.kind == kind);
    for item in of("enum") {
        enumeration(text, item.name, item.body.iter().map(|&(_, body)| body));
    }
    for item in of("callback") {
        callback(text, item);
    }
    let records = items.iter().copied().filter(|item| is_record(item.kind));
    for item in in_order(records.collect()) {
        record(text, item);
    }
    for item in of("function") {
        pointer(text, item);
    }
}

/// The function at an index of the table.
pub(crate) fn function(index: u32) -> Option<&'static str> {
    let wanted = format!("function {index} ");
    let rest = FACTS.lines().find_map(|line| line.strip_prefix(&wanted))?;
    rest.split_whitespace().next()
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").expect("a String takes everything");
}

fn is_record(kind: &str) -> bool {
    matches!(kind, "struct" | "union")
}

fn enumeration<'a>(text: &mut String, name: &str, enumerators: impl Iterator<Item = &'a str>) {
    line(text, format_args!("\ntypedef enum _{name} {{"));
    for enumerator in enumerators {
        let (value_of, value) = pair(enumerator);
        line(text, format_args!("    {value_of} = {value},"));
    }
    line(text, format_args!("}} {name}, *P{name};"));
}

/// A function type, and a pointer to one.
fn callback(text: &mut String, item: &Item<'_>) {
    let (result, parameters) = signature(item.rest);
    let parameters = if parameters.is_empty() { "VOID" } else { parameters };
    let name = item.name;
    let pointer = name.replacen("EVT_", "PFN_", 1);
    line(
        text,
        format_args!("\ntypedef {result} NTAPI {name}({parameters});\ntypedef {name} *{pointer};"),
    );
}

/// Structures after those that they hold.
fn in_order<'a, 'b>(mut waiting: Vec<&'a Item<'b>>) -> Vec<&'a Item<'b>> {
    let names: HashSet<&str> = waiting.iter().map(|item| item.name).collect();
    let mut ready = Vec::new();
    let mut declared = HashSet::new();
    while !waiting.is_empty() {
        let held = |&(_, member): &(usize, &'b str)| {
            let word = member.rsplit(' ').next().unwrap_or_default();
            let word = word.split(['[', ':', '@']).next().unwrap_or_default();
            names.contains(word).then_some(word)
        };
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|item| {
            item.body
                .iter()
                .filter_map(held)
                .all(|name| declared.contains(name))
        });
        assert!(!now.is_empty(), "structures hold each other");
        declared.extend(now.iter().map(|item| item.name));
        ready.extend(now);
        waiting = later;
    }
    ready
}

fn record(text: &mut String, item: &Item<'_>) {
    let Item { kind, name, .. } = item;
    let (size, alignment) = pair(item.rest);
    line(text, format_args!("\n{kind} _{name} {{"));
    let mut assertions = format!("KIT_SIZE({name}, {size}, {alignment});\n");
    // The members that are open: name and offset of each.
    let mut open: Vec<(&str, u32)> = Vec::new();
    for &(depth, member) in &item.body {
        close(text, &mut open, depth - 1);
        let indent = "    ".repeat(depth);
        let (offset, rest) = pair(member);
        let (member, of_type) = pair(rest);
        let offset =
            offset.parse::<u32>().expect("an offset is a number") + open.last().map_or(0, |&(_, at)| at);
        if is_record(of_type) {
            line(text, format_args!("{indent}{of_type} {{"));
            open.push((member, offset));
            continue;
        }
        if let Some((of_type, bits)) = of_type.split_once(':') {
            line(text, format_args!("{indent}{of_type} {member} : {bits};"));
            continue;
        }
        if let Some((of_type, alignment)) = of_type.split_once('@') {
            line(
                text,
                format_args!("{indent}DECLSPEC_ALIGN({alignment}) {of_type} {member};"),
            );
        } else if let Some((of_type, length)) = of_type.split_once('[') {
            line(text, format_args!("{indent}{of_type} {member}[{length};"));
        } else {
            line(text, format_args!("{indent}{of_type} {member};"));
        }
        let path: Vec<&str> = open.iter().map(|(name, _)| *name).chain([member]).collect();
        line(
            &mut assertions,
            format_args!("KIT_FIELD({name}, {}, {offset});", path.join(".")),
        );
    }
    close(text, &mut open, 0);
    line(text, format_args!("}};\n{assertions}"));
}

/// Ends the members that are open beyond a depth.
fn close(text: &mut String, open: &mut Vec<(&str, u32)>, depth: usize) {
    while open.len() > depth {
        let indent = "    ".repeat(open.len());
        let (name, _) = open.pop().expect("there are more than `depth`");
        line(text, format_args!("{indent}}} {name};"));
    }
}

/// The type of a table's entry.
fn pointer(text: &mut String, item: &Item<'_>) {
    let (name, rest) = pair(item.rest);
    let (result, parameters) = signature(rest);
    let name = name.to_uppercase();
    let comma = if parameters.is_empty() { "" } else { ", " };
    line(
        text,
        format_args!(
            "typedef {result} (NTAPI *PFN_{name})(PWDF_DRIVER_GLOBALS DriverGlobals{comma}{parameters});"
        ),
    );
}

/// A function of the table under its own name.
fn call(text: &mut String, item: &Item<'_>) {
    let (name, rest) = pair(item.rest);
    let (result, parameters) = signature(rest);
    let names = parameters.split(',').filter_map(|parameter| {
        let name = parameter.rsplit([' ', '*']).next()?;
        (!name.is_empty()).then(|| format!(", {name}"))
    });
    let (names, parameters) = (
        names.collect::<String>(),
        if parameters.is_empty() { "VOID" } else { parameters },
    );
    line(
        text,
        format_args!(
            "static __inline {result} {name}({parameters})\n{{\n    \
             {returns}((PFN_{pointer})WdfFunctions[{name}TableIndex])(WdfDriverGlobals{names});\n}}",
            returns = if result == "void" { "" } else { "return " },
            pointer = name.to_uppercase(),
        ),
    );
}

/// A result's type, and the parameters.
fn signature(text: &str) -> (&str, &str) {
    let (result, parameters) = text.split_once(':').expect("a signature has a colon");
    (result, parameters.trim())
}

/// A word and the rest.
fn pair(text: &str) -> (&str, &str) {
    text.split_once(' ').expect("a fact has two words at least")
}
