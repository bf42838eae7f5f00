//! The driver's sources mean the same on Windows as here: what they take from wdk-sys, which the kit generates from
//! its own headers, is compared with what Microsoft publishes.
//!
//! Each name has to be in one of three places, and agree with it:
//! - Microsoft's metadata, as windows-sys carries it ([`metadata`]): functions by their whole signature, constants by
//!   their value, structures by size and offsets;
//! - the KMDF tables: `kmdf.txt` for functions, the kit's `wdfapi.h` for structures and enumerations;
//! - [`neither::NAMES`], each with its documentation page. The list is printed, and a name that is nowhere fails: it
//!   exists in the kit's headers only, or is an inline of the WDK that the kit made an import.
//!
//! Every structure that the kit writes itself has its fields' offsets, kinds and types in `records.txt`, with the source of each
//! ([`records`]); where a routine is imported from is compared with the metadata as well ([`imports`]).
//!
//! The two other crates that declare routines of the kernel are looked at in [`nt`] and [`tracelogging`].

mod headers;
mod imports;
mod layouts;
mod metadata;
mod neither;
mod nt;
mod records;
mod signature;
mod tracelogging;
mod uses;

use std::{collections::BTreeSet, path::Path};

use rundown_kit::{exports, kmdf};

use crate::{headers::Headers, metadata::Metadata, signature::Signature};

/// What the driver takes from wdk-sys.
struct Uses {
    /// Types, constants and functions of the kernel; enumerators without their type.
    names: BTreeSet<String>,
    /// Functions of KMDF, called through its table.
    kmdf: BTreeSet<String>,
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn uses_of_the_driver() -> Uses {
    let uses = uses::of_folder(&repository().join("src"));
    assert!(uses.names.contains("KeSetEvent"), "the sources were not read");
    assert!(uses.kmdf.contains("WdfDeviceCreate"), "the sources were not read");
    uses
}

/// A line of kmdf.txt: name, index, result and parameters.
fn kmdf_table() -> Vec<(&'static str, u32, &'static str, &'static str)> {
    include_str!("kmdf.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (head, parameters) = line.split_once(':').unwrap();
            let mut words = head.split(' ');
            let mut word = || words.next().unwrap();
            (word(), word().parse().unwrap(), word(), parameters.trim())
        })
        .collect()
}

/// Where a name is vouched for; `None` if nowhere.
fn place(name: &str, metadata: &Metadata, layouts: &str) -> Option<&'static str> {
    let asserted = [format!("KIT_SIZE({name},"), format!("    {name} = ")];
    if metadata.has(name) {
        Some("Microsoft's metadata")
    } else if asserted.iter().any(|line| layouts.contains(line)) && name.to_lowercase().contains("wdf") {
        Some("the KMDF tables")
    } else if neither::NAMES.iter().any(|known| known.name == name) {
        Some("the list of what neither has")
    } else {
        None
    }
}

#[test]
fn every_name_is_vouched_for() {
    let (uses, metadata) = (uses_of_the_driver(), Metadata::read());
    let layouts = kmdf::header(kmdf::Version::V31);
    let nowhere: Vec<&String> = uses
        .names
        .iter()
        .filter(|name| place(name, &metadata, &layouts).is_none())
        .collect();
    assert!(
        nowhere.is_empty(),
        "{nowhere:?}: neither in Microsoft's metadata nor in the KMDF tables. Is it an inline or macro of the WDK? Then the \
         driver writes it itself. If the WDK has it: add it to tests/meaning/neither.rs with its documentation page"
    );
    // The metadata has some of the WDK's inlines too; what is no export must not become an import.
    for name in uses.names.iter().filter(|name| metadata.function(name).is_some()) {
        assert!(exports::all().contains_key(name.as_str()), "{name} is no export");
    }
    let table = kmdf_table();
    let unknown: Vec<&String> = uses
        .kmdf
        .iter()
        .filter(|name| !table.iter().any(|(known, ..)| known == name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}: not in tests/meaning/kmdf.txt");

    println!("not in Microsoft's metadata, checked by their documentation:");
    for known in neither::NAMES {
        assert!(!metadata.has(known.name), "{}: the metadata has it", known.name);
        println!("  {:40} {}", known.name, known.page);
    }
}

#[test]
fn functions_have_microsofts_signatures() {
    let (uses, metadata) = (uses_of_the_driver(), Metadata::read());
    let functions: Vec<&str> = uses
        .names
        .iter()
        .map(String::as_str)
        .filter(|name| metadata.function(name).is_some())
        .collect();
    assert!(functions.len() >= 20, "{functions:?}");
    let here = Headers::new("signatures").signatures(&functions);
    let wrong: Vec<String> = functions
        .iter()
        .zip(&here)
        .filter_map(|(name, here)| {
            let theirs = metadata.function(name)?;
            (!here.agrees_with(&theirs)).then(|| format!("{name}: here {here}, Microsoft's {theirs}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn constants_have_microsofts_values() {
    let (uses, metadata) = (uses_of_the_driver(), Metadata::read());
    let values: Vec<String> = uses
        .names
        .iter()
        .filter_map(|name| {
            let value = metadata.constant(name)?;
            Some(format!(
                "_Static_assert((unsigned long)({name}) == {value}UL, \"{name}\");"
            ))
        })
        .collect();
    assert!(values.len() >= 5, "{values:?}");
    Headers::new("constants").accept(&values);
}

/// Structures of the metadata that the driver touches, with the fields that are checked.
const LAYOUTS: &[(&str, &str, &[&str])] = &[
    (
        "DRIVER_OBJECT",
        "DRIVER_OBJECT",
        &[
            "DeviceObject",
            "DriverStart",
            "DriverExtension",
            "DriverUnload",
            "MajorFunction",
        ],
    ),
    ("KEVENT", "KEVENT", &["Header"]),
    (
        "KDPC",
        "KDPC",
        &[
            "DpcListEntry",
            "DeferredRoutine",
            "DeferredContext",
            "SystemArgument1",
            "SystemArgument2",
            "DpcData",
        ],
    ),
    ("EX_RUNDOWN_REF", "EX_RUNDOWN_REF", &[]),
    (
        "OBJECT_ATTRIBUTES",
        "OBJECT_ATTRIBUTES",
        &[
            "Length",
            "RootDirectory",
            "ObjectName",
            "Attributes",
            "SecurityDescriptor",
            "SecurityQualityOfService",
        ],
    ),
    ("GROUP_AFFINITY", "GROUP_AFFINITY", &["Mask", "Group"]),
    ("PROCESSOR_NUMBER", "PROCESSOR_NUMBER", &["Group", "Number"]),
    ("LUID", "LUID", &["LowPart", "HighPart"]),
    (
        "UNICODE_STRING",
        "UNICODE_STRING",
        &["Length", "MaximumLength", "Buffer"],
    ),
    (
        "RTL_OSVERSIONINFOW",
        "OSVERSIONINFOW",
        &[
            "dwOSVersionInfoSize",
            "dwMajorVersion",
            "dwMinorVersion",
            "dwBuildNumber",
            "dwPlatformId",
            "szCSDVersion",
        ],
    ),
];

#[test]
fn structures_have_microsofts_layouts() {
    let (uses, metadata) = (uses_of_the_driver(), Metadata::read());
    for name in uses.names.iter().filter(|name| metadata.has_structure(name)) {
        assert!(
            LAYOUTS.iter().any(|(known, ..)| known == name),
            "{name} is a structure of the metadata; name the fields to check in LAYOUTS"
        );
    }
    let mut lines = Vec::new();
    for (here, theirs, fields) in LAYOUTS {
        let layout = metadata.layout(theirs);
        lines.push(format!(
            "_Static_assert(sizeof({here}) == {}, \"{here}\");",
            layout.size
        ));
        for field in *fields {
            let offset = layout.offset(field);
            lines.push(format!(
                "_Static_assert(FIELD_OFFSET({here}, {field}) == {offset}, \"{here}.{field}\");"
            ));
        }
    }
    Headers::new("layouts").accept(&lines);
}

#[test]
fn kmdf_functions_have_their_index_and_prototype() {
    let mut lines = Vec::new();
    for (name, index, result, parameters) in kmdf_table() {
        let pointer = format!("PFN_{}", name.to_uppercase());
        let rest = if parameters.is_empty() {
            String::new()
        } else {
            format!(", {parameters}")
        };
        lines.push(format!(
            "_Static_assert({name}TableIndex == {index}, \"{name}: index\");"
        ));
        lines.push(format!(
            "_Static_assert(__builtin_types_compatible_p({pointer}, {result} (NTAPI *)(PWDF_DRIVER_GLOBALS{rest})), \"{name}\");"
        ));
    }
    assert!(lines.len() > 100);
    Headers::new("kmdf").accept(&lines);
}

#[test]
fn what_neither_has_is_as_documented() {
    let lines: Vec<String> = neither::NAMES
        .iter()
        .map(|known| {
            let name = known.name;
            let condition = match known.meaning {
                neither::Meaning::Is(of) => format!("__builtin_types_compatible_p({name}, {of})"),
                neither::Meaning::Function(of) => {
                    format!("__builtin_types_compatible_p(__typeof__(&{name}), {of})")
                }
                neither::Meaning::Value(value) => format!("(unsigned long)({name}) == {value}UL"),
                neither::Meaning::Opaque => format!("sizeof(struct {name} *) == 8"),
                neither::Meaning::OfWdkSys => "1".to_owned(),
            };
            format!("_Static_assert({condition}, \"{name}\");")
        })
        .collect();
    Headers::new("neither").accept(&lines);
}

#[test]
fn a_difference_is_seen() {
    let metadata = Metadata::read();
    let theirs = metadata.function("KeSetEvent").unwrap();
    let same = Signature::of_c("long (*)(_KEVENT *, long, unsigned char)");
    assert!(same.agrees_with(&theirs), "{same}, {theirs}");
    for wrong in [
        "long (*)(_KEVENT *, long)",
        "long (*)(_KEVENT *, long, unsigned long)",
        "long (*)(_KEVENT *, unsigned long, unsigned char)",
        "long (*)(_KSEMAPHORE *, long, unsigned char)",
        "void (*)(_KEVENT *, long, unsigned char)",
        "long (*)(long, _KEVENT *, unsigned char)",
    ] {
        let wrong = Signature::of_c(wrong);
        assert!(!wrong.agrees_with(&theirs), "{wrong}");
    }
    for inline in [
        "IoGetCurrentIrpStackLocation",
        "KeMemoryBarrier",
        "KitHiddenKeLowerIrql",
    ] {
        assert_eq!(place(inline, &metadata, ""), None, "{inline}");
    }
}
