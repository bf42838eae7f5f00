//! Files that are no driver, or one that the lab cannot run: each is refused with a message that names what is wrong.
//!
//! The defective drivers are made from the sound one by changing a few bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::tally::{Gate, Tally};
use crate::{process, progress::Progress, tree::Tree};

/// `rundown-lab`'s exit code for bad input.
const BAD_INPUT: i32 = 2;

/// A file and the words that the lab's message must contain.
struct Case {
    file: PathBuf,
    words: &'static [&'static str],
}

/// Starts the lab with each of them.
pub(super) fn steps(gate: &mut Gate, tree: &Tree) {
    gate.step("bad drivers", |progress| {
        let folder = tree.target().join("bad-drivers");
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let sound = tree.lab().join("rundown.sys");
        let sound = fs::read(&sound).with_context(|| format!("{} cannot be read", sound.display()))?;
        let mut tally = Tally::default();
        for case in cases(&folder, &sound)? {
            tally.count(run(tree, &case, progress)?);
        }
        Ok(tally)
    });
}

fn cases(folder: &Path, sound: &[u8]) -> Result<Vec<Case>> {
    let written = |name: &str, bytes: &[u8], words: &'static [&'static str]| -> Result<Case> {
        let file = folder.join(name);
        fs::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(Case { file, words })
    };
    Ok(vec![
        Case {
            file: folder.join("absent.sys"),
            words: &["absent.sys"],
        },
        Case {
            file: folder.to_path_buf(),
            words: &["bad-drivers"],
        },
        written("empty.sys", b"", &["empty.sys"])?,
        written("text.sys", b"this is no driver\n", &["text.sys"])?,
        written("truncated.sys", &sound[..sound.len() / 4], &["truncated.sys"])?,
        written("import.sys", &with_unknown_import(sound)?, &["KeSetEvenX"])?,
        written(
            "relocation.sys",
            &with_unknown_relocation(sound)?,
            &["relocation"],
        )?,
    ])
}

fn run(tree: &Tree, case: &Case, progress: &Progress) -> Result<Option<String>> {
    let mut command = Command::new(tree.lab().join("rundown-lab"));
    command
        .args(["serve", "--cpus", "2", "--inf"])
        .arg(tree.lab().join("rundown.inf"));
    command.arg("--driver").arg(&case.file);
    let finished = process::watch(&mut command, progress)?;
    let told = case.words.iter().all(|word| finished.stderr.contains(word));
    let silent = finished.stdout.is_empty();
    let as_expected = finished.status.code() == Some(BAD_INPUT) && told && silent;
    Ok((!as_expected).then(|| {
        format!(
            "exit code {BAD_INPUT} and a message with {:?} were expected of `{}`, and ({}):\n{}",
            case.words,
            process::line(&command),
            finished.status,
            finished.tail()
        )
    }))
}

/// The driver with an import that no system has.
fn with_unknown_import(sound: &[u8]) -> Result<Vec<u8>> {
    let name = b"KeSetEvent\0";
    let at = sound.windows(name.len()).position(|window| window == name);
    let at = at.context("the driver does not import KeSetEvent")?;
    let mut changed = sound.to_vec();
    changed[at + name.len() - 2] = b'X';
    Ok(changed)
}

/// The driver with a base relocation of a type that x86-64 images do not have (5, `IMAGE_REL_BASED_MIPS_JMPADDR`).
fn with_unknown_relocation(sound: &[u8]) -> Result<Vec<u8>> {
    const DIR64: u16 = 10;
    let block = base_relocations(sound)?;
    // A block begins with its page and its size; entries of 16 bits follow, the type in the upper four.
    let first = block + 8;
    let entry = u16_at(sound, first)?;
    if entry >> 12 != DIR64 {
        bail!(
            "the driver's first base relocation is of type {}, not DIR64",
            entry >> 12
        );
    }
    let mut changed = sound.to_vec();
    changed[first..first + 2].copy_from_slice(&(entry & 0xfff | 5 << 12).to_le_bytes());
    Ok(changed)
}

/// Where the base relocation directory begins in the file (PE format: optional header, data directory 5).
fn base_relocations(image: &[u8]) -> Result<usize> {
    let pe = u32_at(image, 0x3c)? as usize;
    let sections = usize::from(u16_at(image, pe + 6)?);
    let optional_size = usize::from(u16_at(image, pe + 20)?);
    let optional = pe + 24;
    let address = u32_at(image, optional + 112 + 5 * 8)?;
    for section in 0..sections {
        let header = optional + optional_size + section * 40;
        let size = u32_at(image, header + 8)?;
        let start = u32_at(image, header + 12)?;
        let file = u32_at(image, header + 20)?;
        if (start..start.saturating_add(size)).contains(&address) {
            return Ok((address - start + file) as usize);
        }
    }
    bail!("the driver has no base relocations")
}

fn u16_at(image: &[u8], at: usize) -> Result<u16> {
    let bytes = image
        .get(at..at + 2)
        .context("the driver is shorter than its headers say")?;
    Ok(u16::from_le_bytes(bytes.try_into()?))
}

fn u32_at(image: &[u8], at: usize) -> Result<u32> {
    let bytes = image
        .get(at..at + 4)
        .context("the driver is shorter than its headers say")?;
    Ok(u32::from_le_bytes(bytes.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_renamed_in_place() {
        let changed = with_unknown_import(b"..\0KeSetEvent\0..").unwrap();
        assert_eq!(changed, b"..\0KeSetEvenX\0..");
        assert!(with_unknown_import(b"nothing").is_err());
    }

    /// The headers that matter of an image with one section, `.reloc`, at address 0x2000 and offset 0x200.
    fn image(entry: u16) -> Vec<u8> {
        let mut image = vec![0; 0x210];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x3c, &0x40_u32.to_le_bytes());
        put(0x46, &1_u16.to_le_bytes());
        put(0x54, &240_u16.to_le_bytes());
        put(0x58 + 112 + 40, &0x2000_u32.to_le_bytes());
        let section = 0x58 + 240;
        put(section + 8, &0x10_u32.to_le_bytes());
        put(section + 12, &0x2000_u32.to_le_bytes());
        put(section + 20, &0x200_u32.to_le_bytes());
        put(0x208, &entry.to_le_bytes());
        image
    }

    #[test]
    fn a_relocation_is_changed_in_place() {
        let changed = with_unknown_relocation(&image(0xa123)).unwrap();
        assert_eq!(changed[0x208..0x20a], [0x23, 0x51]);
        assert!(with_unknown_relocation(&image(0x0000)).is_err());
        assert!(with_unknown_relocation(b"short").is_err());
    }
}
