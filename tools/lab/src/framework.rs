//! A `Wdf01000.sys` of a Windows, in place of the lab's own framework: looked at before the boot, so that the wrong file is told in one line, with the
//! right one.

use crate::driver::DriverFile;
use lab_wire::boot::{Parameter, Value};
use object::Object as _;
use object::read::NameOrOrdinal;
use object::read::pe::PeFile64;
use std::path::Path;

/// What turns the framework's verifier on for a driver ("Registry Values for Debugging WDF Drivers").
pub const VERIFIER_ON: Parameter<'static> = Parameter {
    key: "Parameters\\Wdf",
    name: "VerifierOn",
    value: Value::Dword(1),
};

/// The right file, for who gave another.
const RIGHT_FILE: &str =
    "take C:\\Windows\\System32\\drivers\\Wdf01000.sys of a 64-bit Windows (docs/your-windows.md)";

/// Reads the framework at `path`, for a driver whose INF asks for this version of KMDF, if it has one.
///
/// # Errors
/// One line that names the file, what is wrong with it, and which one to take.
pub fn read(path: &Path, asked: Option<(u32, u32)>) -> Result<DriverFile, String> {
    let bytes = std::fs::read(path)
        .map_err(|e| format!("cannot read the framework {}: {e}; {RIGHT_FILE}", path.display()))?;
    let refused = |why: String| {
        format!(
            "{} is no framework that the lab can load: {why}; {RIGHT_FILE}",
            path.display()
        )
    };
    let file = DriverFile::of(path, bytes).map_err(refused)?;
    check(&file.bytes, asked).map_err(refused)?;
    Ok(file)
}

/// Whether a driver file is a library of KMDF, and new enough.
fn check(bytes: &[u8], asked: Option<(u32, u32)>) -> Result<(), String> {
    let file = PeFile64::parse(bytes).map_err(|e| format!("its PE headers cannot be read: {e}"))?;
    let imports = file
        .imports()
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("its imports cannot be read: {e}"))?;
    let registers =
        (imports.iter()).any(|import| matches!(import.name(), NameOrOrdinal::Name(b"WdfRegisterLibrary")));
    if !registers {
        return Err("it does not import WDFLDR.SYS!WdfRegisterLibrary, as the library of KMDF does".into());
    }
    match (version(bytes), asked) {
        (Some(own), Some(asked)) if own < asked => Err(format!(
            "it is KMDF {}.{}, and the driver's INF asks for {}.{}",
            own.0, own.1, asked.0, asked.1
        )),
        _ => Ok(()),
    }
}

/// Major and minor file version, which are the framework's: by the `VS_FIXEDFILEINFO` in the file's version resource, found by its signature.
fn version(bytes: &[u8]) -> Option<(u32, u32)> {
    const SIGNATURE: [u8; 4] = 0xFEEF_04BD_u32.to_le_bytes();
    let at = bytes.windows(4).position(|word| word == SIGNATURE)?;
    let version = bytes.get(at + 8..at + 12)?;
    let half = |low: usize| u32::from(u16::from_le_bytes([version[low], version[low + 1]]));
    Some((half(2), half(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tests::minimal_pe;

    /// A PE file that imports one routine, and has a version resource's fixed part.
    fn importing(routine: &str, version: (u16, u16)) -> Vec<u8> {
        let mut file = minimal_pe();
        file.resize(0x600, 0);
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x46, &[1]); // NumberOfSections
        put(0xD0, &0x1000_u32.to_le_bytes()); // the import directory's address
        put(0xD4, &40_u32.to_le_bytes());
        let header = 0x58 + 240;
        put(header, b".rdata");
        put(header + 8, &0x200_u32.to_le_bytes()); // VirtualSize
        put(header + 12, &0x1000_u32.to_le_bytes()); // VirtualAddress
        put(header + 16, &0x200_u32.to_le_bytes()); // SizeOfRawData
        put(header + 20, &0x400_u32.to_le_bytes()); // PointerToRawData
        put(0x400, &0x1040_u32.to_le_bytes()); // the lookup table
        put(0x40C, &0x1080_u32.to_le_bytes()); // the module's name
        put(0x410, &0x1060_u32.to_le_bytes()); // the slots
        put(0x440, &0x10A0_u64.to_le_bytes());
        put(0x460, &0x10A0_u64.to_le_bytes());
        put(0x480, b"WDFLDR.SYS\0");
        put(0x4A2, routine.as_bytes());
        put(0x500, &0xFEEF_04BD_u32.to_le_bytes());
        put(0x508, &version.1.to_le_bytes());
        put(0x50A, &version.0.to_le_bytes());
        file
    }

    #[test]
    fn a_library_of_kmdf_is_taken() {
        let file = importing("WdfRegisterLibrary", (1, 33));
        assert_eq!(version(&file), Some((1, 33)));
        assert_eq!(check(&file, None), Ok(()));
        assert_eq!(check(&file, Some((1, 33))), Ok(()));
        assert_eq!(check(&file, Some((1, 15))), Ok(()));
    }

    #[test]
    fn an_older_one_than_the_driver_asks_for_is_refused() {
        let why = check(&importing("WdfRegisterLibrary", (1, 15)), Some((1, 33))).unwrap_err();
        assert!(
            why.contains("KMDF 1.15") && why.contains("asks for 1.33"),
            "{why}"
        );
    }

    /// A driver, the loader itself, a library in user mode, another processor's: each is told, with the file to take.
    #[test]
    fn another_file_is_refused_with_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let line = read(&path, None).unwrap_err();
            assert!(
                line.contains(name) && line.contains(RIGHT_FILE) && !line.contains('\n'),
                "{line}"
            );
            line
        };
        let driver = importing("WdfVersionBind", (1, 0));
        assert!(told("mine.sys", &driver).contains("WdfRegisterLibrary"));
        let changed = |at: usize, bytes: &[u8]| {
            let mut file = importing("WdfRegisterLibrary", (1, 33));
            file[at..at + bytes.len()].copy_from_slice(bytes);
            file
        };
        let user_mode = changed(0x9C, &[3]);
        assert!(told("WUDFx02000.dll", &user_mode).contains("WINDOWS_CUI"));
        assert!(told("arm64.sys", &changed(0x44, &0xAA64_u16.to_le_bytes())).contains("ARM64"));
        assert!(told("x86.sys", &changed(0x58, &0x10B_u16.to_le_bytes())).contains("32-bit"));
        assert!(told("text.sys", b"hello").contains("MZ"));
        let file = importing("WdfRegisterLibrary", (1, 33));
        assert!(told("cut.sys", &file[..0x420]).contains("cannot be read"));
        let missing = read(Path::new("/nowhere/Wdf01000.sys"), None).unwrap_err();
        assert!(
            missing.contains("/nowhere") && missing.contains(RIGHT_FILE),
            "{missing}"
        );
    }
}
