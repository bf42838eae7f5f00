//! What of the driver ran (`--coverage`): QEMU logs each block of instructions that it translates, which it does when a processor is about to carry it out
//! for the first time; the PDB says which functions and lines they come from.
//!
//! So an instruction counts as soon as its block is begun. One that faults in the middle counts to its end; blocks end at each jump, call and return,
//! and in the mode `chaos` often at each instruction.

use crate::driver::DriverFile;
use crate::lines;
use crate::symbols::{DriverSymbols, Location};
use lab_wire::dump;
use rundown_lcov::Coverage;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// Why there is no coverage.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The file that is there is not one to add to.
    Input(String),
    /// The file cannot be written.
    Output(String),
    /// QEMU does not say what it translates.
    Lab(String),
}

/// A run that is measured.
pub struct Measured<'a> {
    /// lcov's file, open: what ran is added to what is in it.
    file: File,
    path: &'a Path,
    driver: &'a DriverFile,
    symbols: &'a DriverSymbols,
    folder: tempfile::TempDir,
}

impl<'a> Measured<'a> {
    /// Sees that there is a file to write to, and that what is in it is of the same driver.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn begin(
        path: &'a Path,
        driver: &'a DriverFile,
        symbols: &'a DriverSymbols,
    ) -> Result<Self, Failure> {
        let cannot =
            |e: io::Error| Failure::Output(format!("cannot write the coverage to {}: {e}", path.display()));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(cannot)?;
        file.lock_shared().map_err(cannot)?;
        let read = read(&mut file, path, driver);
        file.unlock().map_err(cannot)?;
        read?;
        let folder = tempfile::Builder::new()
            .prefix("rundown-lab-coverage-")
            .tempdir()
            .map_err(cannot)?;
        Ok(Self {
            file,
            path,
            driver,
            symbols,
            folder,
        })
    }

    /// Where QEMU logs to.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("translated")
    }

    /// Adds what ran, by QEMU's log and the kernel's, which says where the images lay.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn end(mut self, kernel_log: &str) -> Result<(), Failure> {
        let cannot = |e: io::Error| {
            Failure::Output(format!(
                "cannot write the coverage to {}: {e}",
                self.path.display()
            ))
        };
        // Without an instruction of the driver there is no log.
        let ran = match File::open(self.log()) {
            Ok(log) => ran(BufReader::new(log), &dump::images(kernel_log, "driver")).map_err(cannot)?,
            Err(_) => BTreeSet::new(),
        };
        if ran.is_empty() && std::fs::metadata(self.log()).is_ok_and(|log| log.len() != 0) {
            return Err(Failure::Lab(
                "QEMU logs no addresses of what it translates: it was built without its disassembler, capstone".into(),
            ));
        }
        let addresses: Vec<u32> = ran.into_iter().collect();
        let located = self.symbols.locate(&addresses);
        // Other machines may add to the same file.
        self.file.lock().map_err(cannot)?;
        let mut sum = read(&mut self.file, self.path, self.driver)?;
        if sum.files.is_empty() {
            let lines = lines::lines(self.driver, self.symbols).map_err(Failure::Input)?;
            count(&mut sum, lines.iter().map(|line| &line.locations[..]), 0);
        }
        let mut run = Coverage::default();
        count(&mut run, located.iter().map(Vec::as_slice), 1);
        sum.add(run);
        self.file.set_len(0).map_err(cannot)?;
        self.file.rewind().map_err(cannot)?;
        self.file.write_all(sum.to_string().as_bytes()).map_err(cannot)
    }
}

/// What is in the file.
fn read(file: &mut File, path: &Path, driver: &DriverFile) -> Result<Coverage, Failure> {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    read.map_err(|e| Failure::Input(format!("cannot read {}: {e}", path.display())))?;
    let mut coverage = Coverage::parse(&text)
        .map_err(|text| Failure::Input(format!("{} is no coverage to add to: {text}", path.display())))?;
    let name = name(driver);
    if !coverage.files.is_empty() && coverage.test != name {
        return Err(Failure::Input(format!(
            "{} is the coverage of another driver, or of another build of this one: remove it first",
            path.display()
        )));
    }
    coverage.test = name;
    Ok(coverage)
}

/// The driver and its build, as lcov's test names may be.
fn name(driver: &DriverFile) -> String {
    let build = driver.pdb.map(|(guid, _)| hex::encode(guid)).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("{}_{build}", driver.name()).chars().map(plain).collect()
}

/// The instructions that QEMU translated (`-d in_asm`: `0xADDRESS:  bytes  text` on each line), relative to the base of the image that they lay in.
fn ran(log: impl BufRead, images: &[(u64, u64)]) -> io::Result<BTreeSet<u32>> {
    let mut ran = BTreeSet::new();
    for line in log.split(b'\n') {
        let line = line?;
        let address = line.strip_prefix(b"0x").and_then(|rest| {
            let digits = rest.split(|&byte| byte == b':').next()?;
            u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        });
        let Some(address) = address else { continue };
        let image = images
            .iter()
            .find(|&&(base, size)| address.wrapping_sub(base) < size);
        ran.extend(image.and_then(|&(base, _)| u32::try_from(address - base).ok()));
    }
    Ok(ran)
}

/// Counts each line and each function once, of whichever of these instructions it is.
fn count<'a>(coverage: &mut Coverage, instructions: impl Iterator<Item = &'a [Location]>, hits: u64) {
    for location in instructions.flatten() {
        let (Some(path), Some(line)) = (&location.file, location.line.filter(|&line| line != 0)) else {
            continue;
        };
        if !coverage.files.contains_key(path) {
            coverage.files.insert(path.clone(), rundown_lcov::File::default());
        }
        let Some(file) = coverage.files.get_mut(path) else {
            continue;
        };
        file.lines.insert(line, hits);
        let Some(name) = &location.function else { continue };
        match file.functions.get_mut(name) {
            Some((first, _)) => *first = line.min(*first),
            None => drop(file.functions.insert(name.clone(), (line, hits))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tests::minimal_pe;

    /// From a run of QEMU 7.2.
    const LOG: &str = "----------------\nIN: \n\
        0xfffff8001002ba00:  48 b8 32 a2 df 2d 99 2b  movabsq  $0x2b992ddfa232, %rax\n\
        0xfffff8001002ba08:  00 00\n\
        0xfffff8001002ba0a:  48 39 05 bf 26 01 00     cmpq     %rax, 0x126bf(%rip)\n\
        0xfffff8001002ba11:  75 27                    jne      0xfffff8001002ba3a\n\n\
        ----------------\nIN: \n0xfffff80010090010:  c3                       retq     \n";

    #[test]
    fn an_instruction_belongs_to_the_image_that_it_lay_in() {
        let images = [
            (0xFFFF_F800_1000_0000, 0x4_0000),
            (0xFFFF_F800_1009_0000, 0x4_0000),
        ];
        let ran = ran(LOG.as_bytes(), &images).unwrap();
        assert_eq!(Vec::from_iter(ran), [0x10, 0x2BA00, 0x2BA08, 0x2BA0A, 0x2BA11]);
        assert_eq!(super::ran(LOG.as_bytes(), &[]).unwrap(), BTreeSet::new());
    }

    fn at(function: &str, file: &str, line: u32) -> Location {
        Location {
            function: Some(function.into()),
            file: Some(file.into()),
            line: Some(line),
        }
    }

    #[test]
    fn a_line_counts_once_a_run_and_so_does_the_call_of_what_was_inlined() {
        let inlined = [at("b::f", "b.rs", 7), at("a::g", "a.rs", 3)];
        let plain = [at("a::g", "a.rs", 4)];
        let nowhere = [at("a::g", "a.rs", 0)];
        let mut sum = Coverage::default();
        count(
            &mut sum,
            [&inlined[..], &inlined, &plain, &nowhere, &[]].into_iter(),
            0,
        );
        let mut run = Coverage::default();
        count(&mut run, [&inlined[..], &inlined].into_iter(), 1);
        sum.add(run);
        assert_eq!(Vec::from_iter(&sum.files["a.rs"].lines), [(&3, &1), (&4, &0)]);
        assert_eq!(Vec::from_iter(&sum.files["b.rs"].lines), [(&7, &1)]);
        assert_eq!(sum.files["a.rs"].functions["a::g"], (3, 1));
    }

    #[test]
    fn what_is_in_the_file_is_of_the_same_build() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.info");
        let driver = DriverFile {
            path: "mine-1.sys".into(),
            bytes: minimal_pe(),
            pdb: Some(([0xAB; 16], 1)),
        };
        assert_eq!(name(&driver), format!("mine_1_sys_{}", "ab".repeat(16)));
        let reading = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&mut File::open(&path).unwrap(), &path, &driver)
        };
        assert!(reading("").is_ok());
        let record = |test: &str| format!("TN:{test}\nSF:a.rs\nDA:1,1\nend_of_record\n");
        assert!(reading(&record(&name(&driver))).is_ok());
        for (text, why) in [
            (record("other"), "another build"),
            ("{}".into(), "no coverage to add to: line 1"),
        ] {
            let Err(Failure::Input(error)) = reading(&text) else {
                panic!("{text}")
            };
            assert!(error.contains(why) && error.contains("a.info"), "{error}");
        }
    }
}
