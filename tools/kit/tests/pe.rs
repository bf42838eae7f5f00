//! The PE check accepts a driver, and each of its checks fails on an image that is damaged in just that respect.
//!
//! The image is a small driver in C, linked with the kit's own libraries in the way wdk-build links one in Rust.

mod common;

use std::{fs, path::Path, sync::LazyLock};

use rundown_kit::{exports::Windows, pe, residence};

use common::{Fixture, link};

const DRIVER: &str = r#"
typedef long NTSTATUS;
extern const void **WdfFunctions_01031;
unsigned long DbgPrint(const char *, ...);
__attribute__((section("PAGE"))) static int Callback(int x) { return x + 1; }
int (*volatile Pointer)(int) = Callback;
__attribute__((section("INIT"))) NTSTATUS DriverEntry(void *Driver, void *Path)
{
    DbgPrint("%p %p", Driver, WdfFunctions_01031);
    return Pointer(-1);
}
"#;

/// Linked once for all tests.
static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| link("driver", DRIVER, &[]));

/// The names of the checks that fail.
fn failing(image: &[u8], symbols: &[u8]) -> Vec<&'static str> {
    let checks = pe::check_bytes(image, symbols, Windows::V2004).unwrap_or_else(|error| panic!("{error}"));
    checks
        .into_iter()
        .filter(|check| check.result.is_err())
        .map(|check| check.name)
        .collect()
}

/// Damages a copy, puts the checksum right again, and expects exactly `name` to fail.
#[track_caller]
fn fails_alone(name: &str, damage: impl FnOnce(&mut Vec<u8>)) {
    fail_alone(&[name], damage);
}

#[track_caller]
fn fail_alone(names: &[&str], damage: impl FnOnce(&mut Vec<u8>)) {
    let mut image = FIXTURE.image.clone();
    damage(&mut image);
    assert_ne!(image, FIXTURE.image, "the damage changed nothing");
    let position = pe::checksum_position(&image).unwrap();
    let sum = pe::checksum(&image).unwrap();
    image[position..position + 4].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(failing(&image, &FIXTURE.symbols), names);
}

fn number(image: &[u8], position: usize) -> usize {
    u32::from_le_bytes(image[position..position + 4].try_into().unwrap()) as usize
}

/// The file header, behind the signature.
fn file_header(image: &[u8]) -> usize {
    number(image, 0x3C) + 4
}

fn optional_header(image: &[u8]) -> usize {
    file_header(image) + 20
}

/// Clears a bit of `DllCharacteristics`.
fn clear(image: &mut [u8], flag: u16) {
    let position = optional_header(image) + 70;
    let flags = u16::from_le_bytes(image[position..position + 2].try_into().unwrap()) & !flag;
    image[position..position + 2].copy_from_slice(&flags.to_le_bytes());
}

/// The header of a section.
fn section(image: &[u8], name: &str) -> usize {
    let table = optional_header(image) + 240;
    let mut padded = [0; 8];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    (0..16)
        .map(|index| table + 40 * index)
        .find(|&header| image[header..header + 8] == padded)
        .unwrap()
}

/// Where a text lies in the file; it has to be there once.
fn find(image: &[u8], text: &[u8]) -> usize {
    let mut positions = image
        .windows(text.len())
        .enumerate()
        .filter(|(_, window)| *window == text);
    let position = positions.next().unwrap().0;
    assert_eq!(positions.count(), 0);
    position
}

#[test]
fn a_driver_passes() {
    let checks = pe::check_bytes(&FIXTURE.image, &FIXTURE.symbols, Windows::V2004).unwrap();
    for check in &checks {
        assert!(check.result.is_ok(), "{check}");
    }
    assert!(checks.len() >= 16);
}

/// What Windows loads is not judged by what this project asks of its own drivers, nor a driver of WDM by the framework's entry.
#[test]
fn a_check_matters_to_whom_asks_for_it() {
    let mut image = FIXTURE.image.clone();
    for flag in [0x0020, 0x0040, 0x0080, 0x0100, 0x4000] {
        clear(&mut image, flag);
    }
    let [version, entry] = [
        optional_header(&image) + 112 + 2 * 8,
        optional_header(&image) + 16,
    ];
    image[version..version + 8].fill(0);
    image[entry] ^= 0x10;
    let position = pe::checksum_position(&image).unwrap();
    let sum = pe::checksum(&image).unwrap();
    image[position..position + 4].copy_from_slice(&sum.to_le_bytes());

    let checks = pe::check_bytes(&image, &FIXTURE.symbols, Windows::V2004).unwrap();
    let names = |framework, strict| -> Vec<&str> {
        pe::failed(&checks, framework, strict)
            .map(|check| check.name)
            .collect()
    };
    let flags = [
        "dynamic-base",
        "nx-compat",
        "high-entropy",
        "force-integrity",
        "control-flow-guard",
    ];
    assert!(names(false, false).is_empty(), "{:?}", names(false, false));
    assert_eq!(names(true, false), ["entry"]);
    assert_eq!(names(false, true), [&flags[..], &["version"]].concat());
    assert_eq!(names(true, true), [&["entry"], &flags[..], &["version"]].concat());

    // Damaged in what Windows asks for, it is refused whoever made it.
    image[position] ^= 1;
    let checks = pe::check_bytes(&image, &FIXTURE.symbols, Windows::V2004).unwrap();
    let found: Vec<&str> = pe::failed(&checks, false, false)
        .map(|check| check.name)
        .collect();
    assert_eq!(found, ["checksum"]);
}

#[test]
fn machine() {
    fails_alone("machine", |image| {
        let position = file_header(image);
        image[position..position + 2].copy_from_slice(&0xAA64_u16.to_le_bytes());
    });
}

#[test]
fn subsystem() {
    fails_alone("subsystem", |image| {
        let position = optional_header(image) + 68;
        image[position] = 3;
    });
}

#[test]
fn entry() {
    fails_alone("entry", |image| {
        let position = optional_header(image) + 16;
        image[position] ^= 0x10;
    });
}

#[test]
fn import_that_windows_lacks() {
    fails_alone("imports", |image| {
        let position = find(image, b"DbgPrint\0");
        image[position..position + 8].copy_from_slice(b"DbgXrint");
    });
}

/// What the check says of the imports of a driver for `target`.
fn imports(fixture: &Fixture, target: Windows) -> Result<String, String> {
    let checks = pe::check_bytes(&fixture.image, &fixture.symbols, target).unwrap();
    let check = checks.into_iter().find(|check| check.name == "imports");
    check.unwrap().result
}

#[test]
fn import_that_is_newer_than_the_target() {
    // In wdm.h from NTDDI_WIN10_FE on.
    let newer = link(
        "newer",
        "long IoGetIommuInterfaceEx(unsigned, unsigned long long, void *); unsigned long DbgPrint(const char *, ...);
         long DriverEntry(void *Driver, void *Path) { DbgPrint(\"\"); return IoGetIommuInterfaceEx(3, 0, Driver); }",
        &[],
    );
    let said = imports(&newer, Windows::V2004).unwrap_err();
    assert_eq!(
        said,
        "ntoskrnl.exe!IoGetIommuInterfaceEx is there since Windows Server 2022 (build 20348), and the driver is for Windows 10, version \
         2004 (build 19041) and later: ask MmGetSystemRoutineAddress for it, or have the INF's [Manufacturer] say 10.0...20348"
    );
    let found = imports(&newer, Windows::from_build(22000)).unwrap();
    assert!(
        found.ends_with("all exported by Windows 11, version 21H2 (build 22000)"),
        "{found}"
    );
}

#[test]
fn import_of_which_no_source_knows_the_windows() {
    let old = link(
        "unknown",
        "long ZwYieldExecution(void); long DriverEntry(void *Driver, void *Path) { return ZwYieldExecution(); }",
        &[],
    );
    let found = imports(&old, Windows::V2004).unwrap();
    assert!(
        found.ends_with("no source says which Windows has ZwYieldExecution"),
        "{found}"
    );
}

#[test]
fn import_from_the_hal() {
    let hal = link(
        "hal",
        "void KeStallExecutionProcessor(unsigned long); long DriverEntry(void *Driver, void *Path) { KeStallExecutionProcessor(1); return 0; }",
        &[],
    );
    find(&hal.image, b"HAL.dll\0");
    imports(&hal, Windows::V2004).unwrap();
    // The kernel's routines are not the HAL's.
    let mut image = hal.image.clone();
    let name = find(&image, b"KeStallExecutionProcessor\0");
    image[name..name + 26].copy_from_slice(b"KeSetEvent\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let said = imports(&Fixture { image, ..hal }, Windows::V2004).unwrap_err();
    assert!(
        said.contains("HAL.dll!KeSetEvent is not among the exports"),
        "{said}"
    );
}

#[test]
fn import_that_is_an_inline_of_the_wdk() {
    fails_alone("imports", |image| {
        let position = find(image, b"DbgPrint\0");
        image[position..position + 8].copy_from_slice(b"CTL_CODE");
    });
}

#[test]
fn import_from_another_image() {
    fails_alone("imports", |image| {
        let position = find(image, b"ntoskrnl.exe\0");
        image[position..position + 12].copy_from_slice(b"ntoskrnx.exe");
    });
}

#[test]
fn import_by_ordinal() {
    fails_alone("imports", |image| {
        // The import directory's first descriptor, its lookup table, that one's first entry.
        let directory = number(image, optional_header(image) + 112 + 8);
        let header = section(image, ".rdata");
        let in_file = |address: usize| address - number(image, header + 12) + number(image, header + 20);
        let entry = in_file(number(image, in_file(directory)));
        image[entry..entry + 8].copy_from_slice(&(1_u64 << 63 | 5).to_le_bytes());
    });
}

#[test]
fn relocation_of_another_type() {
    fail_alone(&["relocations", "bind-info"], |image| {
        let header = section(image, ".reloc");
        let first = number(image, header + 20) + 8;
        // The type is the upper four bits of the entry: HIGHLOW.
        image[first + 1] = image[first + 1] & 0x0F | 3 << 4;
    });
}

/// Where the bind information lies in the file, by the versions in it: KMDF 1.31.0 with 458 functions.
fn bind_info(image: &[u8]) -> usize {
    let versions: Vec<u8> = [1_u32, 31, 0, 458]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    find(image, &versions) - 16
}

/// Takes the relocation of a pointer away, at its place in the file.
fn make_a_number(image: &mut [u8], pointer: usize) {
    let data = section(image, ".data");
    let address = pointer - number(image, data + 20) + number(image, data + 12);
    let header = section(image, ".reloc");
    let (mut block, end) = (
        number(image, header + 20),
        number(image, header + 20) + number(image, header + 8),
    );
    while block < end {
        let (page, size) = (number(image, block), number(image, block + 4));
        for entry in (block + 8..block + size).step_by(2) {
            let low = usize::from(u16::from_le_bytes([image[entry], image[entry + 1]]) & 0xFFF);
            if page + low == address {
                // ABSOLUTE, which the loader skips.
                image[entry..entry + 2].fill(0);
                return;
            }
        }
        block += size;
    }
    panic!("there is no relocation at {address:#x}");
}

#[test]
fn bind_information_with_a_number_for_a_pointer() {
    for offset in [8, 32, 48, 56, 64, 72, 80] {
        fails_alone("bind-info", |image| {
            let pointer = bind_info(image) + offset;
            make_a_number(image, pointer);
        });
    }
}

#[test]
fn bind_information_of_another_form_or_version() {
    // The first form's size.
    fails_alone("bind-info", |image| {
        let size = bind_info(image);
        image[size] = 48;
    });
    // A minor version below the least that the driver asks for.
    fails_alone("bind-info", |image| {
        let minor = bind_info(image) + 20;
        image[minor] = 30;
    });
}

#[test]
fn relocations_stripped() {
    fail_alone(&["relocations", "bind-info"], |image| {
        let position = file_header(image) + 18;
        image[position] |= 1;
    });
}

#[test]
fn relocation_directory_missing() {
    fail_alone(&["relocations", "bind-info"], |image| {
        let position = optional_header(image) + 112 + 5 * 8;
        image[position..position + 8].fill(0);
    });
}

#[test]
fn flags() {
    fails_alone("high-entropy", |image| clear(image, 0x20));
    fails_alone("dynamic-base", |image| clear(image, 0x40));
    fails_alone("force-integrity", |image| clear(image, 0x80));
    fails_alone("nx-compat", |image| clear(image, 0x100));
    fails_alone("control-flow-guard", |image| clear(image, 0x4000));
}

#[test]
fn control_flow_guard_without_its_table() {
    fails_alone("control-flow-guard", |image| {
        let position = optional_header(image) + 112 + 10 * 8;
        image[position..position + 8].fill(0);
    });
}

#[test]
fn checksum() {
    let mut image = FIXTURE.image.clone();
    *image.last_mut().unwrap() ^= 1;
    assert_eq!(failing(&image, &FIXTURE.symbols), ["checksum"]);
}

#[test]
fn section_alignment() {
    fails_alone("section-alignment", |image| {
        let position = optional_header(image) + 32;
        image[position..position + 4].copy_from_slice(&512_u32.to_le_bytes());
    });
}

#[test]
fn writable_and_executable() {
    fails_alone("section-rights", |image| {
        let header = section(image, ".text");
        image[header + 39] |= 0x80;
    });
}

#[test]
fn init_stays_in_memory() {
    fails_alone("section-rights", |image| {
        let header = section(image, "INIT");
        image[header + 39] &= !0x02;
    });
}

#[test]
fn text_is_paged() {
    fails_alone("section-rights", |image| {
        let header = section(image, ".text");
        image[header + 39] &= !0x08;
    });
}

#[test]
fn page_is_resident_or_thrown_away() {
    for bit in [0x02, 0x08, 0x80] {
        fails_alone("section-rights", |image| {
            let header = section(image, "PAGE");
            image[header + 39] = image[header + 39] & !0x20 | bit;
        });
    }
}

#[test]
fn what_may_leave_memory_is_told() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("residence");
    fs::create_dir_all(&folder).unwrap();
    let path = |extension: &str| folder.join("driver").with_extension(extension);
    fs::write(path("sys"), &FIXTURE.image).unwrap();
    fs::write(path("pdb"), &FIXTURE.symbols).unwrap();
    let told: Vec<(String, String)> = residence::not_resident(&path("sys"), &path("pdb"))
        .unwrap()
        .into_iter()
        .map(|function| (function.section, function.function))
        .collect();
    let expected = [("INIT", "DriverEntry"), ("PAGE", "Callback")];
    assert_eq!(
        told,
        expected.map(|(section, function)| (section.to_owned(), function.to_owned()))
    );
}

#[test]
fn retpoline_section() {
    fails_alone("section-names", |image| {
        let header = section(image, ".pdata");
        image[header..header + 8].copy_from_slice(b".retplne");
    });
}

#[test]
fn version() {
    let checks = pe::check_bytes(&FIXTURE.image, &FIXTURE.symbols, Windows::V2004).unwrap();
    let found = checks.into_iter().find(|check| check.name == "version").unwrap();
    assert_eq!(found.result, Ok("1.2.3.4".to_owned()));
    fails_alone("version", |image| {
        let fixed = find(image, &0xFEEF_04BD_u32.to_le_bytes());
        image[fixed + 36] = 1;
    });
    fails_alone("version", |image| {
        let fixed = find(image, &0xFEEF_04BD_u32.to_le_bytes());
        image[fixed] = 0;
    });
    fails_alone("version", |image| {
        let position = optional_header(image) + 112 + 2 * 8;
        image[position..position + 8].fill(0);
    });
}

#[test]
fn image_of_another_link() {
    fails_alone("pdb-identity", |image| {
        let record = find(image, b"RSDS");
        image[record + 4] ^= 1;
    });
}

#[test]
fn pdb_named_by_a_path() {
    fails_alone("pdb-identity", |image| {
        let name = find(image, b"driver.pdb\0");
        image[name] = b'/';
    });
}

#[test]
fn symbols_of_another_program() {
    let other = link(
        "other",
        "int Entry(void) { return 1; } __declspec(dllexport) int Function(void) { return 2; }",
        &["/ENTRY:Entry", "/GUARD:NO"],
    );
    let failed = failing(&FIXTURE.image, &other.symbols);
    assert_eq!(failed, ["entry", "bind-info", "pdb-identity", "pdb-symbols"]);
}

#[test]
fn not_an_image_at_all() {
    for bytes in [&b""[..], b"MZ", &FIXTURE.image[..0x90], &[0; 4096]] {
        assert!(
            pe::check_bytes(bytes, &FIXTURE.symbols, Windows::V2004)
                .unwrap_err()
                .contains("not a 64-bit PE image")
        );
    }
    assert!(
        pe::check_bytes(&FIXTURE.image, b"no PDB", Windows::V2004)
            .unwrap_err()
            .contains("PDB")
    );
}
