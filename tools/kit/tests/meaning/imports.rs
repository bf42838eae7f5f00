//! Where the routines are imported from, against the image that Microsoft's metadata names.

use rundown_kit::sysroot::{self, NTOSKRNL, RPCRT4};

use crate::metadata::Metadata;

/// Exports of ntoskrnl.exe that the metadata does not have: routines that are functions on x64 and something else on other
/// processors (`KeLowerIrql`: microsoft/wdkmetadata, issue 76), whose DDI pages name ntoskrnl.exe; a variable; and what
/// compilers call.
const NOT_IN_THE_METADATA: &[&str] = &[
    "KeLowerIrql",
    "KeAcquireSpinLockRaiseToDpc",
    "KeAcquireSpinLockAtDpcLevel",
    "KeReleaseSpinLock",
    "KeReleaseSpinLockFromDpcLevel",
    "PsThreadType",
    "memcpy",
    "memmove",
    "memset",
    "memcmp",
    "strlen",
    "__C_specific_handler",
    "__chkstk",
];

#[test]
fn libraries_offer_what_microsofts_do() {
    let metadata = Metadata::read();
    let (_, names) = sysroot::exports(NTOSKRNL);
    let mut without = Vec::new();
    for name in names {
        match metadata.exporter(name) {
            // The metadata has one line for a routine that ntdll.dll exports as well, and since Windows 10, version 2004,
            // the HAL is a part of ntoskrnl.exe.
            Some("ntoskrnl.exe" | "ntdll.dll" | "hal.dll") => {}
            Some(other) => panic!("{name} is exported by {other}"),
            None => without.push(name),
        }
    }
    assert_eq!(without, NOT_IN_THE_METADATA);

    let (library, names) = sysroot::exports(RPCRT4);
    assert_eq!(names, ["UuidCreate"]);
    assert!(
        metadata
            .exporter("UuidCreate")
            .unwrap()
            .eq_ignore_ascii_case(library)
    );
}
