//! The stand-in WDK's headers, as the compiler sees them.

use std::{collections::BTreeSet, fs, path::Path};

use rundown_kit::exports;
use rundown_kit::kmdf::{self, Version};
use rundown_kit::sysroot::{Llvm, Sysroot};

/// What the compiler says about a file that includes the headers and then `text`.
fn compile(name: &str, text: &str) -> Result<(), String> {
    compile_for(Version::V31, name, text)
}

fn compile_for(version: Version, name: &str, text: &str) -> Result<(), String> {
    let llvm = Llvm::find().unwrap_or_else(|error| panic!("{error}"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("headers");
    let sysroot =
        Sysroot::prepare(&folder.join(name).join("wdk"), &llvm).unwrap_or_else(|error| panic!("{error}"));
    let source = folder.join(name).with_extension("c");
    fs::write(
        &source,
        format!("#include <ntifs.h>\n#include <ntddk.h>\n#include <wdf.h>\n{text}\n"),
    )
    .unwrap();
    let output = sysroot
        .compiler(&llvm, version)
        .arg("-fsyntax-only")
        .arg(&source)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// What mingw-w64's headers declare as imported and nobody else says that `ntoskrnl.exe` exports: not Microsoft's metadata, no DDI page, no
/// list of an older Windows. (`Clfs*` is clfs.sys's.)
const NOT_IMPORTED: &[&str] = &[
    "FsRtlNotifyStreamFileObject",
    "IoUpdateDiskGeometry",
    "KeQueryOwnerMutant",
    "NtAccessCheckAndAuditAlarm",
    "NtAccessCheckByTypeAndAuditAlarm",
    "NtAccessCheckByTypeResultListAndAuditAlarm",
    "NtAdjustGroupsToken",
    "NtCloseObjectAuditAlarm",
    "NtDeleteObjectAuditAlarm",
    "NtFilterToken",
    "NtImpersonateAnonymousToken",
    "NtOpenJobObjectToken",
    "NtOpenObjectAuditAlarm",
    "NtPrivilegeObjectAuditAlarm",
    "NtPrivilegedServiceAuditAlarm",
    "NtRegisterProtocolAddressInformation",
    "NtRenameTransactionManager",
    "NtSetInformationTransactionManager",
    "ObGetObjectPointerCount",
    "RtlAllocateAndInitializeSid",
    "RtlCreateServiceSid",
    "RtlCreateVirtualAccountSid",
    "RtlEqualPrefixSid",
    "RtlFreeSid",
    "RtlIdentifierAuthoritySid",
    "SeExamineGlobalSacl",
    "SeMaximumAuditMaskFromGlobalSacl",
    "SeObjectCreateSaclAccessBits",
    "SeQueryTokenIntegrity",
    "SeSetSessionIdToken",
    "ZwNotifyChangeMultipleKeys",
    "ZwQueryMultipleValueKey",
    "ZwRenameKey",
    "ZwSetInformationKey",
    "ZwSetInformationTransactionManager",
    "strerror_s",
];

/// The functions that the headers declare as imported, and have no body for.
fn declared(headers: &str) -> BTreeSet<String> {
    let llvm = Llvm::find().unwrap_or_else(|error| panic!("{error}"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("headers/declared");
    let sysroot = Sysroot::prepare(&folder.join("wdk"), &llvm).unwrap_or_else(|error| panic!("{error}"));
    let source = folder.join("declared.c");
    fs::write(&source, headers).unwrap();
    let output = sysroot
        .compiler(&llvm, Version::V31)
        .args(["-fsyntax-only", "-Xclang", "-ast-dump", "-fno-color-diagnostics"])
        .arg(&source)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut imported, mut bodies, mut current) = (BTreeSet::new(), BTreeSet::new(), None);
    // A declaration of the file begins with one sign, what belongs to it with two.
    for line in text.lines() {
        let top = line.get(..2).is_some_and(|start| matches!(start, "|-" | "`-"));
        if top {
            let function = line[2..]
                .starts_with("FunctionDecl ")
                .then(|| line.split(" '").next());
            current = function.flatten().and_then(|head| head.rsplit(' ').next());
        } else if let (Some(name), Some(rest)) = (current, line.get(2..)) {
            if rest.starts_with("|-CompoundStmt") || rest.starts_with("`-CompoundStmt") {
                bodies.insert(name.to_owned());
            } else if rest.starts_with("|-DLLImportAttr") || rest.starts_with("`-DLLImportAttr") {
                imported.insert(name.to_owned());
            }
        }
    }
    &imported - &bodies
}

#[test]
fn what_compiles_links() {
    let declared = declared("#include <ntifs.h>\n#include <ntddk.h>\n#include <wdf.h>\n");
    let inlines: BTreeSet<&str> = exports::inlines().collect();
    let (linked, rest): (Vec<&str>, Vec<&str>) = declared
        .iter()
        .map(String::as_str)
        .partition(|name| exports::all().contains_key(name));
    assert!(linked.len() > 1200, "{}", linked.len());
    let rest: Vec<&str> = rest
        .into_iter()
        // The kit hides a declaration by another name.
        .filter(|name| !name.starts_with("Clfs") && !name.starts_with("KitHidden") && !inlines.contains(name))
        .collect();
    assert_eq!(rest, NOT_IMPORTED);
}

#[test]
fn a_layout_that_differs_is_an_error() {
    for wrong in [
        "_Static_assert(sizeof(WDF_DRIVER_CONFIG) == 24, \"size\");",
        "_Static_assert(WdfDriverCreateTableIndex == 117, \"index\");",
        "_Static_assert(FIELD_OFFSET(WDF_TIMER_CONFIG, UseHighResolutionTimer) == 28, \"offset\");",
        "_Static_assert(sizeof(IRP) == 200, \"size\");",
    ] {
        let errors = compile("layouts", wrong).unwrap_err();
        assert!(errors.contains("static assertion failed"), "{errors}");
    }
}

#[test]
fn the_folder_of_another_version_is_an_error() {
    let errors = compile(
        "version",
        "#undef KIT_WDF_H\n#undef KMDF_VERSION_MINOR\n#define KMDF_VERSION_MINOR 33\n#include <wdf.h>",
    );
    assert!(errors.unwrap_err().contains("another version of KMDF"));
}

/// Each declares all that its table has, and lays it out as the framework does: the header asserts it.
#[test]
fn every_version_of_kmdf_compiles() {
    for version in Version::ALL {
        let texts = [
            kmdf::header(version),
            kmdf::usb_header(version),
            kmdf::calls(version),
        ]
        .concat();
        for (what, count) in [
            ("TableIndex = ", 445),
            ("PWDF_DRIVER_GLOBALS DriverGlobals", 445),
            ("TableIndex])(WdfDriverGlobals", 445),
            ("KIT_SIZE(", 64),
        ] {
            assert_eq!(texts.matches(what).count(), count, "{what}");
        }
        assert!(texts.matches("KIT_FIELD(").count() > 450);
        let usb = "#include <usb.h>\n#include <wdfusb.h>";
        compile_for(version, &format!("kmdf-{}", version.minor()), usb)
            .unwrap_or_else(|errors| panic!("1.{}: {errors}", version.minor()));
    }
}

/// What 1.33 has otherwise, as its wdfdevice.h and wdfpool.h do: longer settings, and a state machine with other numbers.
#[test]
fn versions_differ_where_microsofts_do() {
    for (version, size, right) in [
        (Version::V31, 72, true),
        (Version::V33, 88, true),
        (Version::V33, 72, false),
    ] {
        let text = format!("_Static_assert(sizeof(WDF_POWER_FRAMEWORK_SETTINGS) == {size}, \"size\");");
        let compiles = compile_for(version, &format!("differs-{}-{size}", version.minor()), &text).is_ok();
        assert_eq!(compiles, right, "1.{}: {size}", version.minor());
    }
}
