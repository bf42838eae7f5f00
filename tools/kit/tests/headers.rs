//! The stand-in WDK's headers, as the compiler sees them.

use std::{fs, path::Path};

use rundown_kit::kmdf::{self, Version};
use rundown_kit::sysroot::{self, Llvm, Sysroot};

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

#[test]
fn every_export_has_a_prototype() {
    // Called by the compiler itself.
    let (_, names) = sysroot::exports(sysroot::NTOSKRNL);
    let used: Vec<String> = names
        .iter()
        .filter(|name| **name != "__chkstk")
        .map(|name| format!("const void *const Use_{name} = (const void *)&{name};"))
        .collect();
    compile("prototypes", &used.join("\n")).unwrap_or_else(|errors| panic!("{errors}"));
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
