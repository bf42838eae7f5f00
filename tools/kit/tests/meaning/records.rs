//! The layouts that the kit writes itself, against who vouches for each: `records.txt`, and Microsoft's metadata.

use crate::{headers::Headers, metadata::Metadata};

const DRIVER_ENTRY: &str = include_str!("../../sysroot/lib/wdf_driver_entry.c");
const BUFFER_OVERFLOW: &str = include_str!("../../sysroot/lib/buffer_overflow.c");

/// A structure of records.txt.
struct Record {
    name: &'static str,
    size: usize,
    alignment: usize,
    /// Offset, path and type.
    fields: Vec<(usize, &'static str, &'static str)>,
}

fn records() -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for line in include_str!("records.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let words: Vec<&str> = line.trim().splitn(3, ' ').collect();
        let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("{line}"));
        match (line.starts_with(' '), &words[..], records.last_mut()) {
            (true, &[offset, path, of], Some(record)) => record.fields.push((number(offset), path, of)),
            (false, &[name, size, rest], _) => records.push(Record {
                name,
                size: number(size),
                alignment: number(rest.split_once(' ').expect("a source").0),
                fields: Vec::new(),
            }),
            _ => panic!("{line}"),
        }
    }
    records
}

/// The names of the structures that C source defines.
fn defined(source: &'static str) -> impl Iterator<Item = &'static str> {
    source
        .lines()
        .filter_map(|line| line.strip_prefix("typedef struct ")?.strip_suffix(" {"))
}

/// What makes the compiler stop at a field that is elsewhere, or of another kind or type.
fn assertions(record: &Record) -> Vec<String> {
    let Record {
        name,
        size,
        alignment,
        fields,
    } = record;
    let mut lines = vec![format!(
        "_Static_assert(sizeof(struct {name}) == {size} && _Alignof(struct {name}) == {alignment}, \"{name}\");"
    )];
    for (offset, path, of) in fields {
        let value = format!("((struct {name} *)0)->{path}");
        let type_fits = if *of == "pointer" {
            // GCC's pointer_type_class.
            format!("__builtin_classify_type({value}) == 5")
        } else if let Some((element, count)) = of.split_once('[') {
            format!("__builtin_types_compatible_p(__typeof__({value}), {element}[{count})")
        } else {
            format!("__builtin_types_compatible_p(__typeof__({value}), {of})")
        };
        lines.push(format!(
            "_Static_assert(FIELD_OFFSET(struct {name}, {path}) == {offset} && {type_fits}, \"{name}.{path}\");"
        ));
    }
    lines
}

#[test]
fn every_structure_of_the_kit_is_vouched_for() {
    let records = records();
    let known: Vec<&str> = records.iter().map(|record| record.name).collect();
    let ours: Vec<&str> = defined(DRIVER_ENTRY).collect();
    assert!(ours.len() >= 3, "{ours:?}");
    assert!(
        ours.iter().all(|name| known.contains(name)),
        "{ours:?}, and records.txt: {known:?}"
    );
    // The one of the other library is `load_configuration_is_as_published`'s.
    assert_eq!(defined(BUFFER_OVERFLOW).collect::<Vec<_>>(), ["_LOAD_CONFIG"]);
}

#[test]
fn structures_are_as_published() {
    let lines: Vec<String> = records().iter().flat_map(assertions).collect();
    assert!(lines.len() > 120);
    Headers::new("records").accept(&[vec![DRIVER_ENTRY.to_owned()], lines].concat());
}

#[test]
fn a_number_for_a_pointer_is_seen() {
    let assertions: Vec<String> = records().iter().flat_map(assertions).collect();
    let headers = Headers::new("kinds");
    for (right, wrong, field) in [
        (
            "PULONG MinimumVersionRequired;",
            "ULONG_PTR MinimumVersionRequired;",
            "MinimumVersionRequired",
        ),
        (
            "PULONG MinimumVersionRequired;",
            "PBOOLEAN MinimumVersionRequired;",
            "MinimumVersionRequired",
        ),
        ("PVOID Module;", "ULONG64 Module;", "Module"),
        ("const WDFFUNC **FuncTable;", "ULONG64 FuncTable;", "FuncTable"),
    ] {
        assert!(DRIVER_ENTRY.contains(right), "{right}");
        // What follows the structures would not compile any more, for other reasons.
        let (structures, _) = DRIVER_ENTRY.split_once("_Static_assert").unwrap();
        let lines = [vec![structures.replace(right, wrong)], assertions.clone()].concat();
        let said = headers.refuse(&lines);
        assert!(
            said.contains("static assertion failed") && said.contains(field),
            "{wrong}: {said}"
        );
    }
}

/// Our names, and those of `IMAGE_LOAD_CONFIG_DIRECTORY64`.
const LOAD_CONFIGURATION: &[(&str, &str)] = &[
    ("Size", "Size"),
    ("TimeDateStamp", "TimeDateStamp"),
    ("Version", "MajorVersion"),
    ("GlobalFlags", "GlobalFlagsClear"),
    ("CriticalSectionDefaultTimeout", "CriticalSectionDefaultTimeout"),
    ("HeapAndProcess", "DeCommitFreeBlockThreshold"),
    ("HeapFlagsAndDependentLoadFlags", "ProcessHeapFlags"),
    ("EditList", "EditList"),
    ("SecurityCookie", "SecurityCookie"),
    ("SafeSehTable", "SEHandlerTable"),
    ("GuardCFCheckFunctionPointer", "GuardCFCheckFunctionPointer"),
    ("GuardCFDispatchFunctionPointer", "GuardCFDispatchFunctionPointer"),
    ("GuardCFFunctionTable", "GuardCFFunctionTable"),
    ("GuardCFFunctionCount", "GuardCFFunctionCount"),
    ("GuardFlags", "GuardFlags"),
    ("GuardAddressTakenIatEntryTable", "GuardAddressTakenIatEntryTable"),
    ("GuardAddressTakenIatEntryCount", "GuardAddressTakenIatEntryCount"),
    ("GuardLongJumpTargetTable", "GuardLongJumpTargetTable"),
    ("GuardLongJumpTargetCount", "GuardLongJumpTargetCount"),
];

#[test]
fn load_configuration_is_as_published() {
    let metadata = Metadata::read();
    let layout = metadata.layout("IMAGE_LOAD_CONFIG_DIRECTORY64");
    let mut lines = vec![BUFFER_OVERFLOW.to_owned()];
    for (ours, theirs) in LOAD_CONFIGURATION {
        let offset = layout.offset(theirs);
        lines.push(format!(
            "_Static_assert(offsetof(LOAD_CONFIG, {ours}) == {offset}, \"{ours}\");"
        ));
    }
    // It ends before the next field, which an image may leave out.
    let end = layout.offset("DynamicValueRelocTable");
    lines.push(format!(
        "_Static_assert(sizeof(LOAD_CONFIG) == {end}, \"LOAD_CONFIG\");"
    ));
    Headers::new("load-configuration").accept_alone(&lines);
}

/// Fields of the two structures that the kit aligns anew. The metadata has no alignment beyond the fields'.
const ALIGNED: &[(&str, &[&str])] = &[
    (
        "DEVICE_OBJECT",
        &[
            "Type",
            "Size",
            "DriverObject",
            "Flags",
            "DeviceExtension",
            "StackSize",
            "Queue",
            "DeviceQueue",
            "Dpc",
            "DeviceLock",
            "DeviceObjectExtension",
        ],
    ),
    (
        "IRP",
        &[
            "Type",
            "Size",
            "MdlAddress",
            "AssociatedIrp",
            "IoStatus",
            "RequestorMode",
            "StackCount",
            "CurrentLocation",
            "Cancel",
            "UserEvent",
            "CancelRoutine",
            "UserBuffer",
            "Tail",
        ],
    ),
];

#[test]
fn realigned_structures_have_microsofts_offsets() {
    /// Bytes: `MEMORY_ALLOCATION_ALIGNMENT` on x64
    /// (<https://learn.microsoft.com/windows/win32/api/winnt/nf-winnt-initializeslisthead>).
    const ALIGNMENT: usize = 16;
    let metadata = Metadata::read();
    let mut lines = Vec::new();
    for (name, fields) in ALIGNED {
        let layout = metadata.layout(name);
        for field in *fields {
            let offset = layout.offset(field);
            lines.push(format!(
                "_Static_assert(FIELD_OFFSET({name}, {field}) == {offset}, \"{name}.{field}\");"
            ));
        }
        let size = layout.size.next_multiple_of(ALIGNMENT);
        lines.push(format!("_Static_assert(sizeof({name}) == {size}, \"{name}\");"));
    }
    Headers::new("aligned").accept(&lines);
}

/// What the kit's own headers add to mingw-w64's wdm.h by value.
#[test]
fn enumerators_have_microsofts_values() {
    let metadata = Metadata::read();
    let names = [
        "EventProviderBinaryTrackInfo",
        "EventProviderSetReserved1",
        "EventProviderSetTraits",
        "EventProviderUseDescriptorType",
        "MaxEventInfo",
    ];
    let lines = names.map(|name| {
        let value = metadata
            .constant(name)
            .unwrap_or_else(|| panic!("the metadata has no {name}"));
        format!("_Static_assert({name} == {value}, \"{name}\");")
    });
    Headers::new("enumerators").accept(&lines);
}
