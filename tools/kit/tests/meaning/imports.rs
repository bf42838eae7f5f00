//! What can be imported, against who else says so: Microsoft's metadata, mingw-w64's list of what an older `ntoskrnl.exe` exports, the
//! documentation of the few names that neither has, and what the lab exports.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use rundown_kit::{
    exports::{self, Image, Since, Windows},
    sysroot::{self, Llvm, RPCRT4},
};

use crate::{metadata::Metadata, repository};

/// Exports that neither list has, each with who has it.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "NtCopyFileChunk",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntifs/nf-ntifs-ntcopyfilechunk",
    ),
    (
        "PsGetServerSiloActiveConsoleId",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntddk/nf-ntddk-psgetserversiloactiveconsoleid",
    ),
    (
        "RtlCreateSecurityDescriptorRelative",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntifs/nf-ntifs-rtlcreatesecuritydescriptorrelative",
    ),
    (
        "RtlExtendCorrelationVector",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntddk/nf-ntddk-rtlextendcorrelationvector",
    ),
    (
        "RtlIncrementCorrelationVector",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntddk/nf-ntddk-rtlincrementcorrelationvector",
    ),
    (
        "RtlInitializeCorrelationVector",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntddk/nf-ntddk-rtlinitializecorrelationvector",
    ),
    (
        "RtlValidateCorrelationVector",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntddk/nf-ntddk-rtlvalidatecorrelationvector",
    ),
    (
        "SeTokenGetNoChildProcessRestricted",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntifs/nf-ntifs-setokengetnochildprocessrestricted",
    ),
    (
        "SeTokenIsNoChildProcessRestrictionEnforced",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntifs/nf-ntifs-setokenisnochildprocessrestrictionenforced",
    ),
    (
        "SeTokenSetNoChildProcessRestricted",
        "learn.microsoft.com/windows-hardware/drivers/ddi/ntifs/nf-ntifs-setokensetnochildprocessrestricted",
    ),
    (
        "__chkstk",
        "learn.microsoft.com/windows/win32/devnotes/-win32-chkstk",
    ),
];

/// What the lab exports and no driver that is linked here takes: what a listing of NT's own routines calls, the trap for a handler that the
/// kit links statically, as the WDK does, and what the framework declares by itself, since no header of the WDK does
/// (its globals.cpp:123, fxverifierkm.h:29).
const FOR_NO_DRIVER: &[&str] = &[
    "ExfAcquireRundownProtection",
    "ExfReleaseRundownProtection",
    "KeYieldProcessorEx",
    "RtlQueryRegistryValuesEx",
    "VfCheckNxPoolType",
    "VfIsRuleClassEnabled",
    "__GSHandlerCheck",
];

/// What mingw-w64's import library of an image names: those of an older Windows, read from the image.
fn older(library: &str) -> BTreeSet<String> {
    let run = |command: &mut Command| {
        let program = command.get_program().display().to_string();
        let output = command.output().unwrap_or_else(|error| {
            panic!(
                "{program}: {error}; on Debian: apt-get install {}",
                rundown_kit::client::LINKER_PACKAGE
            )
        });
        String::from_utf8(output.stdout).unwrap()
    };
    let path = run(Command::new(rundown_kit::client::LINKER).arg(format!("-print-file-name={library}")));
    let llvm = Llvm::find().unwrap_or_else(|error| panic!("{error}"));
    let listed = run(Command::new(llvm.program("llvm-nm"))
        .args(["--defined-only", "--just-symbol-name"])
        .arg(path.trim()));
    let names: BTreeSet<String> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("__imp_"))
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 50, "{library}: {}", names.len());
    names
}

#[test]
fn all_that_microsofts_metadata_has_can_be_imported() {
    let metadata = Metadata::read();
    let inlines: BTreeSet<&str> = exports::inlines().collect();
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, exporter) in metadata.exporters() {
        let Some(image) = Image::ALL
            .into_iter()
            .find(|image| image.name().eq_ignore_ascii_case(exporter))
        else {
            continue;
        };
        count += 1;
        let here = exports::all().get(name).map(|export| export.image);
        if here != Some(image) && !inlines.contains(name) {
            wrong.push(format!("{name}: {exporter}, here {here:?}"));
        }
    }
    assert!(count > 1250, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_export_is_vouched_for() {
    let metadata = Metadata::read();
    let older = &older("libntoskrnl.a") | &older("libhal.a");
    let mut without = Vec::new();
    for (&name, export) in exports::all() {
        let by_microsoft = match metadata.exporter(name) {
            // The metadata has one line for a routine that ntdll.dll exports as well.
            Some("ntoskrnl.exe" | "ntdll.dll") => export.image == Image::Ntoskrnl,
            Some("hal.dll") => export.image == Image::Hal,
            _ => false,
        };
        if !by_microsoft && !older.contains(name) {
            without.push(name);
        }
    }
    let elsewhere: Vec<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    assert_eq!(without, elsewhere);
}

/// An older Windows than 10 has what mingw-w64 lists, so none of it came later.
#[test]
fn what_an_older_windows_has_is_not_new() {
    let older = older("libntoskrnl.a");
    let newer: Vec<&str> = exports::all()
        .iter()
        .filter(|(_, export)| matches!(export.since, Since::Windows(first) if first > Windows::V2004))
        .map(|(name, _)| *name)
        .collect();
    assert!(newer.len() >= 20, "{newer:?}");
    for name in newer {
        assert!(!older.contains(name), "{name}");
    }
    let unknown = exports::all()
        .iter()
        .filter(|(_, export)| export.since == Since::Unknown);
    for (name, _) in unknown {
        assert!(older.contains(*name), "{name}");
    }
}

/// The exports of the lab, from the tables in its sources.
fn of_the_lab() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![repository().join("lab/kernel/src/ddi")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.extend(tables(&path));
            }
        }
    }
    names
}

/// The names in a file's tables, whose entries are `Export::function("name", ...)` and the like.
fn tables(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let names = text.split("Export::").skip(1).filter_map(|entry| {
        let (kind, rest) = entry.split_once('(')?;
        let name = rest.trim_start().strip_prefix('"')?.split_once('"')?.0;
        ["function", "data", "direct", "trap"]
            .contains(&kind)
            // What WDFLDR.SYS exports is no affair of ntoskrnl.exe's.
            .then(|| name.to_owned())
            .filter(|_| !rest.contains("of(WDFLDR)"))
    });
    names.collect()
}

/// A driver that the lab can run can be linked: whatever is in the lab and not on the list is an inline of the WDK, for drivers that others
/// built and for `MmGetSystemRoutineAddress`.
#[test]
fn what_the_lab_exports_links() {
    let lab = of_the_lab();
    assert!(lab.len() > 250, "{}", lab.len());
    let inlines: BTreeSet<&str> = exports::inlines().collect();
    let unknown: Vec<&String> = lab
        .iter()
        .filter(|name| !FOR_NO_DRIVER.contains(&name.as_str()))
        .filter(|name| !exports::all().contains_key(name.as_str()) && !inlines.contains(name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn rpcrt4_offers_what_microsofts_does() {
    let (library, names) = sysroot::exports(RPCRT4);
    assert_eq!(names, ["UuidCreate"]);
    let exporter = Metadata::read().exporter("UuidCreate").unwrap().to_owned();
    assert!(exporter.eq_ignore_ascii_case(library));
}
