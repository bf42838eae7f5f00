//! What gdb needs to know the driver by its functions and lines: gdb reads no PDB.
//!
//! A script beside an ELF file that has no code, only [`dwarf`]'s functions, inlined functions and lines, made from the PDB, and [`unwind`]'s frames,
//! made from the image's `.pdata`, at the address where the kernel loads the driver first.

mod dwarf;
mod elf;
mod unwind;

use crate::driver::DriverFile;
use crate::lines;
use crate::symbols::DriverSymbols;
use lab_wire::boot::IMAGES;
use object::{Object, ObjectSection, SectionKind};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The files; they are gone when it is dropped.
#[derive(Debug)]
pub struct Files {
    script: PathBuf,
    _folder: tempfile::TempDir,
}

impl Files {
    /// Writes them, for a machine that listens on `port`. Without symbols gdb has the kernel's alone.
    ///
    /// # Errors
    /// One line.
    pub fn write(
        port: u16,
        kernel: &Path,
        driver: &DriverFile,
        symbols: Option<&DriverSymbols>,
    ) -> Result<Self, String> {
        let cannot = |e: &dyn std::fmt::Display| format!("cannot write the files for gdb: {e}");
        let folder = tempfile::Builder::new()
            .prefix("rundown-lab-gdb-")
            .tempdir()
            .map_err(|e| cannot(&e))?;
        let kernel = std::path::absolute(kernel).map_err(|e| cannot(&e))?;
        let companion = match symbols {
            Some(symbols) => {
                let path = folder
                    .path()
                    .join(driver.path.with_extension("elf").file_name().unwrap_or_default());
                std::fs::write(&path, companion(driver, symbols)?).map_err(|e| cannot(&e))?;
                Some(path)
            }
            None => None,
        };
        let script = folder.path().join("attach.gdb");
        let text = text(port, &kernel, companion.as_deref(), &code(driver)?);
        std::fs::write(&script, text).map_err(|e| cannot(&e))?;
        Ok(Self {
            script,
            _folder: folder,
        })
    }

    /// What a person types.
    #[must_use]
    pub fn command(&self) -> String {
        format!("gdb -x {}", self.script.display())
    }
}

/// The ELF file.
fn companion(driver: &DriverFile, symbols: &DriverSymbols) -> Result<Vec<u8>, String> {
    let lines = lines::lines(driver, symbols)?;
    let functions = symbols.functions()?;
    let mut sections = dwarf::sections(&driver.name(), IMAGES, &functions, &lines)?;
    sections.push((".debug_frame", unwind::frames(driver, IMAGES)?));
    let names = symbols.names().iter();
    let names: Vec<_> = names
        .map(|(name, address)| (name.clone(), IMAGES + u64::from(*address)))
        .collect();
    Ok(elf::file(&code(driver)?, &names, &sections))
}

/// Where the image's code lies in the machine.
fn code(driver: &DriverFile) -> Result<Vec<Range<u64>>, String> {
    let pe = object::read::pe::PeFile64::parse(&*driver.bytes).map_err(|e| e.to_string())?;
    let sections = pe
        .sections()
        .filter(|section| section.kind() == SectionKind::Text);
    Ok(sections
        .map(|section| {
            let start = IMAGES + (section.address() - pe.relative_address_base());
            start..start + section.size()
        })
        .collect())
}

/// The script.
///
/// The driver's code is called read-only, and so gdb's `break` takes a hardware breakpoint there ("Debugging with GDB", "Setting Breakpoints",
/// `set breakpoint auto-hw`; "Memory Region Attributes"): it needs no memory, and the image is not there yet.
fn text(port: u16, kernel: &Path, companion: Option<&Path>, code: &[Range<u64>]) -> String {
    let mut text =
        String::from("set confirm off\nset breakpoint auto-hw on\nset mem inaccessible-by-default off\n");
    // Writing to a String cannot fail.
    for range in code {
        let _ = writeln!(text, "mem {:#x} {:#x} ro", range.start, range.end);
    }
    let _ = writeln!(text, "file \"{}\"", kernel.display());
    if let Some(companion) = companion {
        let _ = writeln!(text, "add-symbol-file \"{}\"", companion.display());
    }
    let _ = writeln!(text, "target remote 127.0.0.1:{port}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script() {
        let text = text(
            1234,
            Path::new("/a b/kernel"),
            Some(Path::new("/c/d.elf")),
            &[0x1000..0x3000, 0x5000..0x6000],
        );
        assert!(
            text.contains("\nmem 0x1000 0x3000 ro\nmem 0x5000 0x6000 ro\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "\nfile \"/a b/kernel\"\nadd-symbol-file \"/c/d.elf\"\ntarget remote 127.0.0.1:1234\n"
            ),
            "{text}"
        );
    }
}
