//! What `crates/ex-rundown-nt` declares of the kernel by itself.

use std::fs;

use rundown_kit::exports;

use crate::{
    headers::Headers,
    metadata::Metadata,
    neither, repository,
    signature::{Signature, Type},
};

fn declarations() -> String {
    fs::read_to_string(repository().join("crates/ex-rundown-nt/src/system.rs")).unwrap()
}

/// Each function of its `extern` block with its signature; whether it returns is not part of one.
fn routines(text: &str) -> Vec<(String, Signature)> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split("pub(crate) fn ")
        .skip(1)
        .map(|function| {
            let (function, _) = function.split_once(';').unwrap();
            let (name, rest) = function.split_once('(').unwrap();
            let (parameters, result) = rest.split_once(')').unwrap();
            let parameters = parameters
                .split(',')
                .filter_map(|parameter| Some(kind(parameter.split_once(": ")?.1.trim())));
            let signature = Signature {
                result: kind(result.trim_start_matches(" -> ")),
                parameters: parameters.collect(),
            };
            (name.to_owned(), signature)
        })
        .collect()
}

fn kind(text: &str) -> Type {
    match text {
        "" | "!" => Type::Void,
        "u8" => Type::Integer("u8"),
        "i8" => Type::Integer("i8"),
        "u16" => Type::Integer("u16"),
        "u32" => Type::Integer("u32"),
        "i32" => Type::Integer("i32"),
        // As long as a pointer, on x64.
        "u64" | "usize" => Type::Integer("u64"),
        _ if text.starts_with('*') => Type::Pointer,
        other => Type::Other(other.to_owned()),
    }
}

#[test]
fn its_declarations_are_microsofts() {
    let metadata = Metadata::read();
    let routines = routines(&declarations());
    assert!(routines.len() >= 35, "{}", routines.len());
    for (name, here) in &routines {
        // A gap of the metadata is filled by the kit's header, whose declaration is compared with its page.
        let theirs = metadata.function(name).unwrap_or_else(|| {
            assert!(
                neither::NAMES.iter().any(|known| known.name == name),
                "{name} is nowhere"
            );
            Headers::new("nt").signatures(&[name]).remove(0)
        });
        assert!(
            here.agrees_with(&theirs),
            "{name}: here {here}, Microsoft's {theirs}"
        );
        assert!(exports::all().contains_key(name.as_str()), "{name} is no export");
    }
}

/// The fields of a structure, with their offsets, and its size.
fn layout(text: &str, name: &str) -> (Vec<(String, usize)>, usize) {
    let (_, rest) = text.split_once(&format!("pub(crate) struct {name} {{")).unwrap();
    let (fields, _) = rest.split_once('}').unwrap();
    let (mut end, mut most, mut offsets) = (0_usize, 1, Vec::new());
    for field in fields
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub(crate) "))
    {
        let (field, kind) = field.trim_end_matches(',').split_once(": ").unwrap();
        let (alignment, count) = match kind {
            "u8" => (1, 1),
            "u16" => (2, 1),
            "[u16; 3]" => (2, 3),
            "usize" => (8, 1),
            other => panic!("{other}"),
        };
        end = end.next_multiple_of(alignment);
        offsets.push((field.to_owned(), end));
        end += alignment * count;
        most = most.max(alignment);
    }
    (offsets, end.next_multiple_of(most))
}

#[test]
fn its_structures_are_microsofts() {
    let metadata = Metadata::read();
    for (here, theirs) in [("ProcessorNumber", "PROCESSOR_NUMBER")] {
        let (fields, size) = layout(&declarations(), here);
        let theirs = metadata.layout(theirs);
        assert_eq!(size, theirs.size, "{here}");
        assert!(fields.len() >= 3, "{here}: {fields:?}");
        for (field, offset) in fields {
            let (first, rest) = field.split_at(1);
            let name = first.to_uppercase() + rest;
            assert_eq!(offset, theirs.offset(&name), "{here}.{field}");
        }
    }
}

#[test]
fn a_difference_is_seen() {
    let theirs = Metadata::read().function("KeSetEvent").unwrap();
    for (wrong, agrees) in [
        (
            "pub(crate) fn KeSetEvent(event: *mut Event, increment: i32, wait: u8) -> i32;",
            true,
        ),
        (
            "pub(crate) fn KeSetEvent(event: *mut Event, increment: u32, wait: u8) -> i32;",
            false,
        ),
        (
            "pub(crate) fn KeSetEvent(event: *mut Event, increment: i32) -> i32;",
            false,
        ),
        (
            "pub(crate) fn KeSetEvent(event: u64, increment: i32, wait: u8) -> i32;",
            false,
        ),
        (
            "pub(crate) fn KeSetEvent(event: *mut Event, increment: i32, wait: u8);",
            false,
        ),
    ] {
        let (_, here) = routines(wrong).remove(0);
        assert_eq!(here.agrees_with(&theirs), agrees, "{wrong}");
    }
}
