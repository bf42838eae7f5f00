//! The driver's file, looked at before the boot, so that what cannot work is said in one line and at once.

use object::LittleEndian as LE;
use object::pe::{IMAGE_FILE_MACHINE_AMD64, IMAGE_SUBSYSTEM_NATIVE, Machine, Subsystem};
use object::read::pe::{ImageNtHeaders, PeFile64};
use object::{FileKind, Object, ObjectSection};
use std::path::{Path, PathBuf};

/// A 64-bit NATIVE image that the machine can try to load.
#[derive(Debug)]
pub struct DriverFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// GUID and age of the PDB that was written with it, from the debug directory.
    pub pdb: Option<([u8; 16], u32)>,
}

impl DriverFile {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes =
            std::fs::read(path).map_err(|e| format!("cannot read the driver {}: {e}", path.display()))?;
        Self::of(path, bytes)
            .map_err(|e| format!("{} is not a driver that the lab can load: {e}", path.display()))
    }

    /// The same of bytes that were read at `path`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, String> {
        let pdb = check(&bytes)?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            pdb,
        })
    }

    /// The file's name without its folder: `rundown.sys`.
    #[must_use]
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(|| "driver.sys".into(), |name| name.to_string_lossy().into_owned())
    }
}

/// Looks at the headers; the result names the PDB.
fn check(bytes: &[u8]) -> Result<Option<([u8; 16], u32)>, String> {
    if !bytes.starts_with(b"MZ") {
        return Err("it is not a PE file (no MZ signature)".into());
    }
    match FileKind::parse(bytes) {
        Ok(FileKind::Pe64) => {}
        Ok(FileKind::Pe32) => return Err("it is a 32-bit PE file (PE32); the machine is x86-64".into()),
        Ok(_) => return Err("it is not a PE file (no PE signature after the MS-DOS stub)".into()),
        Err(e) => return Err(format!("it is not a PE file ({e})")),
    }
    let file = PeFile64::parse(bytes).map_err(|e| format!("its PE headers cannot be read: {e}"))?;
    let headers = file.nt_headers();
    let machine = headers.file_header().machine.get(LE);
    if machine != IMAGE_FILE_MACHINE_AMD64 {
        return Err(format!(
            "its machine type is {}; the machine is x86-64 (0x8664)",
            machine_name(machine)
        ));
    }
    let optional = headers.optional_header();
    let subsystem = optional.subsystem.get(LE);
    if subsystem != IMAGE_SUBSYSTEM_NATIVE {
        return Err(format!(
            "its subsystem is {}; a driver's is NATIVE (1)",
            subsystem_name(subsystem)
        ));
    }
    if optional.address_of_entry_point.get(LE) == 0 {
        return Err("it has no entry point".into());
    }
    let pdb = file
        .pdb_info()
        .map_err(|e| format!("its debug directory cannot be read: {e}"))?;
    Ok(pdb.map(|info| (info.guid(), info.age())))
}

/// What an image has from `start` on, relative to its base, to the end of the section.
#[must_use]
pub fn behind(file: &[u8], start: u32) -> Option<&[u8]> {
    let pe = PeFile64::parse(file).ok()?;
    let address = pe.relative_address_base() + u64::from(start);
    let section = pe
        .sections()
        .find(|s| (s.address()..s.address() + s.size()).contains(&address))?;
    let from = usize::try_from(address - section.address()).ok()?;
    section.data().ok()?.get(from..)
}

/// The bytes of a function in the file.
#[must_use]
pub fn code(file: &[u8], start: u32, end: u32) -> Option<&[u8]> {
    behind(file, start)?.get(..usize::try_from(end.checked_sub(start)?).ok()?)
}

fn machine_name(machine: Machine) -> String {
    match machine.0 {
        0x014C => "x86 (0x014c)".into(),
        0xAA64 => "ARM64 (0xaa64)".into(),
        other => format!("{other:#06x}"),
    }
}

fn subsystem_name(subsystem: Subsystem) -> String {
    match subsystem.0 {
        2 => "WINDOWS_GUI (2)".into(),
        3 => "WINDOWS_CUI (3), a console program".into(),
        10..=13 => format!("EFI ({subsystem})"),
        other => format!("{other}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The smallest PE32+ file that has everything that is looked at.
    pub(crate) fn minimal_pe() -> Vec<u8> {
        let mut file = vec![0_u8; 0x400];
        file[..2].copy_from_slice(b"MZ");
        file[0x3C] = 0x40;
        file[0x40..0x44].copy_from_slice(b"PE\0\0");
        file[0x44..0x46].copy_from_slice(&0x8664_u16.to_le_bytes());
        file[0x54..0x56].copy_from_slice(&240_u16.to_le_bytes()); // SizeOfOptionalHeader
        file[0x58..0x5A].copy_from_slice(&0x20B_u16.to_le_bytes()); // PE32+
        file[0x68] = 0x10; // AddressOfEntryPoint
        file[0x9C] = 1; // Subsystem: NATIVE
        file[0xC4] = 16; // NumberOfRvaAndSizes
        file
    }

    #[test]
    fn a_native_image_is_accepted() {
        assert_eq!(check(&minimal_pe()), Ok(None));
    }

    #[test]
    fn every_refusal_says_why() {
        let changed = |offset: usize, bytes: &[u8]| {
            let mut file = minimal_pe();
            file[offset..offset + bytes.len()].copy_from_slice(bytes);
            check(&file).unwrap_err()
        };
        assert!(check(b"").unwrap_err().contains("MZ"));
        assert!(check(b"#!/bin/sh\n").unwrap_err().contains("MZ"));
        assert!(check(b"MZ").unwrap_err().contains("not a PE file"));
        assert!(changed(0x40, b"XX").contains("not a PE file"));
        assert!(changed(0x44, &0xAA64_u16.to_le_bytes()).contains("ARM64"));
        assert!(changed(0x58, &0x10B_u16.to_le_bytes()).contains("32-bit"));
        assert!(changed(0x9C, &[3]).contains("WINDOWS_CUI"));
        assert!(changed(0x68, &[0]).contains("entry point"));
    }

    #[test]
    fn the_message_names_the_file() {
        let missing = DriverFile::read(Path::new("/nowhere/rundown.sys")).unwrap_err();
        assert!(missing.contains("/nowhere/rundown.sys"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.sys");
        std::fs::write(&path, "hello").unwrap();
        let text = DriverFile::read(&path).unwrap_err();
        assert!(text.contains("text.sys") && text.contains("MZ"), "{text}");
    }

    #[test]
    fn no_truncation_panics() {
        let file = minimal_pe();
        for length in 0..file.len() {
            let _ = check(&file[..length]);
        }
    }
}
